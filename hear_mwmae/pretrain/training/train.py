"""The training loop: from settings and data to checkpoints, logs and pictures.

A run that is killed at any point and started again ends with the same parameters as one that was not (to the
last bit on CPU): all that decides the outcome lies in `TrainConfig`, the data and the checkpoint.
"""

import contextlib
import math
import signal
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import jax

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.data_sets import load_data_sets, whole_pass
from hear_mwmae.pretrain.data.loader import BatchIterator, Crops, training_batches
from hear_mwmae.pretrain.hosts import on_any_host
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.checkpoints import Checkpoints
from hear_mwmae.pretrain.training.cost import peak_flops, train_flops_per_crop
from hear_mwmae.pretrain.training.interruption import InterruptedRun, StopRequest
from hear_mwmae.pretrain.training.logs import Logs, Throughput
from hear_mwmae.pretrain.training.memory import memory_advice
from hear_mwmae.pretrain.training.picture import CLIPS, Pictures
from hear_mwmae.pretrain.training.provenance import add_start
from hear_mwmae.pretrain.training.step import (
    QUEUED_STEPS,
    Metrics,
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


@dataclass(frozen=True)
class TrainingOptions:
    """What watches a run and spreads it over a machine; none of it changes the outcome.

    Every `*_every` counts updates: 0 for never (logs excepted), None for once an epoch.

    Raises:
        UserError: negative numbers, or no logs at all.
    """

    data: Path
    workdir: Path
    validation: Path | None = None
    workers: int = 0
    """Processes that read the data; 0 to read in the training process."""
    log_every: int = 50
    checkpoint_every: int | None = None
    keep_every_epochs: int = 0
    """Of the checkpoints, keep one in so many epochs for good; 0 to keep the last three only."""
    validate_every: int | None = None
    picture_every: int | None = None
    remat: bool = False
    fsdp: bool = False
    kernel: str = "xla"
    wandb: str = ""
    """Name of a W&B project, or "" to do without."""

    def __post_init__(self) -> None:
        intervals = (self.checkpoint_every, self.validate_every, self.picture_every, self.keep_every_epochs)
        if self.log_every < 1 or min(self.workers, *(every or 0 for every in intervals)) < 0:
            raise UserError(
                "--log-every must be at least 1, and the other intervals and --workers at least 0."
            )


def train(config: TrainConfig, options: TrainingOptions) -> None:
    """Run, or go on with, the training in `options.workdir` to its end.

    Raises:
        UserError: unusable data or settings, data that change, a checkpoint of another run, a loss that is
            not finite, or too little memory.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the state was saved.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(memory_advice(config, remat=options.remat, fsdp=options.fsdp))
        try:
            Trainer(config, options, stop, stack).run()
        except OSError as error:
            raise UserError(
                f"{printable(error.filename or options.workdir)}: {error.strerror or error}. Run the same "
                "command to go on from the last checkpoint."
            ) from error


class Trainer:
    """One run in progress; `stack` closes what it opens."""

    def __init__(
        self, config: TrainConfig, options: TrainingOptions, stop: StopRequest, stack: contextlib.ExitStack
    ) -> None:
        self.config, self.options, self._stop = config, options, stop
        self.mesh = data_mesh()
        check_batch(config, jax.device_count(), jax.process_count())
        self.data = load_data_sets(config, options.data, options.validation)
        self.data.check_content()
        self.steps_per_epoch = config.steps_per_epoch(len(self.data.training))
        self.total_steps = config.total_steps(self.steps_per_epoch)
        options.workdir.mkdir(parents=True, exist_ok=True)
        keep_every = options.keep_every_epochs * self.steps_per_epoch
        self.checkpoints = stack.enter_context(
            Checkpoints(options.workdir, config, self.data.content_hash, keep_every=keep_every)
        )
        self.batches = stack.enter_context(contextlib.closing(self._open_batches()))
        shapes = jax.eval_shape(lambda: init_state(config, self.steps_per_epoch))
        self.shardings = state_shardings(shapes, self.mesh, fsdp=options.fsdp)
        self.state, self.step = self._first_state(shapes)
        self.logs = stack.enter_context(
            Logs(
                options.workdir,
                config,
                total_steps=self.total_steps,
                step=self.step,
                wandb_project=options.wandb,
            )
        )
        if jax.process_index() == 0:
            add_start(options.workdir, self.step)
        self._make_watchers()
        self._unread: deque[tuple[int, Metrics]] = deque()
        self._newest: dict[str, float] = {}

    def _open_batches(self) -> BatchIterator[Crops]:
        return training_batches(
            self.data.training,
            frames=self.config.model.input_size[0],
            batch_size=self.config.batch_size,
            crops_per_clip=self.config.crops_per_clip,
            seed=self.config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            normalisation=self.data.normalisation,
            roll=self.config.roll,
            gain=self.config.gain,
            workers=self.options.workers,
        )

    def _first_state(self, shapes: TrainState) -> tuple[TrainState, int]:
        """Take up the newest checkpoint, the position in the data too, or begin."""
        like = jax.tree.map(
            lambda shape, place: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place),
            shapes,
            self.shardings,
        )
        restored = self.checkpoints.restore(like)
        if restored is None:
            return place_state(self.config, self.steps_per_epoch, self.shardings), 0
        self.batches.set_state(restored.data_state)
        return restored.state, restored.step

    def _make_watchers(self) -> None:
        peak = peak_flops(jax.devices()[0])
        self.throughput = Throughput(
            self.config,
            flops_per_crop=train_flops_per_crop(self.config.model),
            peak_flops=peak and peak * jax.device_count(),
        )
        frames = self.config.model.input_size[0]
        held_out = self.data.validation
        self.validation: Validation | None = None
        if held_out is not None:
            self.validation = Validation(
                self.config,
                lambda size: whole_pass(held_out, frames, size, self.data.normalisation),
                self.mesh,
                self.shardings,
            )
        clips = self.data.picture_clips(frames, CLIPS)
        self.pictures = Pictures(self.config, clips, self.options.workdir, self.mesh, self.shardings)

    def run(self) -> None:
        """Train until the last update is done and saved.

        Raises:
            UserError: the loss or its gradient is not finite; the last checkpoint is from before.
            InterruptedRun: Ctrl-C or SIGTERM; the state was saved.
        """
        train_step = make_train_step(
            self.config,
            self.steps_per_epoch,
            self.mesh,
            self.shardings,
            remat=self.options.remat,
            kernel=self.options.kernel,
        )
        first = self.step + 1
        while self.step < self.total_steps:
            features = place_batch(next(self.batches), self.mesh)
            self.state, metrics = train_step(self.state, features)
            self.step += 1
            self._unread.append((self.step, metrics))
            self.throughput.add_step()
            self._wait_for_device()
            if self.step == first:  # It took the compilation, which says nothing about the speed.
                jax.block_until_ready(metrics)
                self.throughput.restart()
            self._watch()
            self.logs.advance()
            self._save_or_stop()
        self.checkpoints.wait()

    def _wait_for_device(self) -> None:
        if len(self._unread) > QUEUED_STEPS:
            jax.block_until_ready(self._unread[-1 - QUEUED_STEPS])

    def _due(self, every: int | None) -> bool:
        every = self.steps_per_epoch if every is None else every
        return bool(every) and (self.step % every == 0 or self.step == self.total_steps)

    def _watch(self) -> None:
        """Log, validate and paint where it is time to."""
        logging = self._due(self.options.log_every)
        validation = self.validation if self._due(self.options.validate_every) else None
        painting = self._due(self.options.picture_every)
        if not (logging or validation or painting):
            return
        values = self._read_metrics()
        if logging or validation:
            record = {"epoch": self.step / self.steps_per_epoch, **values, **self.throughput.measure()}
            if validation:
                record["validation_loss"] = validation.run(self.state.params)
            self.logs.record(self.step, record)
        if painting:
            path, pixels = self.pictures.paint(self.state.params, self.step)
            self.logs.picture(self.step, path, pixels)
        self.throughput.restart()

    def _read_metrics(self) -> dict[str, float]:
        """Fetch the numbers of all updates that were not fetched yet; return those of the newest update.

        Raises:
            UserError: some are not finite.
        """
        for step, metrics in jax.device_get(list(self._unread)):
            self._newest = {name: float(value) for name, value in metrics.items()}
            if not all(map(math.isfinite, self._newest.values())):
                raise self._not_finite(step, self._newest)
        self._unread.clear()
        return self._newest

    def _not_finite(self, step: int, metrics: dict[str, float]) -> UserError:
        saved = self.checkpoints.latest_step
        kept = f"the checkpoint of step {saved} is kept" if saved else "there is no checkpoint yet"
        return UserError(
            f"At step {step} the loss is {metrics['loss']:.4g} and the norm of its gradient "
            f"{metrics['gradient_norm']:.4g}, so the run stopped; {kept}. Start another run with a lower "
            "--base-learning-rate, a longer --warmup-epochs, or a limit such as --clip-norm 1."
        )

    def _save_or_stop(self) -> None:
        stopping = self._stop_wanted() and self.step < self.total_steps
        if stopping or self.step == self.total_steps or self._due(self.options.checkpoint_every):
            self._read_metrics()
            self.data.check_unchanged()
            self.checkpoints.save(self.state, self.batches.get_state(), self.step)
            self.throughput.restart()
        if stopping:
            self.checkpoints.wait()
            number = self._stop.signal or signal.SIGTERM
            raise InterruptedRun(
                f"stopped after step {self.step} of {self.total_steps}, which is saved in "
                f"{printable(self.options.workdir)}. Run the same command to go on.",
                128 + number,
            )

    def _stop_wanted(self) -> bool:
        """Tell whether to stop; several processes ask each other where they log only."""
        if jax.process_count() > 1 and not self._due(self.options.log_every):
            return False
        return on_any_host(bool(self._stop.signal))
