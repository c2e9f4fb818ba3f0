"""Local attention of Audio-MAE's decoder: 4 x 4 windows, shifted in time in every second block.

A block normalises after its branches: x + norm(attention(x)), then x + norm(mlp(x)). Queries and keys are
compared by their cosine over a learned temperature, to which a small network adds a bias for every distance
in time and frequency. A shifted block rolls the columns by half a window, so that its last window holds the
end and the beginning of the clip, which hardly see each other: 100 is taken off their logits.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from hear_mwmae.config import LOCAL_WINDOW, POSITION_HIDDEN
from hear_mwmae.pretrain.model.transformer import Params, exact_gelu, layer_norm, linear, mlp

WINDOW = LOCAL_WINDOW
SHIFT = WINDOW // 2
POSITION_DROPOUT = 0.1
LOWEST_TEMPERATURE = 0.01
SMALLEST_NORM = 1e-6
PENALTY = -100.0
"""Added to the logits of pairs that are neighbours only because the columns were rolled."""


def local_block(
    params: Params,
    x: Float[Array, "batch tokens width"],
    index: Int[Array, ""],
    out: dict[str, Any] | None,
    *,
    grid: tuple[int, int],
    heads: int,
    shift: bool,
    dropout_key: Key[Array, ""] | None,
) -> Float[Array, "batch tokens width"]:
    """Compute one block of a local decoder; those of odd index are shifted, unless `shift` is off.

    Args:
        grid: columns and bands of the patches.
        dropout_key: of the stack, in training; None where nothing is dropped.
    """
    shifted = (index % 2 == 1) & shift
    kept = None if dropout_key is None else draw_kept(jax.random.fold_in(dropout_key, index), heads)
    roll = jnp.where(shifted, SHIFT * grid[1], 0)
    windows = cut_windows(jnp.roll(x, -roll, axis=1), grid)
    penalty = jnp.where(shifted, PENALTY, 0.0) * wraps_around(grid)
    bias = position_bias(params["attention"], kept)
    mixed = _window_attention(params["attention"], windows, bias, penalty, heads, out)
    x = x + layer_norm(params["norm1"], jnp.roll(join_windows(mixed, grid), roll, axis=1))
    x = x + layer_norm(params["norm2"], mlp(params["mlp"], x, exact_gelu))
    if out is not None:
        out["block"] = x
    return x


def cut_windows(
    x: Float[Array, "batch tokens width"], grid: tuple[int, int]
) -> Float[Array, "batch windows inside width"]:
    """Cut the grid into windows, time-major as are the tokens inside."""
    columns, bands = grid
    tiles = x.reshape(len(x), columns // WINDOW, WINDOW, bands // WINDOW, WINDOW, x.shape[-1])
    return tiles.swapaxes(2, 3).reshape(len(x), -1, WINDOW**2, x.shape[-1])


def join_windows(
    windows: Float[Array, "batch windows inside width"], grid: tuple[int, int]
) -> Float[Array, "batch tokens width"]:
    """Undo `cut_windows`."""
    columns, bands = grid
    batch, *_, width = windows.shape
    tiles = windows.reshape(batch, columns // WINDOW, bands // WINDOW, WINDOW, WINDOW, width)
    return tiles.swapaxes(2, 3).reshape(batch, columns * bands, width)


def wraps_around(grid: tuple[int, int]) -> Bool[np.ndarray, "windows query key"]:
    """Return which pairs of a shifted block's windows lie at the two ends of the clip."""
    columns, bands = grid
    column = np.arange(WINDOW**2) // WINDOW
    apart = (column[:, None] < WINDOW - SHIFT) != (column < WINDOW - SHIFT)
    last = np.arange(columns // WINDOW) == columns // WINDOW - 1
    return np.repeat(last, bands // WINDOW)[:, None, None] & apart


Kept = tuple[Bool[Array, "pairs hidden"], Bool[Array, "pairs heads"]]
"""What dropout leaves of the bias network's hidden layer and of its output."""


def draw_kept(key: Key[Array, ""], heads: int) -> Kept:
    """Draw what a training step leaves of one block's bias network; one draw serves all windows and clips."""
    keys = jax.random.split(key)
    shapes = ((WINDOW**4, POSITION_HIDDEN), (WINDOW**4, heads))
    hidden, out = (
        jax.random.bernoulli(one, 1 - POSITION_DROPOUT, shape)
        for one, shape in zip(keys, shapes, strict=True)
    )
    return hidden, out


def position_bias(params: Params, kept: Kept | None) -> Float[Array, "heads query key"]:
    """Return the bias of every pair of a window, from the logarithms of its distances in time and band."""
    network = params["position_mlp"]
    hidden = jax.nn.relu(linear(network["hidden"], jnp.asarray(_log_distances(), jnp.float32)))
    bias = linear(network["out"], hidden if kept is None else _dropped(hidden, kept[0]))
    bias = bias if kept is None else _dropped(bias, kept[1])
    return bias.T.reshape(-1, WINDOW**2, WINDOW**2)


def _dropped(x: Float[Array, "pairs size"], kept: Bool[Array, "pairs size"]) -> Float[Array, "pairs size"]:
    return jnp.where(kept, x / (1 - POSITION_DROPOUT), 0)


def _log_distances() -> Float[np.ndarray, "pairs 2"]:
    """sign(d) ln(1 + |d|) of query minus key, in time and in frequency."""
    places = np.stack(np.divmod(np.arange(WINDOW**2), WINDOW), axis=1)
    distance = (places[:, None] - places).reshape(-1, 2)
    return np.sign(distance) * np.log1p(np.abs(distance))


def _window_attention(
    params: Params,
    x: Float[Array, "batch windows inside width"],
    bias: Float[Array, "heads inside inside"],
    penalty: Float[Array, "windows inside inside"],
    heads: int,
    out: dict[str, Any] | None,
) -> Float[Array, "batch windows inside width"]:
    """Attend within windows; logits and softmax are float32 whatever the inputs are."""
    qkv = linear(params["qkv"], x).reshape(*x.shape[:3], 3, heads, x.shape[-1] // heads)
    query, key, value = (qkv[..., part, :, :] for part in range(3))
    product = jnp.einsum("bwqhd,bwkhd->bwhqk", query, key, preferred_element_type=jnp.float32)
    norms = _norms(query)[..., None] * _norms(key)[..., None, :]
    temperature = jnp.maximum(params["temperature"], LOWEST_TEMPERATURE)[:, None, None]
    logits = product / jnp.maximum(norms, SMALLEST_NORM) / temperature + bias + penalty[:, None]
    attention = jax.nn.softmax(logits, axis=-1)
    mixed = jnp.einsum("bwhqk,bwkhd->bwqhd", attention.astype(x.dtype), value)
    if out is not None:
        out["head_outputs"] = mixed
        out["attention"] = {str(head): attention[:, :, head] for head in range(heads)}
    return linear(params["out"], mixed.reshape(x.shape))


def _norms(
    x: Float[Array, "batch windows inside heads head_dim"],
) -> Float[Array, "batch windows heads inside"]:
    """Lengths of vectors, in float32; that of zeros has the gradient 0."""
    squares = jnp.square(x.astype(jnp.float32)).sum(axis=-1)
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(jnp.float32).tiny)).swapaxes(2, 3)
