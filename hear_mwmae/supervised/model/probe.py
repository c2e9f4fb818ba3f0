"""Linear probes: many linear layers on one set of frozen features, each with a learning rate of its own.

Every rate is tried twice, with and without batch normalisation (epsilon 1e-6, no scale or shift) before the
layer. The layers begin at zero: the problem is convex, and nothing has to be drawn.
"""

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hear_mwmae.pretrain.model.transformer import Params, layer_norm, product_precision
from hear_mwmae.supervised.model.classifier import classification_loss, encode_pieces
from hear_mwmae.supervised.settings import SupervisedConfig

NORM_EPSILON = 1e-6
# Share of the newest batch in the running mean and variance.
STATISTICS_RATE = 0.1


class ProbeHead(NamedTuple):
    """What tells one linear layer from the others."""

    learning_rate: float
    """Per 256 inputs of a batch."""
    batch_norm: bool


def probe_heads(config: SupervisedConfig) -> list[ProbeHead]:
    """Return the heads in the order of their axis: all without batch normalisation, then all with."""
    return [ProbeHead(rate, normal) for normal, rate in product((False, True), config.learning_rates)]


def frozen_features(
    encoder: Params, features: Float[Array, "batch frames bands"], config: SupervisedConfig
) -> Float[Array, "batch size"]:
    """Return what a probe reads of spectrograms: the mean of the patch tokens, or the scene embedding.

    Encoded in float32, in pieces of the encoder's input length, as embedding does.
    """
    model = config.model
    tokens = encode_pieces(encoder, features, config)
    if not model.norm_after_pooling:
        tokens = layer_norm(encoder["norm"], tokens)
    if config.pooling == "hear" and model.embedding_size > model.width:
        tokens = tokens.reshape(len(features), -1, model.grid[1], model.width)
    pooled = tokens.mean(axis=1)
    if model.norm_after_pooling:
        pooled = layer_norm(encoder["norm"], pooled)
    return pooled.reshape(len(features), -1)


def init_probe(config: SupervisedConfig, size: int, classes: int) -> Params:
    """Return the parameters of all heads, and the running mean and variance of the features."""
    heads = len(probe_heads(config))
    return {
        "weight": jnp.zeros((heads, size, classes)),
        "bias": jnp.zeros((heads, classes)),
        "mean": jnp.zeros(size),
        "variance": jnp.ones(size),
    }


def batch_statistics(features: Float[Array, "batch size"], params: Params) -> Params:
    """Return the running mean and variance after one more batch; the variance is the unbiased one."""
    new = {"mean": features.mean(axis=0), "variance": features.var(axis=0, ddof=1)}
    return {name: params[name] + STATISTICS_RATE * (value - params[name]) for name, value in new.items()}


def probe_logits(
    params: Params, features: Float[Array, "batch size"], *, training: bool
) -> Float[Array, "heads batch classes"]:
    """Return the logits of all heads; `training` normalises by the batch, else by the running values."""
    mean, variance = params["mean"], params["variance"]
    if training:
        mean, variance = features.mean(axis=0), features.var(axis=0)
    normal = (features - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)
    plain, normalised = jnp.split(params["weight"], 2)
    with product_precision(jnp.dtype(jnp.float32)):
        logits = [
            jnp.einsum("bs,hsc->hbc", x, weight) for x, weight in ((features, plain), (normal, normalised))
        ]
    return jnp.concatenate(logits) + params["bias"][:, None]


def probe_losses(
    params: Params,
    features: Float[Array, "batch size"],
    targets: Float[Array, "batch classes"],
    config: SupervisedConfig,
) -> Float[Array, " heads"]:
    """Return every head's mean loss over a batch."""

    def loss_of(logits: Float[Array, "batch classes"]) -> Float[Array, ""]:
        return classification_loss(logits, targets, loss=config.loss, label_smoothing=config.label_smoothing)

    return jax.vmap(loss_of)(probe_logits(params, features, training=True))
