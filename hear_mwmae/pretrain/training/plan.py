"""What a run will take, before it is started: `hear-mwmae pretrain --config ... --plan`.

Parameters, steps, operations and memory are computed; the hours come from ten steps on random input.
"""

import dataclasses

import jax

from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.cost import (
    TrainingMemory,
    parameter_count,
    train_flops_per_crop,
    training_memory,
)
from hear_mwmae.pretrain.training.memory import memory_advice
from hear_mwmae.pretrain.training.step import check_batch
from hear_mwmae.pretrain.training.timing import (
    WARM_UP_STEPS,
    DeviceGroup,
    StepOptions,
    start_training,
    this_machine,
)

TIMED_STEPS = 10
# The whole batch is measured if by estimate it takes this share of the memory and no more than a minute.
MEMORY_SHARE = 0.8
LONGEST_MEASUREMENT = 60.0
ASSUMED_UTILISATION = 0.3


def print_plan(
    train: TrainConfig,
    clips: int,
    *,
    measure: bool = True,
    remat: bool = False,
    fsdp: bool = False,
    kernel: str = "xla",
) -> None:
    """Print the size, work, memory and duration of a run on `clips` clips.

    Args:
        clips: clips that the run trains on, after `data_fraction`.
        measure: take ten steps to tell the duration; without them none is told.
        remat, fsdp, kernel: as in training.

    Raises:
        UserError: the clips do not fill a batch, or the devices cannot share it or lack the memory.
    """
    options = StepOptions(remat, fsdp, kernel)
    steps = train.total_steps(train.steps_per_epoch(clips))
    check_batch(train, jax.device_count(), jax.process_count(), train.crops_per_clip)
    machine = this_machine(train.precision)
    _print_size(train, clips, steps)
    memory = memory_per_device(train, machine.devices, options)
    crops = train.batch_size // train.accumulation_steps // machine.devices
    print_line("memory", f"{_bytes(memory.state)} of parameters, gradients and optimiser,")
    print_line("", f"about {_bytes(memory.activations)} of activations of {crops} crops at a time,")
    print_line("", f"on each of {machine.devices} x {machine.kind}")
    if measure:
        _print_duration(train, steps, machine, options)


def memory_per_device(train: TrainConfig, devices: int, options: StepOptions) -> TrainingMemory:
    """Estimate the memory of a run on each of its devices."""
    return training_memory(
        train.model,
        batch=train.batch_size // train.accumulation_steps // devices,
        precision=train.precision,
        remat=options.remat,
        shards=devices if options.fsdp else 1,
    )


def measurable(train: TrainConfig, machine: DeviceGroup, options: StepOptions) -> TrainConfig | None:
    """The run, or with its batch halved until memory and a minute suffice; None if memory never does."""
    unit = machine.devices * train.accumulation_steps * train.crops_per_clip
    seconds_per_crop = train_flops_per_crop(train.model) / (ASSUMED_UTILISATION * machine.flops)
    memory = memory_per_device(train, machine.devices, options)
    batch = train.batch_size
    while True:
        needed = memory.state + memory.activations * batch / train.batch_size
        fits = machine.memory is None or needed < MEMORY_SHARE * machine.memory
        seconds = batch * seconds_per_crop * (WARM_UP_STEPS + TIMED_STEPS)
        can_halve = batch % (2 * unit) == 0
        if fits and (seconds < LONGEST_MEASUREMENT or not can_halve):
            return dataclasses.replace(train, batch_size=batch)
        if not can_halve:
            return None
        batch //= 2


def _print_size(train: TrainConfig, clips: int, steps: int) -> None:
    model, count = train.model, parameter_count(train.model)
    per_crop = train_flops_per_crop(model)
    encoder = f"{count.encoder / 1e6:.3g} M of them the encoder's"
    kept = f"{model.kept_tokens} of {model.tokens} tokens kept"
    print_line("model", f"{count.total / 1e6:.3g} M parameters, {encoder}; {kept}")
    an_epoch = f"{train.steps_per_epoch(clips):,} an epoch of {clips:,} clips"
    print_line("steps", f"{steps:,} of {train.batch_size} crops, {an_epoch}")
    print_line("operations", f"{steps * train.batch_size * per_crop:.2e}, {per_crop:.2e} per crop")


def _print_duration(train: TrainConfig, steps: int, machine: DeviceGroup, options: StepOptions) -> None:
    measured = measurable(train, machine, options)
    if measured is None:
        print_line("speed", "not measured: by the estimate not even the smallest batch fits the memory")
        return
    advice = memory_advice(train, remat=options.remat, fsdp=options.fsdp, parts=train.crops_per_clip)
    with advice:
        training = start_training(measured, options)
        batch = training.random_batch()
        seconds = training.seconds_per_step(lambda: batch, TIMED_STEPS)
    crops_per_second = measured.batch_size / seconds
    print_line("speed", f"{crops_per_second:.4g} crops/s, {seconds:.3g} s a step of {measured.batch_size},")
    if measured != train:
        print_line(
            "", f"scaled from that smaller batch: {train.batch_size} would be too much to measure here,"
        )
    used = crops_per_second * train_flops_per_crop(train.model) / machine.flops
    print_line("", f"{used:.0%} of {machine.flops / 1e12:.3g} TFLOP/s ({machine.source})")
    duration = steps * train.batch_size / crops_per_second
    print_line("duration", f"{duration_text(duration)} on this machine, if reading the data keeps up")


def print_line(label: str, text: str) -> None:
    """Print one line of a plan; its label is "" where it goes on with the line above."""
    print(f"{label:11} {text}", flush=True)


def _bytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def duration_text(seconds: float) -> str:
    """Write a duration in minutes or hours."""
    if seconds < 3600:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:,.1f} hours"
