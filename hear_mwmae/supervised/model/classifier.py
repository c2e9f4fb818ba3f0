"""A pre-trained encoder with a linear layer on the mean of its patch tokens (Audio-MAE's supplement, B).

The class token takes part in attention and not in the mean. The encoder's own last normalisation is left
out: the mean gets one of its own, which begins as the identity, or as that of a model fine-tuned before.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.model.mae import patchify, run_encoder
from hear_mwmae.pretrain.model.masks import structured_mask
from hear_mwmae.pretrain.model.transformer import Params, layer_norm, linear, product_precision
from hear_mwmae.supervised.settings import SupervisedConfig

HEAD_STD = 2e-5
BRANCHES = 2


def init_classifier(encoder: Params, config: ModelConfig, classes: int, key: Key[Array, ""]) -> Params:
    """Put a new head, N(0, 2e-5) within two deviations and biases of 0, on an encoder's parameters."""
    weight = HEAD_STD * jax.random.truncated_normal(key, -2, 2, (config.width, classes), jnp.float32)
    norm = {"weight": jnp.ones(config.width), "bias": jnp.zeros(config.width)}
    return {
        "encoder": {name: value for name, value in encoder.items() if name != "norm"},
        "norm": encoder["norm"] if config.norm_after_pooling else norm,
        "head": {"weight": weight, "bias": jnp.zeros(classes)},
    }


def classify(
    params: Params,
    features: Float[Array, "batch frames bands"],
    config: SupervisedConfig,
    *,
    mask_noise: Float[Array, "batch draws"] | None = None,
    branches: Float[Array, "batch depth branch"] | None = None,
    dtype: jnp.dtype = jnp.float32,
    **options: Any,
) -> tuple[Float[Array, "batch classes"], Float[Array, "batch width"]]:
    """Return logits, and the normalised means that they are of; both float32.

    Args:
        features: as the model reads them; longer than its input, they are encoded in pieces of that length.
        mask_noise: of training: one number per column, then one per band, that decide which are hidden.
        branches: of training: what `draw_branches` returns.
        options: see `mae.run_encoder`.
    """
    tokens = encode_pieces(
        params["encoder"], features, config, mask_noise=mask_noise, branches=branches, dtype=dtype, **options
    )
    pooled = layer_norm(params["norm"], tokens.astype(jnp.float32).mean(axis=1))
    with product_precision(jnp.dtype(jnp.float32)):
        return linear(params["head"], pooled), pooled


def encode_pieces(
    params: Params,
    features: Float[Array, "batch frames bands"],
    config: SupervisedConfig,
    *,
    mask_noise: Float[Array, "batch draws"] | None = None,
    branches: Float[Array, "batch depth branch"] | None = None,
    **options: Any,
) -> Float[Array, "batch tokens width"]:
    """Return the patch tokens of the last block, those of one piece after the other, not normalised."""
    batch, model = len(features), config.model
    pieces = features.shape[1] // model.input_size[0]
    patches = patchify(features.reshape(batch * pieces, *model.input_size), model.patch_size)
    kept = None
    if mask_noise is not None:
        noise = jnp.repeat(mask_noise, pieces, axis=0)
        columns = model.grid[0]
        mask = structured_mask(noise[:, :columns], noise[:, columns:], config.visible_grid)
        kept = mask.kept
        patches = jnp.take_along_axis(patches, kept[..., None], axis=1)
    if branches is not None:
        branches = jnp.moveaxis(jnp.repeat(branches, pieces, axis=0), 0, -1)
    tokens, _ = run_encoder(params, patches, model, kept=kept, branches=branches, **options)
    return tokens[:, model.class_token :].reshape(batch, -1, model.width)


def draw_branches(
    uniform: Float[Array, "batch depth branch"], drop_path: float
) -> Float[Array, "batch depth branch"]:
    """Return the factors of stochastic depth: 0 for a branch that is left out, else 1 / (1 - its rate).

    The rate rises linearly over the blocks, from 0 to `drop_path`; a branch stays if u + 1 - rate >= 1.
    """
    rate = jnp.linspace(0.0, drop_path, uniform.shape[1])[:, None]
    return jnp.floor(uniform + (1 - rate)) / (1 - rate)


def classification_loss(
    logits: Float[Array, "batch classes"],
    targets: Float[Array, "batch classes"],
    *,
    loss: str,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Return the mean over the batch; of "bce" also over the classes.

    Label smoothing moves its share of a clip's label to all classes alike, the clip's own included.
    """
    if loss == "bce":
        # log(1 + e^x) - t x
        return (jnp.logaddexp(0.0, logits) - targets * logits).mean()
    negative_logs = -jax.nn.log_softmax(logits, axis=-1)
    of_label = (targets * negative_logs).sum(axis=-1)
    return ((1 - label_smoothing) * of_label + label_smoothing * negative_logs.mean(axis=-1)).mean()
