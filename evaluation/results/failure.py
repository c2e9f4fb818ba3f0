"""What a run could not do, as a record that run.json keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Stage = Literal["read", "plan", "embed", "train"]
"""Reading a task, planning a model on it, embedding it, training on the embeddings."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One thing that failed: of which model, task, layer and budget, at which stage, and why.

    `model` is the label of tables, "" where a task by itself is at fault; `task` the directory's name, ""
    where a model is on every task;
    `layer` "" for what the module gives by itself; `budget` the per cent of the training clips.
    """

    stage: Stage
    reason: str
    model: str = ""
    task: str = ""
    layer: str = ""
    budget: float = 100.0

    @property
    def sentence(self) -> str:
        """The failure in one sentence; that of a task names the task by itself."""
        if not self.model:
            return self.reason
        where = f"{self.model} on {task_label(self.task, self.budget)}" if self.task else self.model
        return f"{where}: {self.reason}"


FAILURE_SHAPE = {
    "stage": str,
    "reason": str,
    "model": str,
    "task": str,
    "layer": str,
    "budget": float,
}
"""A failure in run.json."""


def read_failures(run: Mapping[str, Any]) -> list[Failure]:
    """Return the failures of the content of a run.json that was checked."""
    return [Failure(**{name: record[name] for name in FAILURE_SHAPE}) for record in run["failures"]]


def task_label(task: str, budget: float) -> str:
    """Return a task's name in tables and files: with the budget (per cent) where that is not all clips."""
    return task if budget == 100 else f"{task}@{budget:g}%"
