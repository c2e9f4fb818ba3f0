"""One task's embeddings and targets as the classifier sees them, and the scores of what it answers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.nn import functional

from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.metrics.classes import class_details
from evaluation.metrics.table import metric_named, scene_metric
from evaluation.probes.budget import budget_rows
from evaluation.probes.events import (
    EventPart,
    EventPostprocessing,
    best_postprocessing,
    event_class_scores,
    event_part,
    event_scores,
    postprocessing_grid,
)
from evaluation.probes.predictions import Predictions
from evaluation.probes.splits import (
    Combination,
    is_minimised,
    monitored_score,
    primary_score,
    row_orders,
    task_splits,
)
from evaluation.probes.train import FitResult, Rows
from tasks import Task

Logits = Float[np.ndarray, "rows labels"]
Probabilities = Float[np.ndarray, "rows labels"]


def task_data(task: Task, entry: StoreEntry, budget: float, device: torch.device) -> "TaskData":
    """Read the stored embeddings of a task; a row is a clip, or a frame of one in a task of events.

    `budget` is the share of the training clips that are used, in per cent.
    """
    kind = EventData if task.metadata.embedding_type == "event" else TaskData
    return kind(task, entry, budget, device)


class TaskData:
    """The embeddings and targets of a task of clips, in the protocol's row order, on the device.

    Attributes:
        files: Every part's clips in that order.
        multi_hot: Every part's targets [rows, labels], float32.
    """

    def __init__(self, task: Task, entry: StoreEntry, budget: float, device: torch.device):
        self.task = task
        self.monitor = monitored_score(task.metadata)
        self.primary = primary_score(task.metadata)
        self.multilabel = task.metadata.prediction_type == "multilabel"
        self.files: dict[str, list[str]] = {}
        self.multi_hot: dict[str, np.ndarray] = {}
        self._clip_labels: dict[str, np.ndarray] = {}
        self._x: dict[str, torch.Tensor] = {}
        self._budget = budget
        splits = task.metadata.splits
        for part, order in row_orders({split: len(task.clips[split]) for split in splits}).items():
            self.files[part] = [task.clips[part][i].file for i in order]
            self._clip_labels[part] = self._labels_of_clips(part, order)
            x, self.multi_hot[part] = self._read(entry, part, order)
            if not np.isfinite(x).all():
                row = int(np.argmin(np.isfinite(x).all(1)))
                clip = int(np.searchsorted(np.cumsum(self._rows_of_clips(part)), row, side="right"))
                raise EvaluationError(
                    f"{task.name}: the embedding of {part}/{self.files[part][clip]} has NaN or infinite "
                    "values; embed it anew"
                )
            self._x[part] = torch.from_numpy(x).to(device)

    def _labels_of_clips(self, part: str, order: Sequence[int]) -> Float[np.ndarray, "clips labels"]:
        index = {label: i for i, label in enumerate(self.task.vocabulary)}
        multi_hot = np.zeros((len(order), len(index)), np.float32)
        for row, i in enumerate(order):
            multi_hot[row, [index[label] for label in self.task.clips[part][i].labels]] = 1.0
        return multi_hot

    def _read(self, entry: StoreEntry, part: str, order: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of one part and their targets."""
        return entry.read(part)[order], self._clip_labels[part]

    def _rows_of_clips(self, part: str) -> Sequence[int]:
        """Return how many rows every clip of a part has."""
        return [1] * len(self.files[part])

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        return next(iter(self._x.values())).device

    @property
    def dim(self) -> int:
        """The embeddings' size."""
        return next(iter(self._x.values())).shape[1]

    def counts(self, split: Combination) -> dict[str, int]:
        """Return the number of rows to train, stop ("valid") and test on."""
        rows = {"valid": len(self.multi_hot[split.valid]), "test": len(self.multi_hot[split.test])}
        return {"train": int(self._kept(split).sum()), **rows}

    def train_rows(self, split: Combination) -> Rows:
        """Return the training rows within the budget: folds in sorted order, as the original does.

        Raises EvaluationError when that is one row: there is nothing to tell it from.
        """
        whole, kept = self._rows(split.train), self._kept(split)
        if kept.sum() < 2:
            raise EvaluationError(
                f"{self.task.name}: a budget of {self._budget:g} % leaves {kept.sum()} training row; raise it"
            )
        if kept.all():
            return whole
        chosen = torch.from_numpy(kept).to(whole.x.device)
        return Rows(whole.x[chosen], whole.target[chosen])

    def _kept(self, split: Combination) -> Bool[np.ndarray, " rows"]:
        """Return which of the training rows are those of clips within the budget."""
        rows = np.concatenate([self._rows_of_clips(part) for part in split.train])
        if self._budget >= 100:
            return np.ones(rows.sum(), bool)
        names = [f"{part}/{file}" for part in split.train for file in self.files[part]]
        labels = np.concatenate([self._clip_labels[part] for part in split.train])
        return np.repeat(budget_rows(labels, names, self._budget), rows)

    def part_rows(self, part: str) -> Rows:
        """Return all rows of one part."""
        return self._rows([part])

    def _rows(self, parts: Sequence[str]) -> Rows:
        x = torch.cat([self._x[part] for part in parts])
        target = torch.from_numpy(np.concatenate([self.multi_hot[part] for part in parts])).to(x.device)
        return Rows(x, target if self.multilabel else target.argmax(1))

    def validation_score(self, part: str) -> Callable[[Logits], float]:
        """Return the function from logits of the part to what is maximised: what selects, or its negative.

        Several threads may call it at a time.
        """
        if self.monitor == "loss":
            return lambda logits: -self.loss(part, logits)
        sign = -1.0 if is_minimised(self.task.metadata) else 1.0
        return lambda logits: sign * self._monitored(part, self.probabilities(logits))

    def _monitored(self, part: str, probabilities: Probabilities) -> float:
        return scene_metric(self.primary)(self.multi_hot[part], probabilities)

    def scores(self, split: Combination, result: FitResult) -> tuple[dict[str, float], dict[str, float]]:
        """Return every score of the task's list on the test part, and how events were made (else empty)."""
        probabilities = self.probabilities(result.test_logits)
        names = self.task.metadata.evaluation
        return {name: scene_metric(name)(self.multi_hot[split.test], probabilities) for name in names}, {}

    def details(self, split: Combination, result: FitResult) -> dict[str, Any]:
        """Return the scores of every class on the test part and what was taken for what."""
        target, probabilities = self.multi_hot[split.test], self.probabilities(result.test_logits)
        return class_details(self.task.vocabulary, target, probabilities, multilabel=self.multilabel)

    def predictions(self, split: Combination, result: FitResult) -> Predictions:
        """Return what is worth keeping of one fit's answers: `files`, `labels`, `scores`, `target`."""
        return {
            "files": np.array(self.files[split.test]),
            "labels": np.array(self.task.vocabulary),
            "scores": self.probabilities(result.test_logits),
            "target": self.multi_hot[split.test].astype(np.uint8),
        }

    def loss(self, part: str, logits: Logits) -> float:
        """Return what training minimises, on one part: the mean cross-entropy, per row or per label."""
        target = torch.from_numpy(self.multi_hot[part])
        if self.multilabel:
            return functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), target).item()
        return functional.cross_entropy(torch.from_numpy(logits), target.argmax(1)).item()

    def probabilities(self, logits: Logits) -> Probabilities:
        """Return the predicted probabilities: each label's own (multilabel) or of one out of all."""
        tensor = torch.from_numpy(logits)
        return (torch.sigmoid(tensor) if self.multilabel else torch.softmax(tensor, 1)).numpy()


class EventData(TaskData):
    """The frames of a task of events; its scores are of the events that frame probabilities stand for.

    An F-measure that is undefined because nothing was detected counts as 0, on the validation part too:
    training goes on, and the check counts as one without improvement. The original takes 0 when it chooses
    how events are made, yet its training loop ends at the first check whose score is not a number, which
    would keep a network that has not begun to detect anything.
    """

    def __init__(self, task: Task, entry: StoreEntry, budget: float, device: torch.device):
        self._parts: dict[str, EventPart] = {}
        self._grid = postprocessing_grid(task.metadata)
        super().__init__(task, entry, budget, device)

    def _read(self, entry: StoreEntry, part: str, order: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        frames = entry.read_frames(part)
        events = event_part(self.task.clips[part], frames, order, self.task.vocabulary)
        self._parts[part] = events
        return frames.embeddings[events.rows], events.targets()

    def _rows_of_clips(self, part: str) -> Sequence[int]:
        return np.diff(self._parts[part].boundaries).tolist()

    def _monitored(self, part: str, probabilities: Probabilities) -> float:
        _, score = best_postprocessing(probabilities, self._parts[part], self._grid, self.primary)
        return _zero_for_nan(score)

    def _postprocessing(self, split: Combination, result: FitResult) -> EventPostprocessing:
        """Return what is best on the validation part with the network that counts."""
        valid = self.probabilities(result.valid_logits)
        return best_postprocessing(valid, self._parts[split.valid], self._grid, self.primary)[0]

    def scores(self, split: Combination, result: FitResult) -> tuple[dict[str, float], dict[str, float]]:
        """Return every score of the task's list on the test part, and how events were made."""
        chosen = self._postprocessing(split, result)
        probabilities = self.probabilities(result.test_logits)
        names = self.task.metadata.evaluation
        scores = event_scores(probabilities, self._parts[split.test], chosen, names)
        return {**scores, **{name: _zero_for_nan(scores[name]) for name in names}}, asdict(chosen)

    def details(self, split: Combination, result: FitResult) -> dict[str, Any]:
        """Return `labels`, the number of true events of each (`events`) and each one's primary score."""
        part, chosen = self._parts[split.test], self._postprocessing(split, result)
        probabilities = self.probabilities(result.test_logits)
        scores = event_class_scores(probabilities, part, chosen, self.primary)
        events = np.bincount(part.reference().label, minlength=len(scores))
        values = [round(scores[label], 6) for label in self.task.vocabulary]
        return {"labels": list(self.task.vocabulary), "events": events.tolist(), self.primary: values}

    def predictions(self, split: Combination, result: FitResult) -> Predictions:
        """Return also the frames' `timestamps` (ms); file f has frames boundaries[f] to boundaries[f + 1]."""
        part = self._parts[split.test]
        clips = super().predictions(split, result)
        return {**clips, "timestamps": part.timestamps, "boundaries": part.boundaries}


def _zero_for_nan(score: float) -> float:
    return 0.0 if math.isnan(score) else score


def check_trainable(task: Task) -> None:
    """Raise EvaluationError, naming the task, when a score is unknown or a split is too small."""
    metadata = task.metadata
    for name in metadata.evaluation:
        try:
            metric_named(name, "event" if metadata.embedding_type == "event" else "scene")
        except EvaluationError as error:
            raise EvaluationError(f"{task.name}: {error}") from None
    if metadata.embedding_type == "event":
        postprocessing_grid(metadata)
    for split in task_splits(metadata.split_mode, metadata.splits):
        rows = sum(len(task.clips[part]) for part in split.train)
        if rows < 2 or not task.clips[split.valid] or not task.clips[split.test]:
            raise EvaluationError(
                f"{task.name}: with test part {split.test} there are {rows} training clips, "
                f"{len(task.clips[split.valid])} validation and {len(task.clips[split.test])} test clips; "
                "at least 2, 1 and 1 are needed"
            )
