"""Doing one job: from the store through training to the ledger, stack by stack."""

import contextlib
import hashlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from evaluation.errors import EvaluationError
from evaluation.probes.config import Config, ConfigT, KnnConfig, LinearConfig, ProbeConfig
from evaluation.probes.cost import (
    neighbour_flops,
    network_bytes,
    regression_bytes,
    regression_flops,
    training_flops,
)
from evaluation.probes.data import TaskData, task_data
from evaluation.probes.knn import nearest_logits, neighbour_shares
from evaluation.probes.splits import Combination, fit_seed
from evaluation.probes.train import (
    Fit,
    FitResult,
    Regressions,
    Rows,
    Stack,
    adams_order,
    as_regressed_on,
    as_trained_on,
    train_stacks,
)
from evaluation.results.ledger import FitKey, FitOrigin, FitRecord, Ledger
from evaluation.results.predictions import save_predictions
from evaluation.runs.job import Job, SeededFit

OnProgress = Callable[[float, str], None]
"""Told how many fits' worth of work has just been done, and what is going on."""


@dataclass(frozen=True)
class Resources:
    """Where the classifiers train and how many bytes those that train at a time may take.

    `predictions` is the run's directory when the predictions of the fits that count are to be saved there;
    `origin` goes into every line of the ledger.
    """

    device: torch.device
    max_bytes: float
    predictions: Path | None = None
    origin: FitOrigin = field(default_factory=FitOrigin)


def run_job(job: Job, ledger: Ledger, resources: Resources, on: OnProgress) -> None:
    """Train what the ledger lacks of the job and record every stack of networks as it finishes.

    The grid is searched on the first split; the chosen points of all other splits then train at a time. A
    stack is recorded as a whole, so an interrupted run goes on with the same stacks, and so to the last bit
    the same scores, as one that was not. Raises EvaluationError for a score that is not a number.
    """
    data = task_data(job.task, job.entry, job.budget, resources.device)
    first, *others = job.splits
    for splits, fits in (([first], job.grid_fits), (others, lambda: job.chosen(ledger))):
        stacks = _stacks_of_fits(job, data, splits, fits(), resources.max_bytes)
        missing = [[fit for fit in s.fits if job.key(s.split, fit) not in ledger] for s in stacks]
        lacking = [replace(s, fits=fits) for s, fits in zip(stacks, missing, strict=True) if fits]
        with contextlib.closing(_trained_stacks(lacking, resources, on)) as finished:
            for stack, results, seconds in finished:
                if resources.predictions:
                    stack.save(results, resources.predictions)
                ledger.append(stack.records(results, seconds, resources.origin), stack.details(results))
    _keep_predictions_that_count(job, data, ledger, resources, on)


def _fits_of_kind(kind: type[ConfigT], fits: Sequence[SeededFit]) -> list[tuple[int, ConfigT]]:
    """Return the fits of one kind of classifier; those of a stack are all of one."""
    return [(seed, config) for seed, config in fits if isinstance(config, kind)]


def _stacks_of_fits(
    job: Job, data: TaskData, splits: Sequence[Combination], fits: Sequence[SeededFit], max_bytes: float
) -> list["_Stack"]:
    """Cut the fits of every split into stacks of what is computed together.

    On a GPU a stack is as large as the memory given allows, on a CPU it is one network; a logistic
    regression is always alone.
    """
    kinds: dict[Config, list[SeededFit]] = {}
    for fit in fits:
        kinds.setdefault(fit[1].stackable(), []).append(fit)
    stacks, rows, n_labels = [], _RowsInUse(data), len(job.task.vocabulary)
    for split in splits:
        counts = data.counts(split)
        for shared, alike in kinds.items():
            size = 1 if isinstance(shared, LinearConfig) else len(alike)
            if isinstance(shared, ProbeConfig):
                configs = [config for _, config in _fits_of_kind(ProbeConfig, alike)]
                alike = [alike[i] for i in adams_order(configs)]
                one = network_bytes(shared, **counts, dim=data.dim, n_labels=n_labels)
                size = 1 if data.device.type == "cpu" else max(1, int(max_bytes / one))
            starts = range(0, len(alike), size)
            stacks += [_Stack(job, data, split, rows, alike[start : start + size]) for start in starts]
    return stacks


def _trained_stacks(
    stacks: Sequence["_Stack"], resources: Resources, on: OnProgress
) -> Generator[tuple["_Stack", list[FitResult], float], None, None]:
    """Train the stacks and yield each as it finishes, with the seconds that it took of the machine.

    Of stacks that train beside each other each took its part of the machine. Progress is told in fits.
    """
    if stacks and isinstance(stacks[0].fits[0][1], KnnConfig):
        for stack in stacks:
            start = time.perf_counter()
            results = stack.neighbours()
            on(len(stack.fits), f"{stack.split.test} scored")
            yield stack, results, time.perf_counter() - start
        return
    reported = 0.0

    def on_work(done: float, alive: int) -> None:
        nonlocal reported
        on(done - reported, f"{alive} to go")
        reported = done

    workers = _stacks_at_a_time(stacks, resources)
    with contextlib.closing(train_stacks([s.trainable() for s in stacks], workers, on_work)) as finished:
        for one in finished:
            yield stacks[one.number], one.results, one.seconds / min(workers, len(stacks))


def _stacks_at_a_time(stacks: Sequence["_Stack"], resources: Resources) -> int:
    """Return how many stacks may train at a time: as many as there are cores and memory for; one on a GPU."""
    if resources.device.type != "cpu" or not stacks:
        return 1
    largest = max(stack.n_bytes for stack in stacks)
    return max(1, min(torch.get_num_threads(), int(resources.max_bytes / largest)))


def _keep_predictions_that_count(
    job: Job, data: TaskData, ledger: Ledger, resources: Resources, on: OnProgress
) -> None:
    """Delete the predictions of grid points that lost and make those that an earlier run did not save.

    Nothing is done where predictions are not saved. Warns when networks that are trained again for it are
    not those of the ledger to the last bit, as on another machine.
    """
    directory = resources.predictions
    if directory is None:
        return
    chosen = job.chosen(ledger)
    for fit in set(job.grid_fits()) - set(chosen):
        job.prediction_path(directory, job.splits[0], fit).unlink(missing_ok=True)
    for split in job.splits:
        lost = [fit for fit in chosen if not job.prediction_path(directory, split, fit).exists()]
        stacks = _stacks_of_fits(job, data, [split], lost, resources.max_bytes)
        with contextlib.closing(_trained_stacks(stacks, resources, on)) as finished:
            for stack, results, seconds in finished:
                again = stack.records(results, seconds, resources.origin)
                if any(
                    _main_scores_of_fit(record) != _main_scores_of_fit(ledger[record.key]) for record in again
                ):
                    warnings.warn(
                        f"{job.model} on {job.label}: the networks trained again for --save-predictions "
                        f"score otherwise than those in the ledger, test part {split.test}",
                        stacklevel=2,
                    )
                stack.save(results, directory)


def _main_scores_of_fit(record: FitRecord) -> tuple[float, float]:
    return record.validation_score, record.scores[record.primary]


class _RowsInUse:
    """The rows of the split whose stacks are being started; those of earlier splits go with their stacks."""

    def __init__(self, data: TaskData):
        self._data = data
        self._lock = threading.Lock()
        self._key: tuple[Combination, str] | None = None
        self._rows: tuple[Rows, Rows, Rows]

    def of(self, split: Combination, config: ProbeConfig | LinearConfig) -> tuple[Rows, Rows, Rows]:
        """Return what is trained, validated and tested on."""
        kind = "regressed"
        if isinstance(config, ProbeConfig):
            kind = f"{config.matmul_precision} {config.hidden_layers > 0}"
        with self._lock:
            if (split, kind) != self._key:
                self._rows = self._read(split, config)
                self._key = (split, kind)
            return self._rows

    def _read(self, split: Combination, config: ProbeConfig | LinearConfig) -> tuple[Rows, Rows, Rows]:
        data = self._data
        train, valid, test = data.train_rows(split), data.part_rows(split.valid), data.part_rows(split.test)
        if isinstance(config, LinearConfig):
            train, valid, test = as_regressed_on(train, valid, test)
            return train, valid, test
        return as_trained_on(train, config), valid, test


@dataclass(frozen=True)
class _Stack:
    """Classifiers that are computed together on one split of a job."""

    job: Job
    data: TaskData
    split: Combination
    rows: _RowsInUse
    fits: Sequence[SeededFit]

    @property
    def n_bytes(self) -> int:
        """The memory that they take in training."""
        counts, n_labels = self.data.counts(self.split), len(self.job.task.vocabulary)
        config, sizes = self.fits[0][1], {**counts, "dim": self.data.dim, "n_labels": n_labels}
        if isinstance(config, ProbeConfig):
            return len(self.fits) * network_bytes(config, **sizes)
        return len(self.fits) * regression_bytes(**sizes)

    def trainable(self) -> Stack | Regressions:
        """Return them as the engine trains them."""
        split, rows = self.split, self.rows
        shared = len(self.job.task.vocabulary), self.data.validation_score(split.valid)
        if regressions := [config for _, config in _fits_of_kind(LinearConfig, self.fits)]:
            return Regressions(regressions, lambda: rows.of(split, regressions[0]), *shared)
        networks = [Fit(c, fit_seed(seed, split, c)) for seed, c in _fits_of_kind(ProbeConfig, self.fits)]
        return Stack(networks, lambda: rows.of(split, networks[0].config), *shared)

    def neighbours(self) -> list[FitResult]:
        """Classify by nearest neighbours for every k at once; a result reads like that of a network."""
        train, multilabel = self.data.train_rows(self.split), self.data.multilabel
        n_labels, fits = len(self.job.task.vocabulary), _fits_of_kind(KnnConfig, self.fits)
        target = train.target if multilabel else functional.one_hot(train.target, n_labels).float()
        ks, logits = [config.k for _, config in fits], []
        for part in (self.split.valid, self.split.test):
            shares = neighbour_shares(train.x, target, self.data.part_rows(part).x, ks)
            logits.append(nearest_logits(shares, multilabel=multilabel).cpu().numpy())
        score = self.data.validation_score(self.split.valid)
        return [FitResult(float(np.float32(score(v))), 0, 0, v, t) for v, t in zip(*logits, strict=True)]

    def records(self, results: Sequence[FitResult], seconds: float, origin: FitOrigin) -> list[FitRecord]:
        """Return the ledger's lines; `seconds` is what the whole stack took."""
        job, keys = self.job, [self.job.key(self.split, fit) for fit in self.fits]
        flops = [self._flops(fit[1], r.epochs) for fit, r in zip(self.fits, results, strict=True)]
        shared = {
            "model": job.model,
            "task": job.task.name,
            "preset": job.preset.title,
            "primary": job.primary,
            "monitor": job.monitor,
            "stack": hashlib.sha256(repr(keys).encode()).hexdigest()[:16],
            "stack_size": len(keys),
            "stack_seconds": round(seconds, 3),
            **asdict(origin),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        scored = [self._finite_scores(result) for result in results]
        return [
            FitRecord(
                key=key,
                validation_score=-result.validation_score if job.minimised else result.validation_score,
                scores=scores,
                postprocessing=postprocessing,
                epoch=result.epoch,
                epochs=result.epochs,
                seconds=round(seconds * share / sum(flops), 4),
                flops=share,
                test_loss=self.data.loss(self.split.test, result.test_logits),
                train_score=result.train_score,
                train_chance=result.train_chance,
                **shared,
            )
            for key, result, share, (scores, postprocessing) in zip(keys, results, flops, scored, strict=True)
        ]

    def _flops(self, config: Config, epochs: int) -> float:
        counts = self.data.counts(self.split)
        if isinstance(config, KnnConfig):
            return neighbour_flops(**counts, dim=self.data.dim)
        sizes = {**counts, "dim": self.data.dim, "n_labels": len(self.job.task.vocabulary), "epochs": epochs}
        if isinstance(config, LinearConfig):
            return regression_flops(**sizes)
        return training_flops(config, **sizes)

    def _finite_scores(self, result: FitResult) -> tuple[dict[str, float], dict[str, float]]:
        """Return the test scores and how events were made.

        A primary score that is not a number would silently spoil selection and means.
        """
        if not np.isfinite(result.test_logits).all():
            raise EvaluationError(f"{self.job.task.name}: {DIVERGED}")
        scores, postprocessing = self.data.scores(self.split, result)
        found = [(self.split.valid, self.job.monitor, result.validation_score)]
        found.append((self.split.test, self.job.primary, scores[self.job.primary]))
        for part, name, score in found:
            if not math.isfinite(score):
                raise EvaluationError(
                    f"{self.job.task.name}: {name} of part {part} is {score}, which cannot be compared: "
                    + (DIVERGED if name == "loss" else UNDEFINED)
                )
        return scores, postprocessing

    def details(self, results: Sequence[FitResult]) -> dict[FitKey, dict[str, Any]]:
        """Return what stands behind each fit's test scores."""
        return {
            self.job.key(self.split, fit): self.data.details(self.split, result)
            for fit, result in zip(self.fits, results, strict=True)
        }

    def save(self, results: Sequence[FitResult], directory: Path) -> None:
        """Write what each fit predicts of the test part."""
        for fit, result in zip(self.fits, results, strict=True):
            about = {
                "seed": fit[0],
                "test": self.split.test,
                "config": asdict(fit[1]),
                "model": self.job.model,
            }
            path = self.job.prediction_path(directory, self.split, fit)
            save_predictions(path, about, self.data.predictions(self.split, result))


UNDEFINED = "a class is in none or all of its clips, or ranked perfectly; use a larger part or other score"
DIVERGED = "training diverged; lower the learning rate (--probe lr=...) or scale the embeddings down"
