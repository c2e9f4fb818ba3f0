"""One update of a supervised run, compiled once and spread over every device as pre-training's is."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.training.optimiser import learning_rate_schedule
from hear_mwmae.pretrain.training.step import (
    AXIS,
    Metrics,
    TrainState,
    check_kernel,
    gather_on,
    gradient_in_parts,
)
from hear_mwmae.supervised.model.classifier import (
    BRANCHES,
    classification_loss,
    classify,
    draw_branches,
)
from hear_mwmae.supervised.model.probe import batch_statistics, probe_losses
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.optimiser import finetuning_optimiser, probing_optimiser

# Streams of the key of one update.
MASK_STREAM, DROP_STREAM = range(2)

Inputs = Float[Array, "batch ..."]
Step = Callable[[TrainState, Inputs, Float[Array, "batch classes"]], tuple[TrainState, Metrics]]


def begin_state(config: SupervisedConfig, params: Params, steps_per_epoch: int) -> TrainState:
    """Return the state before the first update."""
    make = finetuning_optimiser if config.mode == "finetune" else probing_optimiser
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    opt_state = make(config, steps_per_epoch).init(params)
    return TrainState(params, opt_state, jnp.zeros((), jnp.int32), key)


def make_step(
    config: SupervisedConfig,
    steps_per_epoch: int,
    mesh: Mesh,
    shardings: TrainState,
    *,
    remat: bool = False,
    kernel: str = "xla",
) -> Step:
    """Return the compiled update; it consumes the state that it is given. Options as in pre-training.

    Within a process, runs that differ in their seed alone share one program.

    Raises:
        UserError: a kernel that the device or the precision does not have.
    """
    check_kernel(config, kernel)
    if config.mode == "finetune":
        update = _finetuning(of_any_seed(config), steps_per_epoch, mesh, remat=remat, kernel=kernel)
    else:
        update = _probing(of_any_seed(config), steps_per_epoch)
    split = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.jit(
        update,
        in_shardings=(shardings, split, split),
        out_shardings=(shardings, NamedSharding(mesh, PartitionSpec())),
        donate_argnums=0,
    )


def of_any_seed(config: SupervisedConfig) -> SupervisedConfig:
    """Return the settings without what only the state of a run depends on."""
    return dataclasses.replace(config, seed=0, init_sha256="")


@functools.cache
def _finetuning(config: SupervisedConfig, steps_per_epoch: int, mesh: Mesh, **options: Any) -> Step:
    optimiser = finetuning_optimiser(config, steps_per_epoch)
    schedule = learning_rate_schedule(config, steps_per_epoch)
    model, gather = config.model, gather_on(mesh)
    masked = bool(config.mask_time_ratio or config.mask_frequency_ratio)

    def loss_of(
        params: Params, features: Array, targets: Array, noise: Array, uniform: Array
    ) -> Float[Array, ""]:
        logits, _ = classify(
            params,
            features,
            config,
            mask_noise=noise if masked else None,
            branches=draw_branches(uniform, config.drop_path) if config.drop_path else None,
            dtype=jnp.dtype(config.precision),
            gather=gather,
            **options,
        )
        return classification_loss(logits, targets, loss=config.loss, label_smoothing=config.label_smoothing)

    def update(state: TrainState, features: Inputs, targets: Array) -> tuple[TrainState, Metrics]:
        key, rows = jax.random.fold_in(state.key, state.step), len(features)
        noise = mask_noise(jax.random.fold_in(key, MASK_STREAM), rows, sum(model.grid))
        uniform = jax.random.uniform(jax.random.fold_in(key, DROP_STREAM), (rows, model.depth, BRANCHES))
        batch = (features, targets, noise, uniform)
        loss, gradient = gradient_in_parts(loss_of, state.params, batch, config.accumulation_steps, mesh)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": schedule(state.step),
        }
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1, state.key), metrics

    return update


@functools.cache
def _probing(config: SupervisedConfig, steps_per_epoch: int) -> Step:
    optimiser = probing_optimiser(config, steps_per_epoch)
    schedule = learning_rate_schedule(config, steps_per_epoch)

    def update(state: TrainState, features: Inputs, targets: Array) -> tuple[TrainState, Metrics]:
        def total(params: Params) -> tuple[Float[Array, ""], Float[Array, " heads"]]:
            losses = probe_losses(params, features, targets, config)
            return losses.sum(), losses

        (_, losses), gradient = jax.value_and_grad(total, has_aux=True)(state.params)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        metrics = {
            "loss": losses.min(),
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": schedule(state.step),
        }
        params = optax.apply_updates(state.params, updates) | batch_statistics(features, state.params)
        return TrainState(params, opt_state, state.step + 1, state.key), metrics

    return update


def padded_rows(
    features: Float[np.ndarray, "rows frames bands"], size: int
) -> Float[np.ndarray, "local frames bands"]:
    """Return this host's share of rows that are filled up to `size` with repetitions of themselves."""
    full = np.resize(features, (size, *features.shape[1:]))
    return np.split(full, jax.process_count())[jax.process_index()]
