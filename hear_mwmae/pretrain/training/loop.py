"""The loop around an update: logs, what watches the run, checkpoints, and how it stops.

It knows neither the model nor the data: pre-training and supervised training hand it both as functions.
"""

import contextlib
import math
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.loader import BatchIterator
from hear_mwmae.pretrain.hosts import on_any_host
from hear_mwmae.pretrain.settings import RunSettings
from hear_mwmae.pretrain.training.checkpoints import Checkpoints
from hear_mwmae.pretrain.training.interruption import InterruptedRun, StopRequest
from hear_mwmae.pretrain.training.logs import Logs, Throughput
from hear_mwmae.pretrain.training.memory import memory_advice
from hear_mwmae.pretrain.training.provenance import add_start
from hear_mwmae.pretrain.training.step import QUEUED_STEPS, Metrics, TrainState


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """What watches a run and spreads it over a machine; none of it changes the outcome.

    Every `*_every` counts updates: 0 for never (logs excepted), None for once an epoch.

    Raises:
        UserError: negative numbers, or no logs at all.
    """

    workdir: Path
    workers: int = 0
    """Processes that read the data; 0 to read in the training process."""
    log_every: int = 50
    checkpoint_every: int | None = None
    keep_every_epochs: int = 0
    """Of the checkpoints, keep one in so many epochs for good; 0 to keep the last three only."""
    validate_every: int | None = None
    remat: bool = False
    fsdp: bool = False
    kernel: str = "xla"
    wandb: str = ""
    """Name of a W&B project, or "" to do without."""

    def __post_init__(self) -> None:
        intervals = (self.checkpoint_every, self.validate_every, self.keep_every_epochs)
        if self.log_every < 1 or min(self.workers, *(every or 0 for every in intervals)) < 0:
            raise UserError(
                "--log-every must be at least 1, and the other intervals and --workers at least 0."
            )


@dataclass(frozen=True)
class Watcher:
    """What looks at a run from time to time."""

    every: int | None
    """Updates between two looks; 0 for never, None for once an epoch."""
    look: Callable[[TrainState, int], Mapping[str, float]]
    """Called with the state after so many updates, on all processes together; returns numbers to log."""


@dataclass(frozen=True)
class Run:
    """The parts of one run."""

    config: RunSettings
    steps_per_epoch: int
    data_hash: str
    """Of the content of the data: a checkpoint goes on with the same data only."""
    mesh: Mesh
    shardings: TrainState
    batches: BatchIterator[Any]
    begin: Callable[[], TrainState]
    """Returns the state before the first update, on its devices."""
    update: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    """One update by a batch as `batches` gives it."""
    throughput: Throughput
    check_data: Callable[[], None] = lambda: None
    """Called before a checkpoint is written.

    Raises:
        UserError: the data have changed."""


@contextlib.contextmanager
def guarded_run(config: RunSettings, options: LoopOptions, parts: int = 1) -> Iterator[StopRequest]:
    """Watch for signals, and say in a sentence what a full disk or memory asks for.

    `parts` is the least number that a batch must divide by on one device.

    Raises:
        UserError: too little memory, or a file that cannot be read or written.
    """
    advice = memory_advice(config, remat=options.remat, fsdp=options.fsdp, parts=parts)
    with StopRequest() as stop, advice:
        try:
            yield stop
        except OSError as error:
            raise UserError(
                f"{printable(error.filename or options.workdir)}: {error.strerror or error}. Run the same "
                "command to go on from the last checkpoint."
            ) from error


class TrainingLoop:
    """One run in progress; `stack` closes what it opens.

    Attributes:
        state: parameters and all else that changes, after `step` updates.
    """

    def __init__(
        self,
        run: Run,
        options: LoopOptions,
        stop: StopRequest,
        stack: contextlib.ExitStack,
    ) -> None:
        """Take up the newest checkpoint, the position in the data too, or begin.

        Raises:
            UserError: a checkpoint of another run, or none that can be read.
        """
        self._run, self._options, self._stop = run, options, stop
        self._total_steps = run.config.total_steps(run.steps_per_epoch)
        keep_every = options.keep_every_epochs * run.steps_per_epoch
        self._checkpoints = stack.enter_context(
            Checkpoints(options.workdir, run.config, run.data_hash, keep_every=keep_every)
        )
        stack.enter_context(contextlib.closing(run.batches))
        self.state, self.step = self._first_state()
        self.logs = stack.enter_context(
            Logs(
                options.workdir,
                run.config,
                total_steps=self._total_steps,
                step=self.step,
                wandb_project=options.wandb,
            )
        )
        if jax.process_index() == 0:
            add_start(options.workdir, self.step)
        self._unread: deque[tuple[int, Metrics]] = deque()
        self._newest: dict[str, float] = {}

    def _first_state(self) -> tuple[TrainState, int]:
        like = jax.tree.map(
            lambda shape, place: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place),
            jax.eval_shape(self._run.begin),
            self._run.shardings,
        )
        restored = self._checkpoints.restore(like)
        if restored is None:
            return self._run.begin(), 0
        self._run.batches.set_state(restored.data_state)
        return restored.state, restored.step

    def train(self, watchers: Sequence[Watcher] = ()) -> TrainState:
        """Train until the last update is done and saved; return the state.

        Raises:
            UserError: the loss or its gradient is not finite; the last checkpoint is from before.
            InterruptedRun: Ctrl-C or SIGTERM; the state was saved.
        """
        first = self.step + 1
        while self.step < self._total_steps:
            self.state, metrics = self._run.update(self.state, next(self._run.batches))
            self.step += 1
            self._unread.append((self.step, metrics))
            self._run.throughput.add_step()
            self._wait_for_device()
            if self.step == first:  # It took the compilation, which says nothing about the speed.
                jax.block_until_ready(metrics)
                self._run.throughput.restart()
            self._watch(watchers)
            self.logs.advance()
            self._save_or_stop()
        self._checkpoints.wait()
        return self.state

    def _wait_for_device(self) -> None:
        if len(self._unread) > QUEUED_STEPS:
            jax.block_until_ready(self._unread[-1 - QUEUED_STEPS])

    def _due(self, every: int | None) -> bool:
        every = self._run.steps_per_epoch if every is None else every
        return bool(every) and (self.step % every == 0 or self.step == self._total_steps)

    def _watch(self, watchers: Sequence[Watcher]) -> None:
        """Log, and let those look at the run whose time it is."""
        logging = self._due(self._options.log_every)
        looking = [watcher for watcher in watchers if self._due(watcher.every)]
        if not (logging or looking):
            return
        values = self._read_metrics()
        speed = self._run.throughput.measure()
        seen: dict[str, float] = {}
        for watcher in looking:
            seen |= watcher.look(self.state, self.step)
        if logging or seen:
            epoch = self.step / self._run.steps_per_epoch
            self.logs.record(self.step, {"epoch": epoch, **values, **speed, **seen})
        self._run.throughput.restart()

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
        saved = self._checkpoints.latest_step
        kept = f"the checkpoint of step {saved} is kept" if saved else "there is no checkpoint yet"
        return UserError(
            f"At step {step} the loss is {metrics['loss']:.4g} and the norm of its gradient "
            f"{metrics['gradient_norm']:.4g}, so the run stopped; {kept}. Start another run with "
            f"{self._run.config.calmer}."
        )

    def _save_or_stop(self) -> None:
        stopping = self._stop_wanted() and self.step < self._total_steps
        if stopping or self.step == self._total_steps or self._due(self._options.checkpoint_every):
            self._read_metrics()
            self._run.check_data()
            self._checkpoints.save(self.state, self._run.batches.get_state(), self.step)
            self._run.throughput.restart()
        if stopping:
            self._checkpoints.wait()
            number = self._stop.signal or signal.SIGTERM
            raise InterruptedRun(
                f"stopped after step {self.step} of {self._total_steps}, which is saved in "
                f"{printable(self._options.workdir)}. Run the same command to go on.",
                128 + number,
            )

    def _stop_wanted(self) -> bool:
        """Tell whether to stop; several processes ask each other where they log only."""
        if jax.process_count() > 1 and not self._due(self._options.log_every):
            return False
        return on_any_host(bool(self._stop.signal))
