"""Where the time of a run goes: the model alone, the data alone, and both together, in one table."""

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from hear_mwmae import processor
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import find_run
from hear_mwmae.pretrain.data.data_sets import load_data_sets
from hear_mwmae.pretrain.data.loader import BatchIterator, training_batches
from hear_mwmae.pretrain.needed import run_pretrain_command
from hear_mwmae.pretrain.settings import KERNELS, PRECISIONS, TrainConfig
from hear_mwmae.pretrain.training.cost import train_flops_per_crop
from hear_mwmae.pretrain.training.memory import memory_advice
from hear_mwmae.pretrain.training.step import check_batch, place_batch
from hear_mwmae.pretrain.training.timing import DeviceGroup, StepOptions, start_training, this_machine

PROGRAM = "python -m benchmarks.pretraining"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one table; return the exit status: 0, 2 (a mistake), 130 and others (stopped)."""
    return run_pretrain_command(lambda: _run(_parser().parse_args(arguments)), "stopped.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--config", required=True, metavar="TABLE:RUN", help="a published run")
    parser.add_argument("--tiny", action="store_true", help="its variant for a CPU")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared data")
    parser.add_argument("--batch-size", type=int, metavar="N", help="crops in one step")
    parser.add_argument(
        "--crops-per-clip", type=int, metavar="N", help="crops taken each time a clip is read"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="default: the run's; float32 where bfloat16 is emulated"
    )
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="timed (default 20)")
    workers = min(8, (os.cpu_count() or 1) - 1)
    parser.add_argument("--workers", type=int, default=workers, metavar="N",
                        help=f"processes that read data (default {workers})")  # fmt: skip
    parser.add_argument("--remat", action="store_true", help="less memory, more time")
    parser.add_argument("--fsdp", action="store_true", help="split parameters over the devices")
    parser.add_argument("--kernel", choices=KERNELS, default="xla", help="of the global heads")
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.steps < 1:
        raise UserError("--steps must be at least 1.")
    run = find_run(options.config, tiny=options.tiny)
    names = ("batch_size", "crops_per_clip", "precision")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    train = dataclasses.replace(run.train, **given)
    if not options.precision and jax.default_backend() == "cpu" and processor.multiplies_bf16() is False:
        train = dataclasses.replace(train, precision="float32")
        print(
            f"{processor.describe_bf16(emulated=processor.IN_JAX)} Measured is float32; --precision "
            "bfloat16 for that.",
            file=sys.stderr,
        )
    check_batch(train, jax.device_count(), crops_per_clip=train.crops_per_clip)
    machine = this_machine(train.precision)
    step_options = StepOptions(options.remat, options.fsdp, options.kernel)
    print(
        f"{options.config}{' (tiny)' if options.tiny else ''} on {machine.devices} x {machine.kind}:", end=" "
    )
    print(f"{train.batch_size} crops a step, {train.precision}, data workers: {options.workers}")
    print(f"{'':12}{'crops/s':>10}{'ms a step':>12}{'TFLOP/s':>10}{'of peak':>9}", flush=True)
    alone = []
    advice = memory_advice(train, remat=options.remat, fsdp=options.fsdp, parts=0)
    with advice, contextlib.closing(_batches(train, options)) as batches:
        training = start_training(train, step_options)
        noise = training.random_batch()
        alone.append(training.seconds_per_step(lambda: noise, options.steps))
        _print_row("model only", alone[0], train, machine)
        alone.append(_data_seconds(batches, options.steps))
        _print_row("data only", alone[1], train)
        both = training.seconds_per_step(lambda: place_batch(next(batches), training.mesh), options.steps)
        _print_row("both", both, train, machine)
    print(f"Peak: {machine.flops / 1e12:.3g} TFLOP/s ({machine.source}).")
    print(f"Both together reach {max(alone) / both:.0%} of the slower one's speed.")


def _batches(train: TrainConfig, options: argparse.Namespace) -> BatchIterator:
    data = load_data_sets(train, options.data)
    return training_batches(
        data.training,
        frames=train.model.input_size[0],
        batch_size=train.batch_size,
        crops_per_clip=train.crops_per_clip,
        normalisation=data.normalisation,
        roll=train.roll,
        gain=train.gain,
        workers=options.workers,
    )


def _data_seconds(batches: BatchIterator, steps: int) -> float:
    """Seconds per batch, after those that are read ahead from the start."""
    for _ in range(steps):
        next(batches)
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return (time.perf_counter() - start) / steps


def _print_row(name: str, seconds: float, train: TrainConfig, machine: DeviceGroup | None = None) -> None:
    crops_per_second = train.batch_size / seconds
    row = f"{name:12}{crops_per_second:10.4g}{1000 * seconds:12.4g}"
    if machine:
        flops = crops_per_second * train_flops_per_crop(train.model)
        row += f"{flops / 1e12:10.3g}{flops / machine.flops:9.0%}"
    print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
