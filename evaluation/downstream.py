"""One job: all fits of one model on one task, from the store to the ledger and to one score per seed."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch
from jaxtyping import Float

from evaluation.errors import EvaluationError
from evaluation.ledger import FitKey, FitRecord, Ledger
from evaluation.metrics import METRICS, metric_named
from evaluation.probe import Fit, FitResult, Rows, train_stack
from evaluation.protocol import (
    Preset,
    ProbeConfig,
    Split,
    best_config,
    config_key,
    fit_seed,
    row_orders,
    task_splits,
)
from evaluation.store import StoreEntry
from tasks import Task

SeededFit = tuple[int, ProbeConfig]

OnProgress = Callable[[float, str], None]
"""Told how many fits' worth of work has just been done, and what is going on."""


@dataclass(frozen=True)
class Job:
    """One model on one task under one preset, for seeds 0 .. n_seeds - 1."""

    model: str
    task: Task
    entry: StoreEntry
    preset: Preset
    n_seeds: int

    @property
    def splits(self) -> tuple[Split, ...]:
        """The task's train / valid / test combinations; the grid is searched on the first."""
        return task_splits(self.task.metadata.split_mode, self.task.metadata.splits)

    @property
    def primary(self) -> str:
        """The score that selects and is reported."""
        return self.task.metadata.evaluation[0]

    @property
    def n_fits(self) -> int:
        """How many networks the whole job trains."""
        return self.n_seeds * (len(self.preset.grid) + len(self.splits) - 1)

    def grid_fits(self) -> list[SeededFit]:
        """Return what is trained on the first split: every grid point for every seed."""
        return [(seed, config) for seed in range(self.n_seeds) for config in self.preset.grid]

    def key(self, split: Split, fit: SeededFit) -> FitKey:
        """Return the ledger's name of one fit."""
        return FitKey(self.entry.key, split.test, config_key(fit[1]), fit[0])

    def chosen(self, ledger: Ledger) -> list[SeededFit]:
        """Return the best grid point on the first split of every seed whose grid is finished."""
        first = self.splits[0]
        best = []
        for seed in range(self.n_seeds):
            keys = {config: self.key(first, (seed, config)) for config in self.preset.grid}
            if all(key in ledger for key in keys.values()):
                scores = {config: ledger[key].validation_score for config, key in keys.items()}
                best.append((seed, best_config(self.preset.order(seed), scores)))
        return best

    def n_done(self, ledger: Ledger) -> int:
        """Return how many of the job's fits the ledger holds."""
        done = sum(self.key(self.splits[0], fit) in ledger for fit in self.grid_fits())
        chosen = self.chosen(ledger)
        return done + sum(self.key(split, fit) in ledger for split in self.splits[1:] for fit in chosen)

    def seed_scores(self, ledger: Ledger) -> list[float] | None:
        """Return the primary test score of every seed, averaged over folds; None while fits are missing."""
        if self.n_done(ledger) < self.n_fits:
            return None
        return [
            float(np.mean([ledger[self.key(split, fit)].scores[self.primary] for split in self.splits]))
            for fit in self.chosen(ledger)
        ]


@dataclass(frozen=True)
class Resources:
    """Where the classifiers train and how many bytes one stack of them may take."""

    device: torch.device
    max_bytes: float


def run_job(job: Job, ledger: Ledger, resources: Resources, versions: dict[str, str], on: OnProgress) -> None:
    """Train what the ledger lacks of the job, stack by stack, and record every stack as it finishes.

    A stack is recorded as a whole, so an interrupted run goes on with the same stacks, and so to the last
    bit the same scores, as one that was not. Raises EvaluationError for a score that is not a number.
    """
    data = _TaskData(job, resources.device)
    for split in job.splits:
        fits = job.grid_fits() if split == job.splits[0] else job.chosen(ledger)
        for stack in data.stacks(split, fits, resources.max_bytes):
            missing = [fit for fit in stack if job.key(split, fit) not in ledger]
            if missing:
                ledger.append(_train(job, data, split, missing, versions, on))


def _train(
    job: Job,
    data: "_TaskData",
    split: Split,
    stack: Sequence[SeededFit],
    versions: dict[str, str],
    on: OnProgress,
) -> list[FitRecord]:
    start = time.perf_counter()
    max_epochs = stack[0][1].max_epochs
    reported = 0.0

    def on_epoch(epoch: int, alive: int) -> None:
        nonlocal reported
        done = len(stack) - alive * (1 - epoch / max_epochs)
        on(done - reported, f"{split.test} epoch {epoch}, {alive} of {len(stack)} training")
        reported = done

    results = train_stack(
        [Fit(config, fit_seed(seed, split, config)) for seed, config in stack],
        data.rows(split.train),
        data.rows((split.valid,)),
        data.rows((split.test,)),
        len(job.task.vocabulary),
        data.validation_score(split),
        on_epoch,
    )
    on(len(stack) - reported, f"{split.test} scored")
    shared = {
        "model": job.model,
        "task": job.task.name,
        "preset": job.preset.name,
        "primary": job.primary,
        "stack": f"{job.entry.key}/{split.test}/{stack[0][0]}-{stack[-1][0]}",
        "stack_size": len(stack),
        "stack_seconds": round(time.perf_counter() - start, 3),
        "versions": versions,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return [
        FitRecord(
            key=job.key(split, fit),
            validation_score=result.validation_score,
            scores=_finite(job, split, data.test_scores(split, result), result.validation_score),
            epoch=result.epoch,
            epochs=result.epochs,
            **shared,
        )
        for fit, result in zip(stack, results, strict=True)
    ]


def _finite(job: Job, split: Split, scores: dict[str, float], validation_score: float) -> dict[str, float]:
    """Return the scores; a primary one that is not a number would silently spoil selection and means."""
    for part, score in ((split.valid, validation_score), (split.test, scores[job.primary])):
        if not math.isfinite(score):
            raise EvaluationError(
                f"{job.task.name}: {job.primary} of part {part} is {score}, which cannot be compared: a "
                "class is in none or all of its clips, or ranked perfectly; use a larger part or other score"
            )
    return scores


class _TaskData:
    """A task's embeddings and targets, in the protocol's row order, on the device."""

    def __init__(self, job: Job, device: torch.device):
        self._metadata = job.task.metadata
        self._multilabel = job.task.metadata.prediction_type == "multilabel"
        orders = row_orders({split: len(job.task.clips[split]) for split in job.task.metadata.splits})
        index = {label: i for i, label in enumerate(job.task.vocabulary)}
        self._multi_hot: dict[str, np.ndarray] = {}
        self._x: dict[str, torch.Tensor] = {}
        for split, order in orders.items():
            clips = [job.task.clips[split][i] for i in order]
            self._multi_hot[split] = np.zeros((len(clips), len(index)), np.float32)
            for row, clip in enumerate(clips):
                self._multi_hot[split][row, [index[label] for label in clip.labels]] = 1.0
            self._x[split] = torch.from_numpy(job.entry.read(split)[order]).to(device)

    def rows(self, splits: Sequence[str]) -> Rows:
        """Return the rows of the splits one after another: folds in sorted order, as the original does."""
        x = torch.cat([self._x[split] for split in splits])
        target = torch.from_numpy(np.concatenate([self._multi_hot[split] for split in splits])).to(x.device)
        return Rows(x, target if self._multilabel else target.argmax(1))

    def stacks(
        self, split: Split, fits: Sequence[SeededFit], max_bytes: float
    ) -> Iterator[Sequence[SeededFit]]:
        """Cut the fits into stacks that fit into the memory given."""
        config = fits[0][1]
        parts = [*split.train, split.valid, split.test]
        rows = max(sum(len(self._x[part]) for part in parts[:-2]), *(len(self._x[p]) for p in parts[-2:]))
        size = networks_per_stack(
            config, rows, self._x[split.test].shape[1], self._multi_hot[split.test].shape[1], max_bytes
        )
        for start in range(0, len(fits), size):
            yield fits[start : start + size]

    def validation_score(self, split: Split) -> Callable[[Float[np.ndarray, "rows labels"]], float]:
        """Return the function from validation logits to the score that is maximised."""
        metric = metric_named(self._metadata.evaluation[0])
        return lambda logits: metric(self._multi_hot[split.valid], self._probabilities(logits))

    def test_scores(self, split: Split, result: FitResult) -> dict[str, float]:
        """Return every score of the task's list on the test part."""
        probabilities = self._probabilities(result.test_logits)
        return {
            name: metric_named(name)(self._multi_hot[split.test], probabilities)
            for name in self._metadata.evaluation
        }

    def _probabilities(self, logits: Float[np.ndarray, "rows labels"]) -> Float[np.ndarray, "rows labels"]:
        tensor = torch.from_numpy(logits)
        return (torch.sigmoid(tensor) if self._multilabel else torch.softmax(tensor, 1)).numpy()


def networks_per_stack(config: ProbeConfig, rows: int, dim: int, n_labels: int, max_bytes: float) -> int:
    """Return how many networks train together within `max_bytes`, at least one.

    A network holds its parameters five times (with gradient, two moments and the best copy) and about six
    copies of its hidden activations.
    """
    widths = [dim, *[config.hidden_dim] * config.hidden_layers, n_labels]
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    batch = max(min(rows, config.batch_size), 1)
    activations = 6 * max(batch, rows // 2) * config.hidden_dim * max(config.hidden_layers, 1)
    return max(1, int(max_bytes / (4 * (5 * parameters + activations))))


class UnsupportedTask(EvaluationError):
    """A task of a kind that is right but cannot be evaluated yet."""


def check_trainable(task: Task) -> None:
    """Raise EvaluationError, naming the task, when its kind cannot be evaluated or a split is too small.

    UnsupportedTask, for what HEAR has and this evaluation does not do yet.
    """
    metadata = task.metadata
    if metadata.embedding_type != "scene":
        raise UnsupportedTask(f"{task.name} is a timestamp task; only scene tasks can be evaluated yet")
    if not metadata.use_scoring_for_early_stopping:
        raise UnsupportedTask(f"{task.name} selects on the validation loss; only scores can select yet")
    if "task_specific_param_grid" in metadata.evaluation_params:
        raise UnsupportedTask(f"{task.name} brings a grid of its own; only presets can be trained yet")
    for name in metadata.evaluation:
        if name not in METRICS:
            raise EvaluationError(
                f"{task.name}: there is no scene metric '{name}'; known: {', '.join(METRICS)}"
            )
    for split in task_splits(metadata.split_mode, metadata.splits):
        rows = sum(len(task.clips[part]) for part in split.train)
        if rows < 2 or not task.clips[split.valid] or not task.clips[split.test]:
            raise EvaluationError(
                f"{task.name}: with test part {split.test} there are {rows} training clips, "
                f"{len(task.clips[split.valid])} validation and {len(task.clips[split.test])} test clips; "
                "at least 2, 1 and 1 are needed"
            )
