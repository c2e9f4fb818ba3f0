"""Parameters, gradients and arrays of the released code in the form that `hear_mwmae.pretrain` uses."""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import SHARED

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.model.mae import Params

GOLDEN = SHARED / "golden"
SMALL = {
    "mwmae": ModelConfig(
        width=64,
        depth=2,
        heads=4,
        decoder_width=48,
        decoder_depth=2,
        decoder_windows=(2, 5, 10, 25, 50, 125, 0, 0),
    ),
    "mae": ModelConfig(width=64, depth=2, heads=4, class_token=True, decoder_width=48, decoder_depth=2),
}
"""The models of the golden arrays."""
MODULES = {
    "patch_embed/proj": "encoder/patch_embed",
    "pos_embed": "encoder/position_codes",
    "cls_token": "encoder/class_token",
    "encoder_norm": "encoder/norm",
    "decoder_embed": "decoder/embed",
    "decoder_pos_embed": "decoder/position_codes",
    "mask_token": "decoder/mask_token",
    "decoder_norm": "decoder/norm",
    "decoder_pred": "decoder/predict",
}
IN_BLOCK = {
    "LayerNorm_0": "norm1",
    "LayerNorm_1": "norm2",
    "Attention_0/Dense_0": "attention/qkv",
    "Attention_0/Dense_1": "attention/out",
    "wmha_block/qkv": "attention/qkv",
    "wmha_block/proj": "attention/out",
    "Mlp_0/Dense_0": "mlp/hidden",
    "Mlp_0/Dense_1": "mlp/out",
}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden arrays are not at {GOLDEN}")


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of one golden file."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def own_name(name: str) -> tuple[str, int | None]:
    """Path of a parameter of the released code in our dictionary, and its block, if it belongs to one."""
    block = re.fullmatch(r"(encoder|decoder)_block_(\d+)/(.+)", name)
    if block is None:
        return _with_leaf(MODULES, name), None
    table = re.fullmatch(r"wmha_block/attn_heads_(\d+)/relative_position_bias_table", block[3])
    rest = f"attention/bias_tables/{table[1]}" if table else _with_leaf(IN_BLOCK, block[3])
    return f"{block[1]}/blocks/{rest}", int(block[2])


def _with_leaf(modules: Mapping[str, str], name: str) -> str:
    if name in modules:
        return modules[name]
    module, _, leaf = name.rpartition("/")
    return f"{modules[module]}/{LEAVES[leaf]}"


def params_from_release(arrays: Mapping[str, np.ndarray], config: ModelConfig) -> Params:
    """Parameters (or gradients) of the released code by their names there, all of them, as ours."""
    flat: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        own, block = own_name(name)
        if block is None:
            flat[own] = _in_our_shape(own, array)
        else:
            depth = config.depth if own.startswith("encoder") else config.decoder_depth
            value = array.reshape(-1) if "bias_tables" in own else array
            flat.setdefault(own, np.zeros((depth, *value.shape), np.float32))[block] = value
    return _nested({name: jnp.asarray(array, jnp.float32) for name, array in flat.items()})


def _in_our_shape(own: str, array: np.ndarray) -> np.ndarray:
    if own == "encoder/patch_embed/weight":
        return array.reshape(-1, array.shape[-1])
    if own.endswith("_token"):
        return array.reshape(-1)
    return array[0] if own.endswith("position_codes") else array


def _nested(flat: Mapping[str, jax.Array]) -> Params:
    tree: Params = {}
    for name, array in flat.items():
        *path, leaf = name.split("/")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = array
    return tree


def checkpoint_params(name: str) -> Params:
    """Parameters of one of the small checkpoints of the released code."""
    from hear_mwmae.flax_checkpoint import read_flax_checkpoint

    kind = name.split("_")[0]
    return params_from_release(read_flax_checkpoint(GOLDEN / f"ckpt_{name}").params, SMALL[kind])
