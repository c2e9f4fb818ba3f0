"""Files of the released Audio-MAE code as this package's weights, with every shape checked.

`pretrained.pth` holds an encoder and a decoder, global or local, a fine-tuned file an encoder and a
classifier (`models_mae.py` and `models_vit.py` of github.com/facebookresearch/AudioMAE). Position tables are
stored as the file has them. The files do not tell by which mean and deviation the filter banks were
normalised: AudioSet's are taken.
"""

import argparse
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hear_mwmae.config import AUDIO_MAE_B, FRONT_END_BANDS, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.flax_checkpoint import LARGEST_STEP
from hear_mwmae.names import printable
from hear_mwmae.parameter_shapes import Shapes, decoder_shapes, encoder_shapes
from hear_mwmae.torch_file import read_torch_file, tensors_of
from hear_mwmae.weights import Weights

HEAD_WIDTH = 64
"""Channels of one head of the encoder in every released size; the parameters do not tell."""
DECODER_HEADS = 16
"""Of the decoder in every released size; a local decoder's parameters tell."""
UNUSED = ("decoder_emb_pixel.", "encoder_emb.")
"""Beginnings of names that a pre-training file may hold besides, in a notebook of the released code."""
RELEASED_DECODER = ("decoder_", "mask_token")
CLASSIFIER = ("head.weight", "head.bias")
NAMES = {
    "encoder.patch_embed": "patch_embed.proj",
    "encoder.position_codes": "pos_embed",
    "encoder.class_token": "cls_token",
    "encoder.norm": "norm",
    "decoder.embed": "decoder_embed",
    "decoder.position_codes": "decoder_pos_embed",
    "decoder.mask_token": "mask_token",
    "decoder.norm": "decoder_norm",
    "decoder.predict": "decoder_pred",
}
BLOCK_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "attention.temperature": "attn.tau",
    "attention.position_mlp.hidden": "attn.meta_mlp.fc1",
    "attention.position_mlp.out": "attn.meta_mlp.fc2",
    "mlp.hidden": "mlp.fc1",
    "mlp.out": "mlp.fc2",
}
BLOCK = re.compile(r"(encoder|decoder)\.(blocks\.[0-9]+)\.(.+)")
RELEASED_BLOCK = re.compile(r"(decoder_)?blocks\.([0-9]{1,4})\..+")
TEMPERATURE = "decoder_blocks.0.attn.tau"


def convert_audio_mae(
    path: Path,
    *,
    heads: int | None = None,
    decoder: bool = False,
    decoder_heads: int | None = None,
    mask_ratio: float | None = None,
) -> Weights:
    """Read a file of the released Audio-MAE code.

    The shape is read off the parameters. The last normalisation of a fine-tuned encoder is that of the mean
    of its tokens (`norm_after_pooling`); its classifier is left out. The provenance says what kind of file it
    was ("kind"), which entries were ignored, and what of the decoder nothing tells ("assumed").

    Args:
        path: a file of torch, its parameters under "model" or by themselves.
        heads: of the encoder; None is one for every 64 channels.
        decoder: keep the decoder too.
        decoder_heads: of a global decoder; None is 16.
        mask_ratio: of the pre-training; None is what the file's arguments say, or 0.8.

    Raises:
        UserError: no such file, parameters that are missing, superfluous or of another shape, or values that
            are not finite.
    """
    content = read_torch_file(path)
    found = tensors_of(content, path, key="model")
    released = {name: tensor for name, tensor in found.items() if not name.startswith(UNUSED)}
    stated = _stated(content.get("args")) | _given(decoder_heads=decoder_heads, mask_ratio=mask_ratio)
    config = infer_config(path, released, heads=heads, stated=stated)
    provenance = _provenance(config, found, stated)
    if decoder and not _has_decoder(released):
        raise UserError(f"{printable(path)}: holds no decoder ({provenance['kind']}); leave --decoder out.")
    _check_shapes(path, released, config, decoder=decoder)
    shapes = encoder_shapes(config) | (decoder_shapes(config) if decoder else {})
    kept = {
        name: _own_layout(path, released[_released_name(name, config)], name, shape)
        for name, shape in shapes.items()
    }
    epoch = content.get("epoch")
    trained = {"epoch": epoch} if type(epoch) is int and 0 <= epoch < LARGEST_STEP else {}
    origin = name_as_text(path.resolve().name)
    return Weights(config, kept, {"converted_from": origin, **provenance, **trained})


def infer_config(
    path: Path, released: Mapping[str, Tensor], *, heads: int | None, stated: Mapping[str, Any]
) -> ModelConfig:
    """Read the shape of a model off its parameters; `stated` adds what they do not show.

    Without a decoder, that of the configuration is a global one of the released size.

    Raises:
        UserError: parameters that are missing or do not form such a model.
    """
    width, _, frames, bins = _shape(path, released, "patch_embed.proj.weight", 4)
    rows = _shape(path, released, "pos_embed", 3)[1]
    hidden = _shape(path, released, "blocks.0.mlp.fc1.weight", 2)[0]
    bands = FRONT_END_BANDS[AUDIO_MAE_B.front_end] // max(1, bins)
    columns, rest = divmod(rows - 1, max(1, bands))
    if rest:
        raise UserError(
            f"{printable(path)}: 'pos_embed' has {rows} rows, which are not a class token and columns of "
            f"{bands} patches; name another file."
        )
    if not heads and width % HEAD_WIDTH:
        raise UserError(
            f"{printable(path)}: its width of {width} does not tell the encoder's head count; give heads "
            "(--heads; in an evaluation --model-options '{\"heads\": 12}')."
        )
    return dataclasses.replace(
        AUDIO_MAE_B,
        input_size=(columns * frames, FRONT_END_BANDS[AUDIO_MAE_B.front_end]),
        patch_size=(frames, bins),
        width=width,
        depth=_depth(released, decoder=False),
        heads=heads or width // HEAD_WIDTH,
        mlp_ratio=hidden // max(1, width),
        position_grid="audiomae-released",
        norm_after_pooling="fc_norm.weight" in released,
        # Of the released script, where the file does not say.
        **{"norm_pix_loss": True, **_decoder(path, released), **stated},
    )


def _decoder(path: Path, released: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields of `ModelConfig` for the decoder that is in a file."""
    fields: dict[str, Any] = {"decoder_attention": "global", "decoder_heads": DECODER_HEADS}
    if "decoder_embed.weight" in released:
        fields["decoder_width"] = _shape(path, released, "decoder_embed.weight", 2)[0]
        fields["decoder_depth"] = max(1, _depth(released, decoder=True))
    if TEMPERATURE in released:
        heads = _shape(path, released, TEMPERATURE, 1)[0]
        fields |= {"decoder_attention": "local", "decoder_heads": heads}
    return fields


def _shape(path: Path, released: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    shape = tuple(released[name].shape) if name in released else ()
    if len(shape) == axes:
        return shape
    found = f"of shape {shape}" if name in released else "missing"
    raise UserError(
        f"{printable(path)}: no Audio-MAE of the released code: '{name}' is {found}; name another file."
    )


def _depth(released: Mapping[str, Tensor], *, decoder: bool) -> int:
    blocks = filter(None, map(RELEASED_BLOCK.fullmatch, released))
    return len({block[2] for block in blocks if bool(block[1]) == decoder})


def _stated(arguments: object) -> dict[str, Any]:
    """What the training script's arguments, saved beside the weights, say of the pre-training."""
    values = vars(arguments) if isinstance(arguments, argparse.Namespace) else {}
    ratio, norm_pix_loss = values.get("mask_ratio"), values.get("norm_pix_loss")
    return _given(
        mask_ratio=ratio if type(ratio) is float else None,
        norm_pix_loss=norm_pix_loss if type(norm_pix_loss) is bool else None,
    )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _provenance(
    config: ModelConfig, found: Mapping[str, Tensor], stated: Mapping[str, Any]
) -> dict[str, object]:
    """What kind of file it is, what of it is ignored, and what of its decoder nothing tells."""
    ignored = sorted(name for name in found if name.startswith(UNUSED))
    if config.norm_after_pooling:
        ignored += [name for name in CLASSIFIER if name in found]
        classes = found["head.bias"].numel() if "head.bias" in found else 0
        return {"kind": f"fine-tuned with {classes} classes", "fine_tuned": True, "ignored": ignored}
    about: dict[str, object] = {"ignored": ignored} if ignored else {}
    if not _has_decoder(found):
        return {"kind": "pre-trained, encoder only", **about}
    known = {*stated, *(["decoder_heads"] if config.decoder_attention == "local" else [])}
    if unknown := sorted({"decoder_heads", "mask_ratio", "norm_pix_loss"} - known):
        about["assumed"] = {field: getattr(config, field) for field in unknown}
    kind = f"pre-trained with a {config.decoder_attention} decoder of depth {config.decoder_depth}"
    return {"kind": kind, **about}


def _has_decoder(released: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("decoder_") and not name.startswith(UNUSED) for name in released)


def released_shapes(config: ModelConfig) -> Shapes:
    """Name and shape in the released files of every parameter of a model, its decoder's included."""
    own = encoder_shapes(config) | decoder_shapes(config)
    return {_released_name(name, config): _released_shape(name, own[name], config) for name in own}


def _released_name(own: str, config: ModelConfig) -> str:
    block = BLOCK.fullmatch(own)
    if block:
        stack = "decoder_" if block[1] == "decoder" else ""
        return f"{stack}{block[2]}.{_renamed(block[3], BLOCK_NAMES)}"
    name = _renamed(own, NAMES)
    return f"fc_{name}" if config.norm_after_pooling and name.startswith("norm.") else name


def _renamed(own: str, names: Mapping[str, str]) -> str:
    if own in names:
        return names[own]
    module, _, leaf = own.rpartition(".")
    return f"{names[module]}.{leaf}"


def _released_shape(own: str, shape: tuple[int, ...], config: ModelConfig) -> tuple[int, ...]:
    if own == "encoder.patch_embed.weight":
        return shape[0], 1, *config.patch_size
    if own.endswith(".position_codes"):
        # A local decoder's table has a row for the class token too, which it does not see.
        return 1, config.tokens + 1, shape[1]
    return (1, 1, *shape) if own.endswith("_token") else shape


def _check_shapes(path: Path, released: Mapping[str, Tensor], config: ModelConfig, *, decoder: bool) -> None:
    """Refuse a file of another model; without `decoder` one that lacks decoder parameters passes."""
    wanted = released_shapes(config)
    optional = {name for name in wanted if not decoder and name.startswith(RELEASED_DECODER)}
    if config.norm_after_pooling and "head.weight" in released:
        classes = len(released["head.weight"]) if released["head.weight"].ndim else 0
        wanted |= {"head.weight": (classes, config.width), "head.bias": (classes,)}
    for name in sorted(wanted.keys() | released.keys()):
        found = tuple(released[name].shape) if name in released else None
        if found == wanted.get(name) or (found is None and name in optional):
            continue
        raise UserError(
            f"{printable(path)}: '{printable(name)[:80]}' is {found or 'missing'} where the model has "
            f"{wanted.get(name, 'no such parameter')}; the file is of another model: name another one."
        )


def _own_layout(path: Path, tensor: Tensor, own: str, shape: tuple[int, ...]) -> Tensor:
    """A released parameter in our layout, as float32."""
    if own.endswith(".position_codes"):
        tensor = tensor[:, -shape[0] :]
    values = tensor.float().reshape(shape)
    if not torch.isfinite(values).all():
        raise UserError(f"{printable(path)}: {own} holds NaN or infinite values; download the file again.")
    return values
