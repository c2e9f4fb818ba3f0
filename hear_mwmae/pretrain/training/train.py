"""Pre-training: from settings and data to checkpoints, logs and pictures.

A run that is killed at any point and started again ends with the same parameters as one that was not (to the
last bit on CPU): all that decides the outcome lies in `TrainConfig`, the data and the checkpoint.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.data_sets import DataSets, load_data_sets, whole_pass
from hear_mwmae.pretrain.data.loader import BatchIterator, Crops, training_batches
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.cost import peak_flops, train_flops_per_crop
from hear_mwmae.pretrain.training.logs import Logs, Throughput
from hear_mwmae.pretrain.training.loop import LoopOptions, Run, TrainingLoop, Watcher, guarded_run
from hear_mwmae.pretrain.training.picture import CLIPS, Pictures
from hear_mwmae.pretrain.training.step import (
    TrainState,
    check_batch,
    data_mesh,
    init_state,
    make_train_step,
    place_batch,
    place_state,
    state_shardings,
)
from hear_mwmae.pretrain.training.validation import Validation


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(LoopOptions):
    """What watches a pre-training run and spreads it over a machine; none of it changes the outcome.

    Raises:
        UserError: negative numbers, or no logs at all.
    """

    data: Path
    validation: Path | None = None
    picture_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.picture_every or 0) < 0:
            raise UserError("--picture-every must be at least 0.")


def train(config: TrainConfig, options: TrainingOptions) -> None:
    """Run, or go on with, the training in `options.workdir` to its end.

    Raises:
        UserError: unusable data or settings, data that change, a checkpoint of another run, a loss that is
            not finite, or too little memory.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the state was saved.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(guarded_run(config, options, config.crops_per_clip))
        check_batch(config, jax.device_count(), jax.process_count(), config.crops_per_clip)
        data = load_data_sets(config, options.data, options.validation)
        data.check_content()
        options.workdir.mkdir(parents=True, exist_ok=True)
        run = _parts(config, options, data)
        loop = TrainingLoop(run, options, stop, stack)
        loop.train(_watchers(config, options, data, run, loop.logs))


def _parts(config: TrainConfig, options: TrainingOptions, data: DataSets) -> Run:
    mesh = data_mesh()
    steps_per_epoch = config.steps_per_epoch(len(data.training))
    shapes = jax.eval_shape(lambda: init_state(config, steps_per_epoch))
    shardings = state_shardings(shapes, mesh, fsdp=options.fsdp)
    train_step = make_train_step(
        config, steps_per_epoch, mesh, shardings, remat=options.remat, kernel=options.kernel
    )
    peak = peak_flops(jax.devices()[0])
    return Run(
        config,
        steps_per_epoch,
        data.content_hash,
        mesh,
        shardings,
        _open_batches(config, options, data),
        begin=lambda: place_state(config, steps_per_epoch, shardings),
        update=lambda state, features: train_step(state, place_batch(features, mesh)),
        throughput=Throughput(
            config,
            flops_per_crop=train_flops_per_crop(config.model),
            peak_flops=peak and peak * jax.device_count(),
        ),
        check_data=data.check_unchanged,
    )


def _open_batches(config: TrainConfig, options: TrainingOptions, data: DataSets) -> BatchIterator[Crops]:
    return training_batches(
        data.training,
        frames=config.model.input_size[0],
        batch_size=config.batch_size,
        crops_per_clip=config.crops_per_clip,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        normalisation=data.normalisation,
        roll=config.roll,
        gain=config.gain,
        workers=options.workers,
    )


def _watchers(
    config: TrainConfig, options: TrainingOptions, data: DataSets, run: Run, logs: Logs
) -> list[Watcher]:
    """The loss on what is held out, where something is, and pictures."""
    frames, watchers = config.model.input_size[0], []
    if held_out := data.validation:
        validation = Validation(
            config,
            lambda size: whole_pass(held_out, frames, size, data.normalisation),
            run.mesh,
            run.shardings,
        )

        def validate(state: TrainState, _: int) -> Mapping[str, float]:
            return {"validation_loss": validation.run(state.params)}

        watchers.append(Watcher(options.validate_every, validate))
    pictures = Pictures(config, data.picture_clips(frames, CLIPS), options.workdir, run.mesh, run.shardings)

    def paint(state: TrainState, step: int) -> Mapping[str, float]:
        logs.picture(step, *pictures.paint(state.params, step))
        return {}

    return [*watchers, Watcher(options.picture_every, paint)]
