"""Parameters, gradients and arrays of the released Audio-MAE in the form that `hear_mwmae.pretrain` uses."""

import dataclasses
import functools
import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pytest
from paths import SHARED

from hear_mwmae.config import AUDIO_MAE_B, ModelConfig

GOLDEN = SHARED / "golden_audiomae"
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="outputs of the original program are not beside this checkout"
)
LOCAL = dataclasses.replace(
    AUDIO_MAE_B, width=48, depth=2, heads=4, decoder_width=32, position_grid="audiomae-released"
)
MODELS: dict[str, ModelConfig] = {
    "mae_local": LOCAL,
    "mae_global": dataclasses.replace(LOCAL, decoder_attention="global", decoder_depth=2, decoder_heads=8),
}
"""The models of the golden arrays."""
PLACES = {
    "cls_token": "encoder/class_token",
    "pos_embed": "encoder/position_codes",
    "patch_embed.proj": "encoder/patch_embed",
    "norm": "encoder/norm",
    "mask_token": "decoder/mask_token",
    "decoder_pos_embed": "decoder/position_codes",
    "decoder_embed": "decoder/embed",
    "decoder_norm": "decoder/norm",
    "decoder_pred": "decoder/predict",
    "fc_norm": "norm",
    "head": "head",
}
IN_BLOCK = {
    "attn.qkv": "attention/qkv",
    "attn.proj": "attention/out",
    "attn.tau": "attention/temperature",
    "attn.meta_mlp.fc1": "attention/position_mlp/hidden",
    "attn.meta_mlp.fc2": "attention/position_mlp/out",
    "mlp.fc1": "mlp/hidden",
    "mlp.fc2": "mlp/out",
    "norm1": "norm1",
    "norm2": "norm2",
}


@functools.cache
def load(name: str) -> dict[str, np.ndarray]:
    """Read an array file."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def images(name: str) -> np.ndarray:
    """Normalised filter banks [clips, 1024, 128] that a model's arrays are of."""
    front_end = load("frontend")
    return np.stack([front_end[f"{case}/normalised"] for case in load(name)["imgs_cases"]])


def place(name: str) -> tuple[str, int | None]:
    """Return where a parameter of the release lies here, with the number of its block."""
    block = re.fullmatch(r"(decoder_)?blocks\.(\d+)\.(.+)", name)
    known = IN_BLOCK if block else PLACES
    inner = block[3] if block else name
    module, _, leaf = inner.rpartition(".")
    path = known[inner] if inner in known else f"{known[module]}/{leaf}"
    if not block:
        return path, None
    return f"{'decoder' if block[1] else 'encoder'}/blocks/{path}", int(block[2])


def layout(name: str, array: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Return a parameter, or its gradient, as it is laid out here."""
    if name == "patch_embed.proj.weight":
        return array.reshape(len(array), -1).T
    if name == "decoder_pos_embed":
        return array[0][-config.decoder_tokens :]
    if name.endswith(("pos_embed", "_token")):
        return array.reshape(array.shape[-2:] if name.endswith("pos_embed") else -1)
    return array.T if array.ndim == 2 else array


def params(name: str, config: ModelConfig) -> dict:
    """Return the parameters of a golden model, blocks stacked."""
    flat: dict[str, dict[int | None, np.ndarray]] = {}
    for key, array in load(f"{name}_weights").items():
        path, block = place(key)
        flat.setdefault(path, {})[block] = layout(key, array, config)
    tree: dict = {}
    for path, blocks in flat.items():
        *folders, leaf = path.split("/")
        node = functools.reduce(lambda inner, folder: inner.setdefault(folder, {}), folders, tree)
        whole = blocks[None] if None in blocks else np.stack([blocks[i] for i in range(len(blocks))])
        node[leaf] = jnp.asarray(whole)
    return tree


def leaf(tree: Mapping, name: str) -> np.ndarray:
    """Return what a tree in our form holds of one parameter of the release."""
    path, block = place(name)
    found = functools.reduce(lambda node, folder: node[folder], path.split("/"), tree)
    return np.asarray(found if block is None else found[block])
