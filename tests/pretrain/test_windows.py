"""Windowed heads: the fast path against equation 2 as it stands, and against the released code."""

import golden_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hear_mwmae.config import paper_windows
from hear_mwmae.pretrain.model.transformer import attention
from hear_mwmae.pretrain.model.windows import multi_window_attention, reference_attention

# Window lists of Table 7 by number of tokens, and two that are not in order.
TABLE_7 = {tokens: paper_windows(tokens) for tokens in (125, 250, 500, 640)}
CASES = [*TABLE_7.items(), (250, (0, 5, 0, 5, 5, 2)), (50, (2, 2, 5, 50, 10, 0))]
HEAD_DIM = 6


def inputs(tokens: int, windows: tuple[int, ...]) -> tuple[list[jax.Array], dict[str, jax.Array]]:
    keys = jax.random.split(jax.random.key(tokens), 4)
    shape = (2, tokens, len(windows), HEAD_DIM)
    tables = {
        str(head): jax.random.normal(jax.random.fold_in(keys[3], head), (2 * window - 1,))
        for head, window in enumerate(windows)
        if window
    }
    return [jax.random.normal(key, shape) for key in keys[:3]], tables


def test_the_rule_gives_the_head_counts_of_table_7() -> None:
    assert {tokens: len(windows) for tokens, windows in TABLE_7.items()} == {125: 4, 250: 8, 500: 12, 640: 16}


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("tokens", "windows"), CASES)
def test_fast_path_equals_equation_2(tokens: int, windows: tuple[int, ...], with_bias: bool) -> None:
    """Values and gradients, also of the bias tables."""
    (query, key, value), tables = inputs(tokens, windows)
    direction = jax.random.normal(jax.random.key(9), query.shape)

    def run(function, query, key, value, tables):
        mixed = function(query, key, value, windows=windows, bias_tables=tables if with_bias else None)
        return (mixed * direction).sum(), mixed

    results = [
        jax.jit(jax.value_and_grad(lambda *x, f=f: run(f, *x), (0, 1, 2, 3), has_aux=True))(
            query, key, value, tables
        )
        for f in (multi_window_attention, reference_attention)
    ]
    ((_, fast), fast_gradients), ((_, slow), slow_gradients) = results
    np.testing.assert_allclose(fast, slow, atol=2e-6, rtol=0)
    for ours, plain in zip(jax.tree.leaves(fast_gradients), jax.tree.leaves(slow_gradients), strict=True):
        np.testing.assert_allclose(ours, plain, atol=2e-5, rtol=1e-5)


def test_without_windows_it_is_plain_attention() -> None:
    (query, key, value), _ = inputs(125, (0, 0, 0))
    np.testing.assert_allclose(
        multi_window_attention(query, key, value),
        jax.nn.dot_product_attention(query, key, value),
        atol=2e-6,
        rtol=0,
    )


def test_a_windowed_head_is_blind_beyond_its_window() -> None:
    (query, key, value), _ = inputs(250, (10,))
    changed = value.at[:, 20:].add(1.0)
    before, after = (multi_window_attention(query, key, v, windows=(10,)) for v in (value, changed))
    assert np.array_equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).all()


@golden_jax.needs_golden
def test_the_released_windowed_attention() -> None:
    arrays = golden_jax.load("extras")
    prefix = "wmha/params/"
    named = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    params = {
        "qkv": {"weight": named["qkv/kernel"], "bias": named["qkv/bias"]},
        "out": {"weight": named["proj/kernel"], "bias": named["proj/bias"]},
        "bias_tables": {
            str(head): jnp.asarray(named[f"attn_heads_{head}/relative_position_bias_table"][:, 0])
            for head in range(6)
        },
    }
    ours = attention(
        params,
        jnp.asarray(arrays["wmha/x"]),
        heads=8,
        windows=(2, 5, 10, 25, 50, 125, 0, 0),
        kernel="xla",
        out=None,
    )
    np.testing.assert_allclose(ours, arrays["wmha/noshift/y"], atol=1e-5, rtol=0)
