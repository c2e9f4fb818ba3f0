"""One update of all parameters, compiled once and spread over every device.

The batch is split over the devices of a mesh with one axis, "data". Parameters and moments are the same on
every device, or, when `fsdp` is set, every large array of the blocks is split as well, and gathered when the
turn of its block has come. The random masks are drawn for the global batch in one go, so that no two devices
share a mask and the result does not depend on the number of devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PyTree

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.mae import Params, forward, init_params
from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.model.transformer import Gather
from hear_mwmae.pretrain.settings import RunSettings, TrainConfig
from hear_mwmae.pretrain.training.optimiser import learning_rate_schedule, make_optimiser

AXIS = "data"
# Arrays of fewer numbers are not worth the messages that splitting them costs.
SMALLEST_SPLIT = 2**16
# Apart from that of the masks.
DROPOUT_STREAM = 1
# Updates handed to the device ahead of the one it works on: enough to keep it busy, few enough to fit its
# memory.
QUEUED_STEPS = 2

Metrics = dict[str, Float[Array, ""]]
"""Scalars of one update: "loss", "gradient_norm" (before clipping) and "learning_rate"."""


class TrainState(NamedTuple):
    """All that changes from one update to the next."""

    params: Params
    opt_state: PyTree[Array]
    step: Int[Array, ""]
    """Updates done so far."""
    key: Key[Array, ""]
    """The root of all random masks; it stays as it is and is combined with the step."""


TrainStep = Callable[[TrainState, Float[Array, "batch frames bands"]], tuple[TrainState, Metrics]]


def data_mesh() -> Mesh:
    """Return a mesh over all devices of all processes, in one axis."""
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def check_batch(config: RunSettings, devices: int, processes: int = 1, crops_per_clip: int = 1) -> None:
    """Refuse a batch that the devices cannot share evenly.

    Raises:
        UserError: the batch, or a part of it, does not divide by the number of devices, or a clip's crops
            would lie on two hosts.
    """
    parts = config.accumulation_steps
    if config.batch_size % (parts * devices):
        of_parts = f" in {parts} accumulation steps" if parts > 1 else ""
        raise UserError(
            f"A batch of {config.batch_size}{of_parts} cannot be shared evenly by {devices} devices: "
            f"make --batch-size a multiple of {parts * devices}."
        )
    shares = processes * crops_per_clip
    if config.batch_size % shares:
        raise UserError(
            f"A batch of {config.batch_size} cannot be shared by {processes} hosts with "
            f"{crops_per_clip} crops per clip: make --batch-size a multiple of {shares}."
        )


def check_kernel(config: RunSettings, kernel: str) -> None:
    """Refuse a kernel that the device or the precision does not have.

    Raises:
        UserError: it does not.
    """
    if kernel == "cudnn" and (jax.default_backend() != "gpu" or config.precision != "bfloat16"):
        raise UserError("--kernel cudnn needs an NVIDIA GPU and --precision bfloat16; leave it out.")


def init_state(config: TrainConfig, steps_per_epoch: int) -> TrainState:
    """Return the state before the first update; all of it follows from `config.seed`."""
    init_key, mask_key = jax.random.split(jax.random.key(config.seed))
    params = init_params(config.model, init_key)
    opt_state = make_optimiser(config, steps_per_epoch).init(params)
    return TrainState(params, opt_state, jnp.zeros((), jnp.int32), mask_key)


def state_shardings(state: TrainState, mesh: Mesh, *, fsdp: bool = False) -> TrainState:
    """Return where every array of a state (or of its shapes) lies: everywhere, with `fsdp` blocks split."""
    everywhere = NamedSharding(mesh, PartitionSpec())

    def place(path: tuple[object, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        split = fsdp and jax.tree_util.DictKey("blocks") in path
        return NamedSharding(mesh, _split_axes(leaf.shape, mesh.size)) if split else everywhere

    return jax.tree_util.tree_map_with_path(place, state)


def _split_axes(shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """Split a large array along its longest axis that divides by the number of devices, if there is one."""
    fitting = [axis for axis, size in enumerate(shape) if size % devices == 0]
    if not fitting or np.prod(shape) < SMALLEST_SPLIT:
        return PartitionSpec()
    longest = max(fitting, key=lambda axis: shape[axis])
    return PartitionSpec(*(AXIS if axis == longest else None for axis in range(len(shape))))


def gather_on(mesh: Mesh) -> Gather:
    """Return what makes split parameters whole on every device; whole ones stay as they are."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return lambda params: jax.lax.with_sharding_constraint(params, everywhere)


def place_state(config: TrainConfig, steps_per_epoch: int, shardings: TrainState) -> TrainState:
    """Return `init_state`, made on the devices where it belongs."""
    return jax.jit(lambda: init_state(config, steps_per_epoch), out_shardings=shardings)()


def place_batch(
    features: Float[np.ndarray, "local frames bands"], mesh: Mesh
) -> Float[Array, "batch frames bands"]:
    """Put this host's rows of a global batch onto its devices; the rows of the hosts follow one another."""
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec(AXIS)), features)


def make_train_step(
    config: TrainConfig,
    steps_per_epoch: int,
    mesh: Mesh,
    shardings: TrainState,
    *,
    remat: bool = False,
    kernel: str = "xla",
) -> TrainStep:
    """Return the compiled update; it consumes the state that it is given.

    `remat` computes the activations of a block a second time for its gradient instead of keeping them;
    `kernel` computes the global heads, see `windows.multi_window_attention`.

    Raises:
        UserError: a kernel that the device or the precision does not have.
    """
    check_kernel(config, kernel)
    optimiser = make_optimiser(config, steps_per_epoch)
    schedule = learning_rate_schedule(config, steps_per_epoch)
    everywhere = NamedSharding(mesh, PartitionSpec())

    def update(state: TrainState, features: Float[Array, "batch frames bands"]) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        noise = mask_noise(key, features.shape[0], config.model.mask_draws)
        dropout_key = jax.random.fold_in(key, DROPOUT_STREAM)
        loss, gradient = loss_and_gradient(
            config, mesh, state.params, features, noise, dropout_key, remat=remat, kernel=kernel
        )
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": schedule(state.step),
        }
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1, state.key), metrics

    return jax.jit(
        update,
        in_shardings=(shardings, NamedSharding(mesh, PartitionSpec(AXIS))),
        out_shardings=(shardings, everywhere),
        donate_argnums=0,
    )


def loss_and_gradient(
    config: TrainConfig,
    mesh: Mesh,
    params: Params,
    features: Float[Array, "batch frames bands"],
    noise: Float[Array, "batch draws"],
    dropout_key: Key[Array, ""] | None = None,
    **options: Any,
) -> tuple[Float[Array, ""], Params]:
    """Return the mean loss of a batch and its gradient, the batch taken in `config.accumulation_steps` parts.

    Every input has as many masked patches as every other, so the mean over the parts is the mean over the
    batch. `dropout_key` decides what a local decoder drops, the same in all parts.
    """
    options |= {"dtype": jnp.dtype(config.precision), "gather": gather_on(mesh)}

    def loss_of(params: Params, features: Array, noise: Array) -> Array:
        out = forward(params, features, noise, config.model, dropout_key=dropout_key, **options)
        return out["loss"]

    return gradient_in_parts(loss_of, params, (features, noise), config.accumulation_steps, mesh)


def gradient_in_parts(
    loss_of: Callable[..., Float[Array, ""]],
    params: Params,
    batch: tuple[Array, ...],
    parts: int,
    mesh: Mesh,
) -> tuple[Float[Array, ""], Params]:
    """Return a mean loss over a batch and its gradient, the batch taken in so many parts, one after another.

    Args:
        loss_of: the mean loss of parameters and the arrays of a part.
        batch: arrays, the rows of which are the inputs.
    """
    if parts == 1:
        return jax.value_and_grad(loss_of)(params, *batch)

    def add_part(total: tuple[Array, Params], part: tuple[Array, ...]) -> tuple[tuple[Array, Params], None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_of)(params, *part)), None

    nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    total, _ = jax.lax.scan(add_part, nothing, tuple(_split(array, parts, mesh) for array in batch))
    return jax.tree.map(lambda leaf: leaf / parts, total)


def _split(array: Array, parts: int, mesh: Mesh) -> Array:
    """Deal the rows of a batch like cards, so that every device finds its share of each part at home."""
    dealt = jnp.swapaxes(array.reshape(-1, parts, *array.shape[1:]), 0, 1)
    return jax.lax.with_sharding_constraint(dealt, NamedSharding(mesh, PartitionSpec(None, AXIS)))
