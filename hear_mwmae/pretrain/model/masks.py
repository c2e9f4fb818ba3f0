"""Unstructured random masking: every patch is as likely to stay as any other (paper section 3.2)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


class Mask(NamedTuple):
    """Which patches the encoder sees, per sample."""

    kept: Int[Array, "batch kept"]
    """Indices of the visible patches, in the order that the encoder sees them in."""
    restore: Int[Array, "batch tokens"]
    """For every patch its place in (visible patches, then masked ones)."""
    masked: Float[Array, "batch tokens"]
    """1 where a patch is masked, 0 where it is visible."""


def mask_noise(key: Key[Array, ""], batch: int, tokens: int) -> Float[Array, "batch tokens"]:
    """Draw uniform noise, always in float32: bfloat16 has 128 values there and many ties."""
    return jax.random.uniform(key, (batch, tokens), jnp.float32)


def random_mask(noise: Float[Array, "batch tokens"], kept: int) -> Mask:
    """Keep the `kept` patches of the least noise in every sample; ties go to the earlier patch."""
    order = jnp.argsort(noise, axis=1, stable=True)
    restore = jnp.argsort(order, axis=1)
    return Mask(order[:, :kept], restore, (restore >= kept).astype(jnp.float32))
