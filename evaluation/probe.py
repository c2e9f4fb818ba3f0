"""Training the shallow classifier: many networks, early stopping, and who works on what.

On a GPU all networks of a stack are computed together. On a CPU every core trains a network of its own,
which fits its cache and needs no other core to wait for; small batches put several networks in one piece.
Either way a network's result is its own: it depends neither on the others nor on how work is shared out.
"""

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from evaluation.layer import Fit
from evaluation.networks import Networks
from evaluation.protocol import ProbeConfig

__all__ = ["Fit", "FitResult", "Rows", "Score", "train_stack"]

PIECE_ELEMENTS = 1 << 17
"""Activations that keep a core busy for much longer than it takes Python to ask for the next operation."""


@dataclass(frozen=True)
class Rows:
    """Embeddings and targets of one part of the data, in the order in which they are trained on.

    `target` is the class index of each row (multiclass) or its multi-hot vector (multilabel).
    """

    x: Float[Tensor, "rows dim"]
    target: Int[Tensor, "rows"] | Float[Tensor, "rows labels"]


@dataclass(frozen=True)
class FitResult:
    """What one network came to: score and epoch (0-based) of its best check, and its logits then."""

    validation_score: float
    epoch: int
    epochs: int
    valid_logits: Float[np.ndarray, "rows labels"]
    test_logits: Float[np.ndarray, "rows labels"]


Score = Callable[[Float[np.ndarray, "rows labels"]], float]
"""From the logits of the validation rows to what is maximised: a score, or the negative of a loss.

It is called by several threads at a time.
"""


def train_stack(
    fits: Sequence[Fit],
    train: Rows,
    valid: Rows,
    test: Rows,
    n_labels: int,
    score: Score,
    on_epoch: Callable[[int, int], None] = lambda epoch, alive: None,
) -> list[FitResult]:
    """Train all `fits` and return their results in the same order.

    The embeddings' device is where everything runs. `on_epoch` is told, by one thread at a time, the epoch
    (1-based, the mean of the networks still to be finished) and how many those are. Raises ValueError when
    the fits' configurations differ in what `ProbeConfig.stackable` keeps.
    """
    shared = fits[0].config
    if any(fit.config.stackable() != shared.stackable() for fit in fits):
        raise ValueError("the networks of one stack must agree in what ProbeConfig.stackable keeps")
    if shared.matmul_precision == "bf16" and shared.hidden_layers:
        train = Rows(train.x.bfloat16(), train.target)
    stack = _Stack(train, valid, test, n_labels, score, _Watch(fits, on_epoch))
    pieces = _pieces(fits, len(train.x), n_labels, train.x.device)
    results: dict[int, FitResult] = {}

    def work(piece: list[int]) -> None:
        results.update(zip(piece, stack.train(piece, [fits[i] for i in piece]), strict=True))

    _in_threads(work, pieces, stack.watch.stop)
    return [results[i] for i in range(len(fits))]


def _pieces(fits: Sequence[Fit], rows: int, n_labels: int, device: torch.device) -> list[list[int]]:
    """Share the fits out: on a GPU one piece, on a CPU as few networks as make a call worth its cost.

    Networks that Adam treats alike become neighbours.
    """
    config = fits[0].config
    order = sorted(range(len(fits)), key=lambda i: (fits[i].config.lr, fits[i].config.beta2))
    size = len(fits)
    if device.type == "cpu":
        width = config.hidden_dim if config.hidden_layers else n_labels
        size = max(1, PIECE_ELEMENTS // (min(rows, config.batch_size) * width))
        size = min(size, math.ceil(len(fits) / torch.get_num_threads()))
    return [order[start : start + size] for start in range(0, len(fits), size)]


def _in_threads(
    work: Callable[[list[int]], None], pieces: Sequence[list[int]], stop: threading.Event
) -> None:
    """Do `work` on every piece, at most one per core; the first error stops the others and is raised."""
    cores = torch.get_num_threads()
    workers = min(cores, len(pieces))
    if workers == 1:
        for piece in pieces:
            work(piece)
        return
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores // workers,))
    try:
        done, _ = wait([pool.submit(work, piece) for piece in pieces], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)


class _Stopped(Exception):
    """Another thread has failed or the user has interrupted: the work is not wanted any more."""


class _Watch:
    """The progress of all networks, told to one listener, and the event that ends the work early."""

    def __init__(self, fits: Sequence[Fit], on_epoch: Callable[[int, int], None]):
        self.stop = threading.Event()
        self._epochs = dict.fromkeys(range(len(fits)), 0)
        self._on_epoch = on_epoch
        self._lock = threading.Lock()

    def tell(self, members: Sequence[int], alive: Sequence[int]) -> None:
        """Note that one more epoch of `members` is over, after which `alive` go on."""
        with self._lock:
            for member in members:
                self._epochs[member] += 1
                if member not in alive:
                    del self._epochs[member]
            epochs = list(self._epochs.values())
            self._on_epoch(sum(epochs) // max(len(epochs), 1), len(epochs))


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
class _Stack:
    """What all pieces of a stack share: the data, the score and who is told."""

    train_rows: Rows
    valid: Rows
    test: Rows
    n_labels: int
    score: Score
    watch: _Watch

    def train(self, numbers: Sequence[int], fits: Sequence[Fit]) -> list[FitResult]:
        """Train the networks of one piece; `numbers` are their places in the stack."""
        config, x = fits[0].config, self.train_rows.x
        networks = Networks(fits, len(x), x.shape[1], self.n_labels, x.device)
        hot = _multi_hot(self.train_rows.target, self.n_labels)
        progress = [_Progress() for _ in fits]
        for epoch in range(config.max_epochs):
            self._epoch(networks, hot, config)
            members, last = networks.members, epoch + 1 == config.max_epochs
            if (epoch + 1) % config.check_val_every_n_epoch == 0 or (last and progress[0].epoch < 0):
                self._check(networks, progress, epoch, config.patience)
            for i in members:
                progress[i].epochs = epoch + 1
            alive = [] if last else networks.members
            self.watch.tell([numbers[i] for i in members], [numbers[i] for i in alive])
            if not alive:
                break
        networks.restore_best()
        valid, test = networks.logits(self.valid.x), networks.logits(self.test.x)
        return [
            FitResult(state.score, state.epoch, state.epochs, valid[row], test[row])
            for row, state in enumerate(progress)
        ]

    def _epoch(self, networks: Networks, hot: Float[Tensor, "rows labels"], config: ProbeConfig) -> None:
        """Make one step per batch; `Rows` are in order unless the configuration shuffles them."""
        x, multiclass = self.train_rows.x, self.train_rows.target.ndim == 1
        orders = networks.orders(len(x)) if config.shuffle else None
        for rows in _batches(len(x), config.batch_size):
            if self.watch.stop.is_set():
                raise _Stopped
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


def _multi_hot(target: Tensor, n_labels: int) -> Float[Tensor, "rows labels"]:
    return target.float() if target.ndim == 2 else functional.one_hot(target, n_labels).float()


def _batches(rows: int, batch_size: int) -> list[slice]:
    """Cut the rows into batches in order; a last batch of one row joins the one before it.

    Batch normalisation has no variance of a single row; the original crashes there.
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in itertools.pairwise([*starts, rows])]
