"""Training the shallow classifier: many networks, early stopping, and who works on what.

The head "linear", which has a solution, is `Regressions`; the rest is of networks.

Networks that agree in shape and see the same rows can be computed together, as one stack. On a GPU that is
all that fit its memory; a stack never holds networks of two folds, which train on different rows. On a CPU a
stack is one network on one core: it fits the core's cache and needs no other core to wait for, and what
becomes of it is the same to the last bit whatever else there is to train. (Small networks were no faster
together.) Networks of any folds and shapes
train beside each other, so that cores are idle only at the very end.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from evaluation.probes.chance import training_score
from evaluation.probes.config import LinearConfig, ProbeConfig
from evaluation.probes.layer import Fit
from evaluation.probes.linear import regress, standardised
from evaluation.probes.networks import EXAMINED_ROWS, Networks

__all__ = [
    "Fit",
    "FitResult",
    "Regressions",
    "Rows",
    "Score",
    "Stack",
    "Trained",
    "as_regressed_on",
    "train_stack",
    "train_stacks",
]


@dataclass(frozen=True)
class Rows:
    """Embeddings and targets of one part of the data, in the order in which they are trained on.

    `target` is the class index of each row (multiclass) or its multi-hot vector (multilabel).
    """

    x: Float[Tensor, "rows dim"]
    target: Int[Tensor, " rows"] | Float[Tensor, "rows labels"]

    def examined(self) -> "Rows":
        """Return those that a trained classifier is asked about, see `EXAMINED_ROWS`."""
        step = -(-len(self.x) // EXAMINED_ROWS)
        return Rows(self.x[::step], self.target[::step])


@dataclass(frozen=True)
class FitResult:
    """What one network came to: score and epoch (0-based) of its best check, and its logits then.

    `train_score` is on the rows that it was trained on and `train_chance` what knowing only how frequent
    the classes are would give, see `evaluation.probes.chance`; both None where nothing is trained.
    """

    validation_score: float
    epoch: int
    epochs: int
    valid_logits: Float[np.ndarray, "valid_rows labels"]
    test_logits: Float[np.ndarray, "test_rows labels"]
    train_score: float | None = None
    train_chance: float | None = None


Score = Callable[[Float[np.ndarray, "rows labels"]], float]
"""From the logits of the validation rows to what is maximised: a score, or the negative of a loss.

It is called by several threads at a time.
"""

OnWork = Callable[[float, int], None]
"""Told, by one thread at a time, how many fits' worth of work is done in all and how many fits go on."""


@dataclass(frozen=True)
class Stack:
    """Networks that are computed together.

    `rows` gives the rows to train (see `as_trained_on`), validate and test on; it is asked, perhaps by
    several threads at a time, when the stack's turn comes, so that not all rows need be in memory. Raises
    ValueError when the fits' configurations differ in what `ProbeConfig.stackable` keeps.
    """

    fits: Sequence[Fit]
    rows: Callable[[], tuple[Rows, Rows, Rows]]
    n_labels: int
    score: Score

    def __post_init__(self) -> None:
        if len({fit.config.stackable() for fit in self.fits}) > 1:
            raise ValueError("the networks of one stack must agree in what ProbeConfig.stackable keeps")

    def train(self, watch: "_Watch") -> list[FitResult]:
        """Train them in this thread."""
        return _Training(*self.rows(), self.n_labels, self.score, watch).train(self.fits)


@dataclass(frozen=True)
class Regressions:
    """Logistic regressions on the same rows, found one after the other.

    `rows` gives what to train, validate and test on as `as_regressed_on` does, and is asked like a
    `Stack`'s. An epoch is a pass over the training rows, and the last one counts.
    """

    fits: Sequence[LinearConfig]
    rows: Callable[[], tuple[Rows, Rows, Rows]]
    n_labels: int
    score: Score

    def train(self, watch: "_Watch") -> list[FitResult]:
        """Find them in this thread."""
        train, valid, test = self.rows()
        hot, multilabel = _multi_hot_targets(train.target, self.n_labels), train.target.ndim == 2
        examined, results = train.examined(), []
        for config in self.fits:
            found = regress(train.x, hot, config, multilabel=multilabel, on_pass=watch.check)
            logits = [found.logits(rows.x).cpu().numpy() for rows in (valid, test, examined)]
            score = float(np.float32(self.score(logits[0])))
            known = training_score(examined.target.cpu().numpy(), logits[2])
            results.append(FitResult(score, found.passes - 1, found.passes, logits[0], logits[1], *known))
            watch.tell(1.0, 1)
        return results


@dataclass(frozen=True)
class Trained:
    """What became of stack `number`: a result for each of its fits and the seconds that it took."""

    number: int
    results: list[FitResult]
    seconds: float


def train_stacks(
    stacks: Sequence[Stack | Regressions], workers: int, on_work: OnWork = lambda done, alive: None
) -> Generator[Trained, None, None]:
    """Train all stacks, up to `workers` at a time, and yield each as it finishes.

    The embeddings' device is where everything runs; on a GPU there is to be one worker. On a CPU a stack has
    one core even if others are idle: several would add in another order, and a result would depend on what
    else there was to train. The first error ends all. Whoever stops iterating must close the iterator, which
    ends the work.
    """
    watch, cores = _Watch(stacks, on_work), torch.get_num_threads()
    pool = ThreadPoolExecutor(min(workers, cores), initializer=torch.set_num_threads, initargs=(1,))
    try:
        pending = [pool.submit(_train_networks, stack, number, watch) for number, stack in enumerate(stacks)]
        for future in as_completed(pending):
            yield future.result()
    finally:
        watch.stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


def train_stack(
    fits: Sequence[Fit],
    train: Rows,
    valid: Rows,
    test: Rows,
    n_labels: int,
    score: Score,
    on_work: OnWork = lambda done, alive: None,
) -> list[FitResult]:
    """Train networks that agree in shape on the same rows and return their results in the same order.

    On a CPU each is a stack of its own. Raises ValueError as `Stack` does.
    """
    config, on_cpu = fits[0].config, train.x.device.type == "cpu"
    rows = as_trained_on(train, config), valid, test
    whole = Stack(fits, lambda: rows, n_labels, score)
    size = 1 if on_cpu else len(fits)
    order = adams_order([fit.config for fit in fits])
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    stacks = [replace(whole, fits=[fits[i] for i in part]) for part in parts]
    results: dict[int, FitResult] = {}
    for trained in train_stacks(stacks, torch.get_num_threads() if on_cpu else 1, on_work):
        results.update(zip(parts[trained.number], trained.results, strict=True))
    return [results[i] for i in range(len(fits))]


def as_trained_on(rows: Rows, config: ProbeConfig) -> Rows:
    """Return the training rows as the first layer's products take them."""
    rounded = config.matmul_precision == "bf16" and config.hidden_layers
    return Rows(rows.x.bfloat16(), rows.target) if rounded else rows


def as_regressed_on(train: Rows, *others: Rows) -> tuple[Rows, ...]:
    """Return all rows as a logistic regression takes them, see `evaluation.probes.linear.standardised`."""
    parts = (train, *others)
    scaled = standardised(*(rows.x for rows in parts))
    return tuple(Rows(x, rows.target) for x, rows in zip(scaled, parts, strict=True))


def adams_order(configs: Sequence[ProbeConfig]) -> list[int]:
    """Return the order in which networks that Adam treats alike are neighbours."""
    return sorted(range(len(configs)), key=lambda i: (configs[i].lr, configs[i].beta2))


def _train_networks(stack: Stack | Regressions, number: int, watch: "_Watch") -> Trained:
    """Train one stack in this thread."""
    start = time.perf_counter()
    results = stack.train(watch)
    return Trained(number, results, time.perf_counter() - start)


class _Stopped(Exception):
    """Another thread has failed or the user has interrupted: the work is not wanted any more."""


class _Watch:
    """The progress of all networks, told to one listener, and the event that ends the work early."""

    def __init__(self, stacks: Sequence[Stack | Regressions], on_work: OnWork):
        self.stop = threading.Event()
        self._done = 0.0
        self._alive = sum(len(stack.fits) for stack in stacks)
        self._on_work = on_work
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise when the work is not wanted any more."""
        if self.stop.is_set():
            raise _Stopped

    def tell(self, work: float, stopped: int) -> None:
        """Note that some fits' worth of work is done and that so many networks have stopped."""
        with self._lock:
            self._done += work
            self._alive -= stopped
            self._on_work(self._done, self._alive)


class _Progress:
    """Early stopping of one network: strictly better counts, the first of equals wins."""

    def __init__(self) -> None:
        self.score = -math.inf
        self.epoch = -1
        self.epochs = 0
        self.improved = False
        self._checks_without_gain = 0

    def check(self, score: float, epoch: int, patience: int) -> bool:
        """Record one validation score, compared in float32, and return whether training stops here."""
        score = float(np.float32(score))
        self.improved = score > self.score or self.epoch < 0
        if self.improved:
            self.score, self.epoch, self._checks_without_gain = score, epoch, 0
        else:
            self._checks_without_gain += 1
        return self._checks_without_gain >= patience or not math.isfinite(score)


@dataclass(frozen=True)
class _Training:
    """What the networks of one stack are trained with."""

    train_rows: Rows
    valid: Rows
    test: Rows
    n_labels: int
    score: Score
    watch: _Watch

    def train(self, fits: Sequence[Fit]) -> list[FitResult]:
        """Train the networks and return their results."""
        config, x = fits[0].config, self.train_rows.x
        networks = Networks(fits, len(x), x.shape[1], self.n_labels, x.device)
        hot = _multi_hot_targets(self.train_rows.target, self.n_labels)
        progress = [_Progress() for _ in fits]
        for epoch in range(config.max_epochs):
            self._epoch(networks, hot, config)
            members, last = networks.members, epoch + 1 == config.max_epochs
            if (epoch + 1) % config.check_val_every_n_epoch == 0 or (last and progress[0].epoch < 0):
                self._check(networks, progress, epoch, config.patience)
            for i in members:
                progress[i].epochs = epoch + 1
            alive = 0 if last else len(networks.members)
            stopped = len(members) - alive
            # A network that stops has done its work as a whole.
            rest = 1 - epoch / config.max_epochs
            self.watch.tell(alive / config.max_epochs + stopped * rest, stopped)
            if not alive:
                break
        networks.restore_best()
        examined = self.train_rows.examined()
        parts = [networks.logits(rows.x) for rows in (self.valid, self.test, examined)]
        target = examined.target.cpu().numpy()
        return [
            FitResult(state.score, state.epoch, state.epochs, valid, test, *training_score(target, train))
            for state, valid, test, train in zip(progress, *parts, strict=True)
        ]

    def _epoch(self, networks: Networks, hot: Float[Tensor, "rows labels"], config: ProbeConfig) -> None:
        """Make one step per batch; `Rows` are in order unless the configuration shuffles them."""
        x, multiclass = self.train_rows.x, self.train_rows.target.ndim == 1
        orders = networks.orders(len(x)) if config.shuffle else None
        for rows in _row_batches(len(x), config.batch_size):
            self.watch.check()
            chosen = rows if orders is None else orders[:, rows]
            networks.step(x[chosen], hot[chosen], multiclass)

    def _check(self, networks: Networks, progress: Sequence[_Progress], epoch: int, patience: int) -> None:
        """Validate every network that is still training, keep the best and drop the hopeless."""
        members = networks.members
        scores = [self.score(logits) for logits in networks.logits(self.valid.x)]
        stopped = [
            progress[i].check(score, epoch, patience) for i, score in zip(members, scores, strict=True)
        ]
        networks.keep_best([progress[i].improved for i in members])
        networks.drop(stopped)


def _multi_hot_targets(target: Tensor, n_labels: int) -> Float[Tensor, "rows labels"]:
    return target.float() if target.ndim == 2 else functional.one_hot(target, n_labels).float()


def _row_batches(rows: int, batch_size: int) -> list[slice]:
    """Cut the rows into batches in order; a last batch of one row joins the one before it.

    Batch normalisation has no variance of a single row; the original crashes there.
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in itertools.pairwise([*starts, rows])]
