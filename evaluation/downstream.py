"""Doing one job: from the store through training to the ledger, stack by stack."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from evaluation.cost import neighbour_flops, networks_per_stack, training_flops
from evaluation.details import save_predictions
from evaluation.errors import EvaluationError
from evaluation.event_metrics import EVENT_METRICS
from evaluation.events import postprocessing_grid
from evaluation.job import Job, SeededFit
from evaluation.knn import KnnConfig, as_logits, neighbour_shares
from evaluation.ledger import FitKey, FitRecord, Ledger
from evaluation.metrics import METRICS
from evaluation.probe import Fit, FitResult, train_stack
from evaluation.protocol import Config, Split, fit_seed, task_splits
from evaluation.task_data import TaskData, task_data
from tasks import Task

OnProgress = Callable[[float, str], None]
"""Told how many fits' worth of work has just been done, and what is going on."""


@dataclass(frozen=True)
class Resources:
    """Where the classifiers train and how many bytes one stack of them may take.

    `predictions` is the run's directory when the predictions of the fits that count are to be saved there.
    """

    device: torch.device
    max_bytes: float
    predictions: Path | None = None


def run_job(job: Job, ledger: Ledger, resources: Resources, versions: dict[str, str], on: OnProgress) -> None:
    """Train what the ledger lacks of the job, stack by stack, and record every stack as it finishes.

    A stack is recorded as a whole, so an interrupted run goes on with the same stacks, and so to the last
    bit the same scores, as one that was not. Raises EvaluationError for a score that is not a number.
    """
    data = task_data(job, resources.device)
    for split in job.splits:
        fits = job.grid_fits() if split == job.splits[0] else job.chosen(ledger)
        for stack in _stacks(job, data, split, fits, resources.max_bytes):
            missing = [fit for fit in stack.fits if job.key(split, fit) not in ledger]
            if missing:
                stack = _Stack(job, data, split, missing)
                start = time.perf_counter()
                results = stack.train(on)
                records = stack.records(results, time.perf_counter() - start, versions)
                if resources.predictions:
                    stack.save(results, resources.predictions)
                ledger.append(records, stack.details(results))
    if resources.predictions:
        _keep_predictions_that_count(job, data, ledger, resources, on)


def _stacks(
    job: Job, data: TaskData, split: Split, fits: Sequence[SeededFit], max_bytes: float
) -> Iterator["_Stack"]:
    """Cut the fits into stacks of what can train together, as large as the memory given allows."""
    kinds: dict[Config, list[SeededFit]] = {}
    for fit in fits:
        kinds.setdefault(fit[1].stackable(), []).append(fit)
    counts, n_labels = data.counts(split), len(job.task.vocabulary)
    for shared, alike in kinds.items():
        size = len(alike)
        if not isinstance(shared, KnnConfig):
            size = networks_per_stack(shared, **counts, dim=data.dim, n_labels=n_labels, max_bytes=max_bytes)
        for start in range(0, len(alike), size):
            yield _Stack(job, data, split, alike[start : start + size])


def _keep_predictions_that_count(
    job: Job, data: TaskData, ledger: Ledger, resources: Resources, on: OnProgress
) -> None:
    """Delete the predictions of grid points that lost and make those that an earlier run did not save."""
    directory = resources.predictions
    chosen = job.chosen(ledger)
    for fit in set(job.grid_fits()) - set(chosen):
        job.prediction_path(directory, job.splits[0], fit).unlink(missing_ok=True)
    for split in job.splits:
        lost = [fit for fit in chosen if not job.prediction_path(directory, split, fit).exists()]
        for stack in _stacks(job, data, split, lost, resources.max_bytes):
            stack.save(stack.train(on), directory)


@dataclass(frozen=True)
class _Stack:
    """Classifiers that train together on one split of a job."""

    job: Job
    data: TaskData
    split: Split
    fits: Sequence[SeededFit]

    def train(self, on: OnProgress) -> list[FitResult]:
        """Train them; progress is told in fits, of which a stopped one is whole."""
        if isinstance(self.fits[0][1], KnnConfig):
            results = self._neighbours()
            on(len(self.fits), f"{self.split.test} scored")
            return results
        max_epochs = self.fits[0][1].max_epochs
        reported = 0.0

        def on_epoch(epoch: int, alive: int) -> None:
            nonlocal reported
            done = len(self.fits) - alive * (1 - epoch / max_epochs)
            on(done - reported, f"{self.split.test} epoch {epoch}, {alive} of {len(self.fits)} training")
            reported = done

        results = train_stack(
            [Fit(config, fit_seed(seed, self.split, config)) for seed, config in self.fits],
            self.data.train_rows(self.split),
            self.data.part_rows(self.split.valid),
            self.data.part_rows(self.split.test),
            len(self.job.task.vocabulary),
            self.data.validation_score(self.split.valid),
            on_epoch,
        )
        on(len(self.fits) - reported, f"{self.split.test} scored")
        return results

    def _neighbours(self) -> list[FitResult]:
        """Classify by nearest neighbours for every k at once; a result reads like that of a network."""
        train, multilabel = self.data.train_rows(self.split), self.data.multilabel
        n_labels, ks = len(self.job.task.vocabulary), [config.k for _, config in self.fits]
        target = train.target if multilabel else functional.one_hot(train.target, n_labels).float()
        logits = []
        for part in (self.split.valid, self.split.test):
            shares = neighbour_shares(train.x, target, self.data.part_rows(part).x, ks)
            logits.append(as_logits(shares, multilabel=multilabel).cpu().numpy())
        score = self.data.validation_score(self.split.valid)
        return [FitResult(float(np.float32(score(v))), 0, 0, v, t) for v, t in zip(*logits, strict=True)]

    def records(
        self, results: Sequence[FitResult], seconds: float, versions: dict[str, str]
    ) -> list[FitRecord]:
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
            "versions": versions,
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
                **shared,
            )
            for key, result, share, (scores, postprocessing) in zip(keys, results, flops, scored, strict=True)
        ]

    def _flops(self, config: Config, epochs: int) -> float:
        counts = self.data.counts(self.split)
        if isinstance(config, KnnConfig):
            return neighbour_flops(**counts, dim=self.data.dim)
        n_labels = len(self.job.task.vocabulary)
        return training_flops(config, **counts, dim=self.data.dim, n_labels=n_labels, epochs=epochs)

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


def check_trainable(task: Task) -> None:
    """Raise EvaluationError, naming the task, when a score is unknown or a split is too small."""
    metadata = task.metadata
    event = metadata.embedding_type == "event"
    known = EVENT_METRICS if event else METRICS
    for name in metadata.evaluation:
        if name not in known:
            kind = "event" if event else "scene"
            raise EvaluationError(
                f"{task.name}: there is no {kind} metric '{name}'; known: {', '.join(known)}"
            )
    if event:
        postprocessing_grid(metadata)
    for split in task_splits(metadata.split_mode, metadata.splits):
        rows = sum(len(task.clips[part]) for part in split.train)
        if rows < 2 or not task.clips[split.valid] or not task.clips[split.test]:
            raise EvaluationError(
                f"{task.name}: with test part {split.test} there are {rows} training clips, "
                f"{len(task.clips[split.valid])} validation and {len(task.clips[split.test])} test clips; "
                "at least 2, 1 and 1 are needed"
            )
