"""AdamW with a linear warm-up and a cosine decay (paper section 4.2, Table 4).

The released code decays every parameter, norms, tokens and position codes too; `RunSettings.decay_all =
False` spares those, as is usual elsewhere.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from hear_mwmae.pretrain.settings import RunSettings

ADAM_EPSILON = 1e-8
# Blocks are stacked along a depth axis, so that a bias has as many axes as a matrix: names decide, not
# shapes.
TOKENS = frozenset({"class_token", "mask_token"})
SPARED = TOKENS | {"bias", "norm", "norm1", "norm2", "bias_tables", "temperature", "position_codes"}


def learning_rate_schedule(config: RunSettings, steps_per_epoch: int) -> optax.Schedule:
    """Return the rate as a function of the number of updates done before.

    It rises linearly from 0 at the first update to `config.learning_rate` after the warm-up, then falls along
    a cosine that reaches `config.min_learning_rate` as the last update is done.
    """
    warmup, total = config.warmup_steps(steps_per_epoch), config.total_steps(steps_per_epoch)

    def rate(done: jax.typing.ArrayLike) -> jax.Array:
        done = jnp.asarray(done, jnp.float32)
        rising = done / max(warmup, 1)
        falling = jnp.cos(jnp.pi / 2 * (done - warmup) / max(total - warmup, 1)) ** 2
        lowest = config.min_learning_rate
        falling = lowest + (config.learning_rate - lowest) * falling
        return jnp.where(done < warmup, config.learning_rate * rising, falling)

    return rate


def make_optimiser(config: RunSettings, steps_per_epoch: int) -> optax.GradientTransformation:
    """Return AdamW as the configuration has it, after the clipping of the whole gradient if there is any."""
    adam = optax.adamw(
        learning_rate_schedule(config, steps_per_epoch),
        b1=config.beta1,
        b2=config.beta2,
        eps=ADAM_EPSILON,
        weight_decay=config.weight_decay,
        mask=lambda params: decayed(params, config),
    )
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam) if config.clip_norm else adam


def decayed(params: PyTree, config: RunSettings) -> PyTree[bool]:
    """Return, in the shape of `params`, which parameters weight decay shrinks.

    Position codes that are fixed are never decayed, whatever the configuration: nothing may move them.
    """

    def is_decayed(path: tuple[jax.tree_util.DictKey, ...], _: jax.Array) -> bool:
        names = {str(key.key) for key in path}
        if "position_codes" in names and config.model.position_codes == "fixed":
            return False
        spared = SPARED - TOKENS if config.decay_tokens else SPARED
        return config.decay_all or not names & spared

    return jax.tree_util.tree_map_with_path(is_decayed, params)
