"""Parameters of the released code under this package's names, with every shape checked.

Dense kernels are (in, out) there and (out, in) here; the patch kernel is (time, frequency, 1, width) there.
"""

import dataclasses
import re
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor

from hear_mwmae.config import FRONT_END_BANDS, LARGEST, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.flax_checkpoint import FlaxCheckpoint, read_flax_checkpoint
from hear_mwmae.model_file import DECODER_PREFIX, ENCODER_PREFIX
from hear_mwmae.names import printable
from hear_mwmae.parameter_shapes import decoder_shapes, encoder_shapes
from hear_mwmae.weights import Weights

# What a checkpoint may hold beside encoder and decoder: the heads of supervised runs.
SUPERVISED = ("fc_norm/", "head/")
ENCODER_NAMES = {
    "patch_embed/proj": "patch_embed",
    "pos_embed": "position_codes",
    "cls_token": "class_token",
    "encoder_norm": "norm",
}
DECODER_NAMES = {
    "decoder_embed": "embed",
    "decoder_pos_embed": "position_codes",
    "mask_token": "mask_token",
    "decoder_norm": "norm",
    "decoder_pred": "predict",
}
BLOCK_NAMES = {
    "LayerNorm_0": "norm1",
    "LayerNorm_1": "norm2",
    "Attention_0/Dense_0": "attention.qkv",
    "Attention_0/Dense_1": "attention.out",
    "wmha_block/qkv": "attention.qkv",
    "wmha_block/proj": "attention.out",
    "Mlp_0/Dense_0": "mlp.hidden",
    "Mlp_0/Dense_1": "mlp.out",
}
LEAF_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
BLOCK = re.compile(r"(encoder|decoder)_block_([0-9]{1,4})/(.+)")
BIAS_TABLE = re.compile(r"wmha_block/attn_heads_([0-9]{1,4})/relative_position_bias_table")

Number = TypeVar("Number", bool, int, float)


class Stated(TypedDict, total=False):
    """Fields of `ModelConfig` that the parameters do not show."""

    decoder_heads: int
    mask_ratio: float
    norm_pix_loss: bool


def convert_checkpoint(
    path: Path,
    *,
    config: ModelConfig | None = None,
    heads: int | None = None,
    decoder: bool = False,
    decoder_heads: int | None = None,
    mask_ratio: float | None = None,
) -> Weights:
    """Read a checkpoint of the released code as this package's weights.

    The shape is `config` where the model is known by name; otherwise it is read off the parameters, except
    for the encoder's head count, which they do not tell. The decoder's head count and the mask ratio are what
    the run's config.json says, or what is given. Where neither tells, an encoder alone gets the defaults, and
    its provenance lists them as "assumed".

    Raises:
        UserError: no readable checkpoint, no head count, a decoder of which config.json does not tell all,
            or parameters of another shape.
    """
    checkpoint = read_flax_checkpoint(path)
    name = printable(checkpoint.path)
    stated = _stated(checkpoint)
    if decoder_heads is not None:
        stated["decoder_heads"] = decoder_heads
    if mask_ratio is not None:
        stated["mask_ratio"] = mask_ratio
    if config is not None:
        _check_stated(name, config, stated)
        stated.pop("decoder_heads", None)
        config, assumed = dataclasses.replace(config, **stated), []
    elif heads is None:
        raise UserError(
            f"{name}: its parameters do not tell the encoder's head count; give heads or the model "
            "(--heads, --model; in an evaluation --model-options '{\"heads\": 12}')."
        )
    else:
        config = infer_config(checkpoint, heads, stated)
        assumed = [field for field in ("decoder_heads", "mask_ratio") if field not in stated]
    if assumed and decoder:
        raise UserError(
            f"{name}: its parameters do not tell {' and '.join(assumed)} of the decoder, nor does a "
            "config.json beside it: put that there, or give --decoder-heads and --mask-ratio (or --model)."
        )
    tensors = dict(_tensor(checkpoint.path, name, array) for name, array in checkpoint.params.items()
                   if not name.startswith(SUPERVISED))  # fmt: skip
    expected = encoder_shapes(config) | decoder_shapes(config)
    _check_shapes(checkpoint.path, tensors, expected, decoder=decoder)
    prefixes = (ENCODER_PREFIX, DECODER_PREFIX) if decoder else (ENCODER_PREFIX,)
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    origin = name_as_text(f"{path.resolve().name}/{checkpoint.path.name}")
    provenance: dict[str, object] = {"converted_from": origin, "step": checkpoint.step}
    if assumed:
        provenance["assumed"] = {field: getattr(config, field) for field in assumed}
    return Weights(config, kept, provenance)


def _stated(checkpoint: FlaxCheckpoint) -> Stated:
    """What the run's config.json says of the decoder and its training."""
    stated: Stated = {}
    if "decoder_num_heads" in checkpoint.model_args:
        stated["decoder_heads"] = _number(checkpoint, "decoder_num_heads", int)
    if "mask_ratio" in checkpoint.model_args:
        stated["mask_ratio"] = _number(checkpoint, "mask_ratio", int, float)
    if "norm_pix_loss" in checkpoint.model_args:
        stated["norm_pix_loss"] = _number(checkpoint, "norm_pix_loss", bool)
    return stated


def _number(checkpoint: FlaxCheckpoint, name: str, *kinds: type[Number]) -> Number:
    value = checkpoint.model_args[name]
    if type(value) not in kinds or not 0 <= value <= LARGEST["decoder_heads"]:
        file = printable(checkpoint.path.parent / "config.json")
        raise UserError(
            f"{file}: {name} = {printable(repr(value)[:80])} is no such number; repair or remove the file."
        )
    return value


def _check_stated(name: str, config: ModelConfig, stated: Stated) -> None:
    heads = stated.get("decoder_heads", config.decoder_heads)
    if heads != config.decoder_heads:
        raise UserError(
            f"{name}: is said to have {heads} decoder heads where this model has {config.decoder_heads}; "
            "name the model it was trained as."
        )


def infer_config(checkpoint: FlaxCheckpoint, heads: int, stated: Stated) -> ModelConfig:
    """Read the shape of a model off its parameters; `stated` adds what they do not show.

    Raises:
        UserError: parameters that are missing or do not form such a model.
    """
    params = checkpoint.params
    front_end = "log_mel_80"
    try:
        frames, bands, _, width = params["patch_embed/proj/kernel"].shape
        class_token = "cls_token" in params
        tokens = params["pos_embed"].shape[1] - class_token
        decoder_width = params["decoder_pos_embed"].shape[2]
        hidden = params["encoder_block_00/Mlp_0/Dense_0/kernel"].shape[1]
        columns = tokens // max(FRONT_END_BANDS[front_end] // bands, 1)
        mlp_ratio = hidden // width
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise UserError(
            f"{printable(checkpoint.path)}: not a masked autoencoder of the released code "
            f"({printable(repr(error))})."
        ) from None
    windows = _decoder_windows(checkpoint, stated)
    return ModelConfig(
        input_size=(columns * frames, FRONT_END_BANDS[front_end]),
        patch_size=(frames, bands),
        front_end=front_end,
        width=width,
        depth=_depth(params, "encoder"),
        heads=heads,
        mlp_ratio=mlp_ratio,
        class_token=class_token,
        decoder_width=decoder_width,
        decoder_depth=max(1, _depth(params, "decoder")),
        decoder_heads=len(windows) or stated.get("decoder_heads", ModelConfig.decoder_heads),
        decoder_windows=windows,
        mask_ratio=float(stated.get("mask_ratio", ModelConfig.mask_ratio)),
        norm_pix_loss=bool(stated.get("norm_pix_loss", ModelConfig.norm_pix_loss)),
    )


def _depth(params: dict[str, np.ndarray], part: str) -> int:
    return len({name.split("/")[0] for name in params if name.startswith(f"{part}_block_")})


def _decoder_windows(checkpoint: FlaxCheckpoint, stated: Stated) -> tuple[int, ...]:
    """Windows of the first decoder block's heads; heads without a table of 2w - 1 biases are global."""
    tables = {}
    for name, array in checkpoint.params.items():
        match = BIAS_TABLE.fullmatch(name.removeprefix("decoder_block_00/"))
        if match:
            tables[int(match[1])] = (array.size + 1) // 2
    if not tables:
        return ()
    # Global heads leave no parameters of their own; the paper's rule ends the list with two.
    heads = stated.get("decoder_heads", max(tables) + 3)
    return tuple(tables.get(head, 0) for head in range(max(heads, max(tables) + 1)))


def _tensor(path: Path, name: str, array: np.ndarray) -> tuple[str, Tensor]:
    """One parameter under its name and in its layout here, as float32."""
    own_name = _own_name(name)
    shown = printable(name)[:80]
    if own_name is None:
        raise UserError(f"{printable(path)}: parameter {shown} belongs to no model that this package knows.")
    try:
        if name == "patch_embed/proj/kernel":
            array = array.reshape(-1, array.shape[-1])
        if name.endswith("kernel"):
            array = array.T
        elif name.endswith(("pos_embed", "_token")):
            array = array.reshape(array.shape[-2:] if name.endswith("pos_embed") else -1)
        elif name.endswith("bias_table"):
            array = array.reshape(-1)
    except (ValueError, IndexError):
        raise UserError(f"{printable(path)}: parameter {shown} has the shape {array.shape}.") from None
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(values).all():
        raise UserError(f"{printable(path)}: parameter {shown} holds values beyond float32.")
    return own_name, torch.from_numpy(values)


def _own_name(name: str) -> str | None:
    block = BLOCK.fullmatch(name)
    if block:
        prefix, index, rest = block[1], int(block[2]), block[3]
        table = BIAS_TABLE.fullmatch(rest)
        if table:
            return f"{prefix}.blocks.{index}.attention.bias_tables.{int(table[1])}"
        own, prefix = _with_leaf(BLOCK_NAMES, rest), f"{prefix}.blocks.{index}."
    elif (own := _with_leaf(ENCODER_NAMES, name)) is not None:
        prefix = ENCODER_PREFIX
    else:
        own, prefix = _with_leaf(DECODER_NAMES, name), DECODER_PREFIX
    return None if own is None else prefix + own


def _with_leaf(names: dict[str, str], name: str) -> str | None:
    if name in names:
        return names[name]
    module, _, leaf = name.rpartition("/")
    return f"{names[module]}.{LEAF_NAMES[leaf]}" if module in names and leaf in LEAF_NAMES else None


def _check_shapes(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], *, decoder: bool
) -> None:
    """Refuse a checkpoint of another shape; without `decoder` one that lacks decoder parameters passes."""
    for name in [*expected, *sorted(tensors.keys() - expected.keys())]:
        absent_decoder = name not in tensors and name.startswith(DECODER_PREFIX) and not decoder
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != expected.get(name) and not absent_decoder:
            needed = expected.get(name) or "none"
            raise UserError(
                f"{printable(path)}: {name} has {found or 'no entry'} where this model has {needed}; "
                "the checkpoint is of another model: name the one it was trained as."
            )
