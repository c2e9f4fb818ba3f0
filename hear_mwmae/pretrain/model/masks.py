"""Which patches the encoder sees: single ones at random, or whole columns and bands.

Unstructured masks are MW-MAE's (paper section 3.2); those in time, frequency or both are Audio-MAE's
(supplement, Figures 1 and 2): of columns and bands some are drawn, and a patch is visible if its own are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hear_mwmae.config import ModelConfig


class Mask(NamedTuple):
    """Which patches the encoder sees, per sample."""

    kept: Int[Array, "batch kept"]
    """Indices of the visible patches, in the order that the encoder sees them in."""
    hidden: Int[Array, "batch hidden"]
    """Indices of the masked patches."""
    restore: Int[Array, "batch tokens"]
    """For every patch its place in (visible patches, then masked ones)."""
    masked: Float[Array, "batch tokens"]
    """1 where a patch is masked, 0 where it is visible."""


def mask_noise(key: Key[Array, ""], batch: int, draws: int) -> Float[Array, "batch draws"]:
    """Draw uniform noise, always in float32: bfloat16 has 128 values there and many ties.

    Args:
        draws: `ModelConfig.mask_draws`.
    """
    return jax.random.uniform(key, (batch, draws), jnp.float32)


def make_mask(noise: Float[Array, "batch draws"], config: ModelConfig) -> Mask:
    """Mask as the configuration says.

    Args:
        noise: one number per patch for a random mask, else one per column and then one per band, also where
            only one of the two is masked.
    """
    if config.mask == "random":
        return random_mask(noise, config.kept_tokens)
    columns = config.grid[0]
    return structured_mask(noise[:, :columns], noise[:, columns:], config.kept_grid)


def random_mask(noise: Float[Array, "batch tokens"], kept: int) -> Mask:
    """Keep the `kept` patches of the least noise in every sample, in its order; ties go to the earlier."""
    order = jnp.argsort(noise, axis=1, stable=True)
    return _of_order(order, kept)


def structured_mask(
    time_noise: Float[Array, "batch columns"],
    band_noise: Float[Array, "batch bands"],
    kept: tuple[int, int],
) -> Mask:
    """Keep the patches of so many columns and bands, those of the least noise, in the order of the patches.

    Ties go to the earlier column or band.
    """
    columns, bands = (
        _of_least(noise, count) for noise, count in zip((time_noise, band_noise), kept, strict=True)
    )
    visible = (columns[:, :, None] & bands[:, None]).reshape(len(time_noise), -1)
    return _of_order(jnp.argsort(~visible, axis=1, stable=True), kept[0] * kept[1])


def _of_least(noise: Float[Array, "batch all"], count: int) -> Bool[Array, "batch all"]:
    return jnp.argsort(jnp.argsort(noise, axis=1, stable=True), axis=1) < count


def _of_order(order: Int[Array, "batch tokens"], kept: int) -> Mask:
    restore = jnp.argsort(order, axis=1)
    return Mask(order[:, :kept], order[:, kept:], restore, (restore >= kept).astype(jnp.float32))
