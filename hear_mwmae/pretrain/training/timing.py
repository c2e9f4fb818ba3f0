"""How fast the machine at hand trains: its devices, and timed training steps."""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.cost import measured_peak, peak_flops
from hear_mwmae.pretrain.training.step import (
    QUEUED_STEPS,
    TrainState,
    TrainStep,
    data_mesh,
    init_state,
    make_train_step,
    place_batch,
    place_state,
    state_shardings,
)

WARM_UP_STEPS = 2


@dataclass(frozen=True)
class StepOptions:
    """How a step is computed; the outcome is the same."""

    remat: bool = False
    fsdp: bool = False
    kernel: str = "xla"


@dataclass(frozen=True)
class DeviceGroup:
    """The devices that take part in a run."""

    devices: int
    kind: str
    flops: float
    """Operations per second of all devices together, at best."""
    source: str
    """Where `flops` is from."""
    memory: float | None
    """Bytes that one device has, None where it does not tell."""


@dataclass
class Training:
    """A run that is only started to be timed, on parameters that are thrown away."""

    train: TrainConfig
    mesh: Mesh
    state: TrainState
    step: TrainStep

    def seconds_per_step(
        self, next_batch: Callable[[], Float[Array, "batch frames bands"]], steps: int
    ) -> float:
        """Time `steps` updates after two for warming up."""
        queued: deque[object] = deque()
        start = 0.0
        for number in range(WARM_UP_STEPS + steps):
            if number == WARM_UP_STEPS:
                jax.block_until_ready(self.state)
                start = time.perf_counter()
            self.state, metrics = self.step(self.state, next_batch())
            queued.append(metrics)
            if len(queued) > QUEUED_STEPS:
                jax.block_until_ready(queued.popleft())
        jax.block_until_ready(self.state)
        return (time.perf_counter() - start) / steps

    def random_batch(self) -> Float[Array, "batch frames bands"]:
        """Noise of the size of one batch, on the devices."""
        local = self.train.batch_size // jax.process_count()
        noise = np.random.default_rng(0).standard_normal((local, *self.train.model.input_size), np.float32)
        return place_batch(noise, self.mesh)


def start_training(train: TrainConfig, options: StepOptions) -> Training:
    """Make parameters and the step of a run; the step is compiled when it is first taken."""
    mesh, steps_per_epoch = data_mesh(), 100
    shapes = jax.eval_shape(lambda: init_state(train, steps_per_epoch))
    shardings = state_shardings(shapes, mesh, fsdp=options.fsdp)
    state = place_state(train, steps_per_epoch, shardings)
    step = make_train_step(
        train, steps_per_epoch, mesh, shardings, remat=options.remat, kernel=options.kernel
    )
    return Training(train, mesh, state, step)


def this_machine(precision: str) -> DeviceGroup:
    """Describe the devices at hand; the peak of those without a known data sheet is measured."""
    device, devices = jax.devices()[0], jax.device_count()
    memory = (device.memory_stats() or {}).get("bytes_limit")
    if peak := peak_flops(device):
        return DeviceGroup(devices, device.device_kind, peak * devices, "data sheet, bfloat16", memory)
    flops = measured_peak(precision) * devices
    if device.platform == "cpu":  # The devices of one processor share it and its memory.
        flops /= devices
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / devices
    return DeviceGroup(devices, device.device_kind, flops, f"a matrix product in {precision}", memory)
