"""Optimisers of supervised training: AdamW with a rate per layer, and stochastic descent of many probes."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.settings import BASE_BATCH
from hear_mwmae.pretrain.training.optimiser import learning_rate_schedule, make_optimiser
from hear_mwmae.supervised.model.probe import probe_heads
from hear_mwmae.supervised.settings import SupervisedConfig


def finetuning_optimiser(config: SupervisedConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Return AdamW, the updates of which are scaled layer by layer, decay included."""

    def scale(updates: Params, params: Params | None) -> Params:
        del params
        return jax.tree.map(jnp.multiply, updates, layer_scales(updates, config.layer_decay))

    return optax.chain(make_optimiser(config, steps_per_epoch), optax.stateless(scale))


def layer_scales(params: Params, layer_decay: float) -> PyTree[jax.Array]:
    """Return the factor of each parameter's learning rate, in a shape that broadcasts to the parameter's.

    Head and last normalisation have 1, the last block `layer_decay`, each block below that once more, and
    patch embedding, class token and position codes once more than the first block.
    """
    depth = len(params["encoder"]["blocks"]["norm1"]["weight"])
    of_blocks = layer_decay ** (depth - jnp.arange(depth, dtype=jnp.float32))

    def scale(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.Array) -> jax.Array:
        names = [str(key.key) for key in path]
        if names[0] != "encoder":
            return jnp.ones(())
        if names[1] == "blocks":
            return of_blocks.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.asarray(layer_decay ** (depth + 1), jnp.float32)

    return jax.tree_util.tree_map_with_path(scale, params)


def probing_optimiser(config: SupervisedConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Return descent with momentum `config.beta1`, each head at its own rate along one common schedule.

    The schedule rises from 0 and falls to 0. `config.weight_decay` is the factor of |w|^2 / 2 in every head's
    loss, biases spared.
    """
    unit = dataclasses.replace(
        config, base_learning_rate=BASE_BATCH / config.batch_size, min_learning_rate=0.0
    )
    heads = jnp.asarray([head.learning_rate for head in probe_heads(config)]) * config.batch_size / BASE_BATCH
    schedule = learning_rate_schedule(unit, steps_per_epoch)

    def scale(updates: Params, params: Params | None) -> Params:
        del params
        rates = {"weight": heads[:, None, None], "bias": heads[:, None]}
        return {
            name: updates[name] * rates[name] if name in rates else jnp.zeros_like(updates[name])
            for name in updates
        }

    return optax.chain(
        optax.add_decayed_weights(
            config.weight_decay, mask=lambda params: {name: name == "weight" for name in params}
        ),
        optax.trace(config.beta1),
        optax.scale_by_schedule(lambda done: -schedule(done)),
        optax.stateless(scale),
    )
