"""Transformer blocks as plain functions over dictionaries of parameters.

A plain block normalises first (epsilon 1e-6); `local` has another. Weights are (in, out). The blocks of a
stack share one dictionary, whose arrays have the depth as their leading axis, and run in a scan: compile time
does not grow with depth. Statistics of a normalisation, logits and softmax are float32; all else has the type
of the activations.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hear_mwmae.pretrain.model.windows import multi_window_attention

Params = dict[str, Any]
"""Parameters by name, nested."""
Gather = Callable[[Params], Params]
"""Makes parameters whole on every device where devices hold parts of them."""
Block = Callable[[Params, Array, Array, dict[str, Any] | None], Array]
"""One block of a stack, of its parameters, the tokens, its index, and a dictionary for what it computes."""
Gelu = Callable[[Array], Array]
NORM_EPSILON = 1e-6

# Cheap to compute a second time, and what they would keep for the backward pass is more than half of what a
# step needs. A scan computes its passes apart, hence nothing has to keep the compiler from merging them.
compute_again = partial(jax.checkpoint, prevent_cse=False)


def product_precision(dtype: jnp.dtype) -> AbstractContextManager[object]:
    """Return the context in which products of float32 numbers are float32 on every device.

    By default accelerators round their factors, TPUs to bfloat16, GPUs to TF32.
    """
    return jax.default_matmul_precision("highest" if dtype == jnp.float32 else "default")


def linear(params: Params, x: Float[Array, "*batch size"]) -> Float[Array, "*batch out"]:
    """x W + b."""
    return x @ params["weight"].astype(x.dtype) + params["bias"].astype(x.dtype)


@compute_again
def layer_norm(params: Params, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, over the last axis."""
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + NORM_EPSILON)
    return (normal * params["weight"] + params["bias"]).astype(x.dtype)


def attention(
    params: Params,
    x: Float[Array, "batch tokens width"],
    *,
    heads: int,
    windows: Sequence[int],
    kernel: str,
    out: dict[str, Any] | None,
) -> Float[Array, "batch tokens width"]:
    """Attention between a fused input projection (query, key, value; then head) and an output projection."""
    batch, tokens, width = x.shape
    qkv = linear(params["qkv"], x).reshape(batch, tokens, 3, heads, width // heads)
    maps = None if out is None else out.setdefault("attention", {})
    mixed = multi_window_attention(
        *(qkv[:, :, part] for part in range(3)),
        windows=windows,
        bias_tables=params.get("bias_tables"),
        kernel=kernel,
        out=maps,
    )
    if out is not None:
        out["head_outputs"] = mixed
    return linear(params["out"], mixed.reshape(batch, tokens, width))


@compute_again
def gelu_by_tanh(x: Float[Array, "*batch hidden"]) -> Float[Array, "*batch hidden"]:
    """x Phi(x), in the approximation by tanh: MW-MAE's."""
    return jax.nn.gelu(x, approximate=True)


@compute_again
def exact_gelu(x: Float[Array, "*batch hidden"]) -> Float[Array, "*batch hidden"]:
    """x Phi(x): Audio-MAE's."""
    return jax.nn.gelu(x, approximate=False)


def mlp(params: Params, x: Float[Array, "*batch width"], gelu: Gelu) -> Float[Array, "*batch width"]:
    """Two linear layers with a GELU between them."""
    return linear(params["out"], gelu(linear(params["hidden"], x)))


def plain_block(
    params: Params,
    x: Float[Array, "batch tokens width"],
    index: Int[Array, ""],
    out: dict[str, Any] | None,
    *,
    heads: int,
    windows: Sequence[int],
    kernel: str,
    gelu: Gelu,
    branches: Float[Array, "depth branch batch"] | None = None,
) -> Float[Array, "batch tokens width"]:
    """x + attention(norm(x)), then x + mlp(norm(x)); all blocks of a stack are alike.

    `branches` are factors of the two summands, in every block and of every input: 0 leaves one out.
    """

    def weighted(branch: int, summand: Array) -> Array:
        if branches is None:
            return summand
        return summand * branches[index, branch][:, None, None].astype(summand.dtype)

    normal = layer_norm(params["norm1"], x)
    mixed = attention(params["attention"], normal, heads=heads, windows=windows, kernel=kernel, out=out)
    x = x + weighted(0, mixed)
    x = x + weighted(1, mlp(params["mlp"], layer_norm(params["norm2"], x), gelu))
    if out is not None:
        out["block"] = x
    return x


def run_blocks(
    params: Params,
    x: Float[Array, "batch tokens width"],
    block: Block,
    *,
    remat: bool = False,
    gather: Gather | None = None,
    intermediates: bool = False,
) -> tuple[Float[Array, "batch tokens width"], dict[str, Any]]:
    """Run a stack of blocks.

    Args:
        params: of all blocks, depth first.
        block: computes one of them.
        remat: compute a block's activations again in the backward pass instead of keeping them.
        gather: applied to the parameters of one block when its turn has come. Where devices hold parts of
            them the compiler would otherwise exchange activations, which are far larger.
        intermediates: whether to return what every block computed.

    Returns:
        The output, and a dictionary that is empty without `intermediates`, else holds, depth first, "block"
        (output), "head_outputs" [batch, tokens, heads, head_dim] before the output projection, and
        "attention" by head index [batch, windows, window, window].
    """

    def step(x: Array, inputs: tuple[Array, Params]) -> tuple[Array, dict[str, Any]]:
        index, params = inputs
        out: dict[str, Any] = {}
        params = gather(params) if gather else params
        return block(params, x, index, out if intermediates else None), out

    depth = len(params["norm1"]["weight"])
    return jax.lax.scan(compute_again(step) if remat else step, x, (jnp.arange(depth), params))
