"""Multi-window attention: heads that each see windows of their own length (paper section 3.1, equation 2).

A head of window w cuts the N tokens into N / w windows and attends within each:
softmax(q k^T / sqrt(d) + b) v, where b[i, j] = table[i - j + w - 1] is learned (the released code; the
paper's pseudo-code has none). A head of window 0 attends globally and has no table. The score matrices of the
paper's eight heads over 250 tokens hold 36 % of the entries of eight global ones.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BiasTables = Mapping[str, Float[Array, " offsets"]]
"""Learned biases by head index, as text; a table of a head of window w has 2 w - 1 entries."""


def multi_window_attention(
    query: Float[Array, "batch tokens heads head_dim"],
    key: Float[Array, "batch tokens heads head_dim"],
    value: Float[Array, "batch tokens heads head_dim"],
    *,
    windows: Sequence[int] = (),
    bias_tables: BiasTables | None = None,
    kernel: str = "xla",
    out: dict[str, Array] | None = None,
) -> Float[Array, "batch tokens heads head_dim"]:
    """Attend in every head within its windows; neighbouring heads of one window are one batched product.

    Args:
        windows: window length per head, 0 for a global head; empty for plain attention.
        bias_tables: learned biases of the windowed heads.
        kernel: what computes the global heads: "xla", or on NVIDIA GPUs in bfloat16 "cudnn".
        out: receives the attention of every head by its index, [batch, tokens / window, window, window].
    """
    heads, tokens = query.shape[2], query.shape[1]
    mixed = []
    for first, last, window in _groups(tuple(windows) or (0,) * heads):
        group = (query[:, :, first:last], key[:, :, first:last], value[:, :, first:last])
        if kernel == "cudnn" and not window and out is None:
            mixed.append(jax.nn.dot_product_attention(*group, implementation="cudnn"))
            continue
        tables = [bias_tables[str(head)] for head in range(first, last)] if window and bias_tables else []
        bias = jnp.stack([_relative_bias(table, window) for table in tables]) if tables else None
        group_mixed, attention = _attend(*group, window or tokens, bias)
        mixed.append(group_mixed)
        if out is not None:
            out.update({str(head): attention[head - first] for head in range(first, last)})
    return jnp.concatenate(mixed, axis=2)


def _groups(windows: Sequence[int]) -> list[tuple[int, int, int]]:
    """Runs of neighbouring heads with one window: (first head, head after the last, window)."""
    starts = [head for head in range(len(windows)) if head == 0 or windows[head] != windows[head - 1]]
    return [(a, b, windows[a]) for a, b in zip(starts, [*starts[1:], len(windows)], strict=True)]


def _relative_bias(table: Float[Array, " offsets"], window: int) -> Float[Array, "window window"]:
    index = np.arange(window)
    return table[index[:, None] - index + window - 1]


def _attend(
    query: Float[Array, "batch tokens group head_dim"],
    key: Float[Array, "batch tokens group head_dim"],
    value: Float[Array, "batch tokens group head_dim"],
    window: int,
    bias: Float[Array, "group window window"] | None,
) -> tuple[Float[Array, "batch tokens group head_dim"], Float[Array, "group batch windows window window"]]:
    """Attend within windows of one length; logits and softmax are float32 whatever the inputs are."""
    batch, tokens, group, head_dim = query.shape

    def cut(x: Array) -> Float[Array, "group rows window head_dim"]:
        return jnp.moveaxis(x, 2, 0).reshape(group, batch * tokens // window, window, head_dim)

    logits = jnp.einsum(
        "grqd,grkd->grqk", cut(query * head_dim**-0.5), cut(key), preferred_element_type=jnp.float32
    )
    attention = jax.nn.softmax(logits if bias is None else logits + bias[:, None], axis=-1)
    mixed = jnp.einsum("grqk,grkd->grqd", attention.astype(value.dtype), cut(value))
    mixed = jnp.moveaxis(mixed.reshape(group, batch, tokens, head_dim), 0, 2)
    return mixed, attention.reshape(group, batch, tokens // window, window, window)


def reference_attention(
    query: Float[Array, "batch tokens heads head_dim"],
    key: Float[Array, "batch tokens heads head_dim"],
    value: Float[Array, "batch tokens heads head_dim"],
    *,
    windows: Sequence[int],
    bias_tables: BiasTables | None = None,
) -> Float[Array, "batch tokens heads head_dim"]:
    """Equation 2 head by head, as global attention whose scores beyond a token's window are taken out.

    It needs all N x N scores: the plain path that the fast one is tested against.
    """
    position = np.arange(query.shape[1])
    heads = []
    for head, window in enumerate(windows):
        q, k, v = (x[:, :, head] for x in (query, key, value))
        logits = q @ jnp.swapaxes(k, 1, 2) / query.shape[3] ** 0.5
        if window:
            if bias_tables:
                offset = np.clip(position[:, None] - position, 1 - window, window - 1)
                logits += bias_tables[str(head)][offset + window - 1]
            inside = position[:, None] // window == position // window
            logits = jnp.where(inside, logits, -jnp.inf)
        heads.append(jax.nn.softmax(logits, axis=-1) @ v)
    return jnp.stack(heads, axis=2)
