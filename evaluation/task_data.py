"""One task's embeddings and targets as the classifier sees them, and the scores of what it answers."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch.nn import functional

from evaluation.budget import budget_rows
from evaluation.metrics import MINIMISED, metric_named
from evaluation.probe import Rows
from evaluation.protocol import Split, row_orders
from evaluation.store import StoreEntry
from tasks import Task

Logits = Float[np.ndarray, "rows labels"]
Probabilities = Float[np.ndarray, "rows labels"]


class TaskData:
    """A task's embeddings and targets, in the protocol's row order, on the device.

    `budget` is the share of the training clips that is used, in per cent.
    """

    def __init__(self, task: Task, entry: StoreEntry, budget: float, device: torch.device):
        self.task = task
        self.multilabel = task.metadata.prediction_type == "multilabel"
        self.files: dict[str, list[str]] = {}
        self.multi_hot: dict[str, np.ndarray] = {}
        self._x: dict[str, torch.Tensor] = {}
        self._budget = budget
        index = {label: i for i, label in enumerate(task.vocabulary)}
        for split, order in row_orders({s: len(task.clips[s]) for s in task.metadata.splits}).items():
            clips = [task.clips[split][i] for i in order]
            self.files[split] = [clip.file for clip in clips]
            self.multi_hot[split] = np.zeros((len(clips), len(index)), np.float32)
            for row, clip in enumerate(clips):
                self.multi_hot[split][row, [index[label] for label in clip.labels]] = 1.0
            self._x[split] = torch.from_numpy(entry.read(split)[order]).to(device)

    @property
    def dim(self) -> int:
        """The embeddings' size."""
        return next(iter(self._x.values())).shape[1]

    def counts(self, split: Split) -> dict[str, int]:
        """Return the number of rows to train, stop ("valid") and test on."""
        rows = {"valid": len(self.files[split.valid]), "test": len(self.files[split.test])}
        return {"train": int(self._kept(split).sum()), **rows}

    def train_rows(self, split: Split) -> Rows:
        """Return the training rows within the budget: folds in sorted order, as the original does."""
        whole, kept = self._rows(split.train), self._kept(split)
        if kept.all():
            return whole
        kept = torch.from_numpy(kept).to(whole.x.device)
        return Rows(whole.x[kept], whole.target[kept])

    def _kept(self, split: Split) -> Bool[np.ndarray, "rows"]:
        """Return which of the training rows are within the budget."""
        names = [f"{part}/{file}" for part in split.train for file in self.files[part]]
        if self._budget >= 100:
            return np.ones(len(names), bool)
        multi_hot = np.concatenate([self.multi_hot[part] for part in split.train])
        return budget_rows(multi_hot, names, self._budget)

    def part_rows(self, part: str) -> Rows:
        """Return all rows of one part."""
        return self._rows([part])

    def _rows(self, parts: Sequence[str]) -> Rows:
        x = torch.cat([self._x[part] for part in parts])
        target = torch.from_numpy(np.concatenate([self.multi_hot[part] for part in parts])).to(x.device)
        return Rows(x, target if self.multilabel else target.argmax(1))

    def validation_score(self, part: str, monitor: str) -> Callable[[Logits], float]:
        """Return the function from logits of the part to what is maximised: `monitor`, or its negative."""
        if monitor == "loss":
            return lambda logits: -self.loss(part, logits)
        metric, sign = metric_named(monitor), -1.0 if monitor in MINIMISED else 1.0
        return lambda logits: sign * metric(self.multi_hot[part], self.probabilities(logits))

    def scores(self, part: str, logits: Logits) -> dict[str, float]:
        """Return every score of the task's list on one part."""
        probabilities = self.probabilities(logits)
        return {
            name: metric_named(name)(self.multi_hot[part], probabilities)
            for name in self.task.metadata.evaluation
        }

    def loss(self, part: str, logits: Logits) -> float:
        """Return what training minimises, on one part: the mean cross-entropy, per clip or per label."""
        target = torch.from_numpy(self.multi_hot[part])
        if self.multilabel:
            return functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), target).item()
        return functional.cross_entropy(torch.from_numpy(logits), target.argmax(1)).item()

    def probabilities(self, logits: Logits) -> Probabilities:
        """Return the predicted probabilities: each label's own (multilabel) or of one out of all."""
        tensor = torch.from_numpy(logits)
        return (torch.sigmoid(tensor) if self.multilabel else torch.softmax(tensor, 1)).numpy()
