"""One model on one task: which fits that takes, which of them count, and the score of every seed."""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.embedding.store import StoreEntry
from evaluation.probes.chance import at_chance
from evaluation.probes.config import Config, config_key
from evaluation.probes.presets import Preset
from evaluation.probes.splits import (
    Combination,
    is_minimised,
    monitored_score,
    primary_score,
    task_splits,
)
from evaluation.results.failure import task_label
from evaluation.results.job import PlannedJob
from evaluation.results.ledger import FitKey, FitRecord, Ledger
from evaluation.results.predictions import prediction_path
from evaluation.results.score_table import Column
from evaluation.runs.columns import column
from tasks import Task

SeededFit = tuple[int, Config]

_REMEDY = {
    True: "try another rate or more epochs with --probe, or --head linear",
    False: "are its embeddings all alike?",
}
"""What to do where a classifier has learned nothing, by whether its training depends on such numbers."""


def embedding_digest(entry: StoreEntry, task: Task, lists: str = "") -> str:
    """Return what fits on these embeddings of a task are known by, "" while embeddings are missing.

    A digest of the embeddings and of what is to be learned of them: `lists`, which is of the task's metadata,
    vocabulary and labels. How the embeddings were made is no part of it.
    """
    arrays = entry.content(task.metadata.splits)
    return arrays and hashlib.sha256(f"{arrays} {lists or _lists_digest(task)}".encode()).hexdigest()[:24]


def _lists_digest(task: Task) -> str:
    clips = {split: [asdict(clip) for clip in part] for split, part in task.clips.items()}
    content = [asdict(task.metadata), task.vocabulary, clips]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """One model on one task under one preset, for some seeds.

    `preset` is the run's as it applies to this task; `budget` is the share of the training clips, in per
    cent.
    """

    model: str
    task: Task
    entry: StoreEntry
    preset: Preset
    seeds: Sequence[int]
    budget: float = 100.0

    @property
    def embedding(self) -> str:
        """What fits are known by, "" while the embeddings are missing."""
        return embedding_digest(self.entry, self.task, self._lists)

    @functools.cached_property
    def _lists(self) -> str:
        return _lists_digest(self.task)

    @property
    def label(self) -> str:
        """The task's name, with the budget where it is not all."""
        return task_label(self.task.name, self.budget)

    @property
    def splits(self) -> tuple[Combination, ...]:
        """The task's train / valid / test combinations; the grid is searched on the first."""
        return task_splits(self.task.metadata.split_mode, self.task.metadata.splits)

    @property
    def primary(self) -> str:
        """The score that is reported."""
        return primary_score(self.task.metadata)

    @property
    def monitor(self) -> str:
        """What stops training and selects, on the validation part: the primary score, or "loss"."""
        return monitored_score(self.task.metadata)

    @property
    def minimised(self) -> bool:
        """Whether lower is better of what selects."""
        return is_minimised(self.task.metadata)

    @property
    def column(self) -> Column:
        """The table's column that it fills."""
        return column(self.task, self.budget)

    @property
    def planned(self) -> PlannedJob:
        """What run.json says of it: which fits there are, by the embeddings as they are now."""
        return replace(self._planned, embedding=self.embedding)

    @functools.cached_property
    def _planned(self) -> PlannedJob:
        points = [config_key(config) for config in self.preset.grid]
        orders = [[points.index(config_key(one)) for one in self.preset.order(seed)] for seed in self.seeds]
        tests = [split.test for split in self.splits]
        return PlannedJob(
            self.model, self.column, "", tests, points, orders, self.minimised, list(self.seeds)
        )

    @property
    def n_fits(self) -> int:
        """How many classifiers the whole job trains."""
        return self._planned.n_fits

    def grid_fits(self) -> list[SeededFit]:
        """Return what is trained on the first split: for every seed its points of the grid."""
        drawn = {seed: set(self.preset.order(seed)) for seed in self.seeds}
        return [(seed, config) for seed, own in drawn.items() for config in self.preset.grid if config in own]

    def key(self, split: Combination, fit: SeededFit) -> FitKey:
        """Return the ledger's name of one fit."""
        return self.planned.key(split.test, config_key(fit[1]), fit[0])

    def chosen(self, ledger: Ledger) -> list[SeededFit]:
        """Return the best grid point on the first split of every seed whose grid is finished."""
        configs = {config_key(config): config for config in self.preset.grid}
        best = zip(self.seeds, self.planned.chosen(ledger), strict=True)
        return [(seed, configs[point]) for seed, point in best if point is not None]

    def n_done(self, ledger: Ledger) -> int:
        """Return how many of the job's fits the ledger holds."""
        return len(self.planned.done(ledger))

    def seed_records(self, ledger: Ledger) -> list[list[FitRecord]] | None:
        """Return, per seed, the fit that counts on every split; None while fits are missing."""
        return self.planned.seed_records(ledger)

    def seed_scores(self, ledger: Ledger) -> list[float] | None:
        """Return the primary test score of every seed, averaged over folds; None while fits are missing."""
        records = self.seed_records(ledger)
        if records is None:
            return None
        return [float(np.mean([fit.scores[self.primary] for fit in folds])) for folds in records]

    def at_chance(self, ledger: Ledger) -> str:
        """Return "21 of 50" when so many fits that count learned nothing of their own rows, "" when none."""
        fits = [fit for folds in self.seed_records(ledger) or () for fit in folds]
        poor = sum(at_chance(fit.train_score, fit.train_chance) for fit in fits)
        return f"{poor} of {len(fits)}" if poor else ""

    def chance_sentence(self, ledger: Ledger) -> str:
        """Return what to say of that, "" when there is nothing to say."""
        poor = self.at_chance(ledger)
        return poor and (
            f"{self.model} on {self.label}: {poor} classifiers are at or below chance on the very clips that "
            f"trained them; {_REMEDY[self.preset.random]}"
        )

    def prediction_path(self, directory: Path, split: Combination, fit: SeededFit) -> Path:
        """Return where the predictions of one fit are saved under a run's `directory`."""
        return prediction_path(directory, self.model, self.label, self.key(split, fit))

    def lacks_predictions(self, ledger: Ledger, directory: Path) -> bool:
        """Say whether predictions of fits that count are not saved."""
        paths = (
            self.prediction_path(directory, split, fit)
            for split in self.splits
            for fit in self.chosen(ledger)
        )
        return not all(path.exists() for path in paths)


def chance_notes(jobs: Iterable[Job], ledger: Ledger) -> list[str]:
    """Return a sentence for each model some of whose classifiers have learned nothing."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        if poor := job.at_chance(ledger):
            found.setdefault(job.model, []).append(f"{job.label} ({poor})")
    return [
        f"{model}: at or below chance on the very clips that trained them are the classifiers of "
        f"{', '.join(tasks)}; those scores say little of its embeddings."
        for model, tasks in found.items()
    ]
