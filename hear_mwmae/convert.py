"""Parameters of the released code under this package's names, with every shape checked.

Dense kernels are (in, out) there and (out, in) here; the patch kernel is (time, frequency, 1, width) there.
"""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hear_mwmae.config import FRONT_END_BANDS, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.flax_checkpoint import FlaxCheckpoint, read_flax_checkpoint
from hear_mwmae.model_file import DECODER_PREFIX, ENCODER_PREFIX
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
BLOCK = re.compile(r"(encoder|decoder)_block_(\d+)/(.+)")
BIAS_TABLE = re.compile(r"wmha_block/attn_heads_(\d+)/relative_position_bias_table")


def convert_checkpoint(
    path: Path, *, config: ModelConfig | None = None, heads: int | None = None, decoder: bool = False
) -> Weights:
    """Read a checkpoint of the released code as this package's weights.

    The shape is `config` where the model is known by name; otherwise it is read off the parameters, except
    for the encoder's head count, which they do not tell.

    Raises:
        UserError: no readable checkpoint, no head count, or parameters of another shape.
    """
    checkpoint = read_flax_checkpoint(path)
    if config is None:
        if heads is None:
            raise UserError(
                f"{path}: its parameters do not tell the encoder's head count; give heads or the model "
                "(--heads, --model; in an evaluation --model-options '{\"heads\": 12}')."
            )
        config = infer_config(checkpoint, heads)
    tensors = dict(_tensor(checkpoint.path, name, array) for name, array in checkpoint.params.items()
                   if not name.startswith(SUPERVISED))  # fmt: skip
    expected = encoder_shapes(config) | decoder_shapes(config)
    _check_shapes(checkpoint.path, tensors, expected, decoder=decoder)
    prefixes = (ENCODER_PREFIX, DECODER_PREFIX) if decoder else (ENCODER_PREFIX,)
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
    provenance = {"converted_from": f"{path.resolve().name}/{checkpoint.path.name}", "step": checkpoint.step}
    return Weights(config, kept, provenance)


def infer_config(checkpoint: FlaxCheckpoint, heads: int) -> ModelConfig:
    """Read the shape of a model off its parameters; config.json, where present, adds what they do not show.

    Raises:
        UserError: parameters that are missing or do not form such a model.
    """
    params, args = checkpoint.params, checkpoint.model_args
    try:
        frames, bands, _, width = params["patch_embed/proj/kernel"].shape
        class_token = "cls_token" in params
        tokens = params["pos_embed"].shape[1] - class_token
        decoder_width = params["decoder_pos_embed"].shape[2]
        hidden = params["encoder_block_00/Mlp_0/Dense_0/kernel"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"{checkpoint.path}: not a masked autoencoder of the released code ({error!r})."
        ) from None
    front_end = "log_mel_80"
    rows = FRONT_END_BANDS[front_end] // bands
    windows = _decoder_windows(checkpoint)
    return ModelConfig(
        input_size=(tokens // max(rows, 1) * frames, FRONT_END_BANDS[front_end]),
        patch_size=(frames, bands),
        front_end=front_end,
        width=width,
        depth=_depth(params, "encoder"),
        heads=heads,
        mlp_ratio=hidden // width,
        class_token=class_token,
        decoder_width=decoder_width,
        decoder_depth=max(1, _depth(params, "decoder")),
        decoder_heads=len(windows) or int(args.get("decoder_num_heads", ModelConfig.decoder_heads)),
        decoder_windows=windows,
        mask_ratio=float(args.get("mask_ratio", ModelConfig.mask_ratio)),
    )


def _depth(params: dict[str, np.ndarray], part: str) -> int:
    return len({name.split("/")[0] for name in params if name.startswith(f"{part}_block_")})


def _decoder_windows(checkpoint: FlaxCheckpoint) -> tuple[int, ...]:
    """Windows of the first decoder block's heads; heads without a table of 2w - 1 biases are global."""
    tables = {}
    for name, array in checkpoint.params.items():
        match = BIAS_TABLE.fullmatch(name.removeprefix("decoder_block_00/"))
        if match:
            tables[int(match[1])] = (len(array) + 1) // 2
    if not tables:
        return ()
    # Global heads leave no parameters of their own; the paper's rule ends the list with two.
    heads = int(checkpoint.model_args.get("decoder_num_heads", max(tables) + 3))
    return tuple(tables.get(head, 0) for head in range(max(heads, max(tables) + 1)))


def _tensor(path: Path, name: str, array: np.ndarray) -> tuple[str, Tensor]:
    """One parameter under its name and in its layout here, as float32."""
    own_name = _own_name(name)
    if own_name is None:
        raise UserError(f"{path}: parameter {name} belongs to no model that this package knows.")
    if name == "patch_embed/proj/kernel":
        array = array.reshape(-1, array.shape[-1])
    if name.endswith("kernel"):
        array = array.T
    elif name.endswith(("pos_embed", "_token")):
        array = array.reshape(array.shape[-2:] if name.endswith("pos_embed") else -1)
    elif name.endswith("bias_table"):
        array = array.reshape(-1)
    return own_name, torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


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


def _block_shapes(prefix: str, width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{prefix}{norm}.weight": (width,), f"{prefix}{norm}.bias": (width,)}
    layers = {
        "attention.qkv": (3 * width, width),
        "attention.out": (width, width),
        "mlp.hidden": (hidden, width),
        "mlp.out": (width, hidden),
    }
    for name, shape in layers.items():
        shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
    return shapes


def _bias_table_shapes(
    prefix: str, config: ModelConfig, windows: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    heads = [head for head, window in enumerate(windows) if window and config.relative_position_bias]
    return {f"{prefix}attention.bias_tables.{head}": (2 * windows[head] - 1,) for head in heads}


def encoder_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every encoder parameter in a model file."""
    width, pixels = config.width, config.patch_size[0] * config.patch_size[1]
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.patch_embed.weight": (width, pixels),
        "encoder.patch_embed.bias": (width,),
        "encoder.position_codes": (config.tokens + config.class_token, width),
        "encoder.norm.weight": (width,),
        "encoder.norm.bias": (width,),
    }
    if config.class_token:
        shapes["encoder.class_token"] = (width,)
    for index in range(config.depth):
        prefix = f"encoder.blocks.{index}."
        shapes |= _block_shapes(prefix, width, config.mlp_ratio * width)
        shapes |= _bias_table_shapes(prefix, config, config.encoder_windows)
    return shapes


def decoder_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every decoder parameter in a model file."""
    width, pixels = config.decoder_width, config.patch_size[0] * config.patch_size[1]
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.embed.weight": (width, config.width),
        "decoder.embed.bias": (width,),
        "decoder.mask_token": (width,),
        "decoder.position_codes": (config.decoder_tokens, width),
        "decoder.norm.weight": (width,),
        "decoder.norm.bias": (width,),
        "decoder.predict.weight": (pixels, width),
        "decoder.predict.bias": (pixels,),
    }
    for index in range(config.decoder_depth):
        prefix = f"decoder.blocks.{index}."
        shapes |= _block_shapes(prefix, width, config.mlp_ratio * width)
        shapes |= _bias_table_shapes(prefix, config, config.decoder_windows)
    return shapes


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
                f"{path}: {name} has {found or 'no entry'} where this model has {needed}; "
                "the checkpoint is of another model: name the one it was trained as."
            )
