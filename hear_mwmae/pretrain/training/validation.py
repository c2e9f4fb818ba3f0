"""The loss on held-out clips: always the same crops under the same masks, so that values compare."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from hear_mwmae.pretrain.data.data_sets import Batch
from hear_mwmae.pretrain.model.mae import Params, forward
from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.step import AXIS, TrainState, gather_on, place_batch

MASK_SEED = 2023


class Validation:
    """The mean reconstruction loss over held-out clips.

    Args:
        config: the run's settings.
        batches: makes batches of a given size, the same at each call and on each process; the last may be
            smaller.
        mesh, shardings: where the parameters lie.
    """

    def __init__(
        self,
        config: TrainConfig,
        batches: Callable[[int], Iterable[Batch]],
        mesh: Mesh,
        shardings: TrainState,
    ) -> None:
        self._batches = batches
        self._mesh = mesh
        self._size = validation_batch_size(config, mesh.size)
        everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (AXIS,)))
        self._losses = jax.jit(
            lambda params, features, first: losses(params, features, first, config, mesh),
            in_shardings=(shardings.params, split, everywhere),
            out_shardings=everywhere,
        )

    def run(self, params: Params) -> float:
        """Return the loss; all processes must call it together."""
        total, count = 0.0, 0
        for batch in self._batches(self._size):
            full = np.resize(batch, (self._size, *batch.shape[1:]))
            mine = np.split(full, jax.process_count())[jax.process_index()]
            found = self._losses(params, place_batch(mine, self._mesh), np.int32(count))
            total += float(np.sum(np.asarray(found, np.float64)[: len(batch)]))
            count += len(batch)
        return total / count


def validation_batch_size(config: TrainConfig, devices: int) -> int:
    """Return how many clips to take at once: as many as one part of a training batch, shared evenly."""
    return max(config.batch_size // config.accumulation_steps // devices, 1) * devices


def losses(
    params: Params,
    features: Float[Array, "batch frames bands"],
    first: Array,
    config: TrainConfig,
    mesh: Mesh,
) -> Float[Array, " batch"]:
    """Return every clip's loss; `first` is the number of the first among all, and decides its mask."""
    numbers = first + jnp.arange(len(features))
    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(MASK_SEED), number))(numbers)
    noise = jax.vmap(lambda key: mask_noise(key, 1, config.model.mask_draws)[0])(keys)
    dtype = jnp.dtype(config.precision)
    out = forward(params, features, noise, config.model, dtype=dtype, gather=gather_on(mesh))
    return out["losses"]
