"""The pool of s(m): which models set the worst and the best of every task. Named, frozen and hashed."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.statistics.intervals import Interval
from evaluation.statistics.published import NAIVE, SCORED, TASKS, PublishedRow, read_published

Extremes = Literal["runs", "means"]
POOLS = ("run", "paper", "paper+run")


@dataclass(frozen=True)
class Standing:
    """How a model stands on a task: its mean and its worst and best single run."""

    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Pool:
    """Models with every task, by name; all on the same tasks in the same units.

    `naive` is the member that is HEAR-Naive, if any.
    """

    name: str
    rows: Mapping[str, Mapping[str, Standing]]
    naive: str | None = None

    @property
    def tasks(self) -> list[str]:
        """The tasks, sorted; none in an empty pool."""
        return sorted(next(iter(self.rows.values()), {}))

    @cached_property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 over every number of the pool."""
        whole = {model: {task: astuple(s) for task, s in row.items()} for model, row in self.rows.items()}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """What stands beside every s(m): "pool paper, 39 models, 0123456789ab"."""
        models = "model" if len(self.rows) == 1 else "models"
        return f"pool {self.name}, {len(self.rows)} {models}, {self.digest}"

    def extremes(self, task: str, kind: Extremes) -> tuple[float, float]:
        """Return the worst and the best of all members on a task: single runs or means."""
        standings = [row[task] for row in self.rows.values()]
        if kind == "means":
            return min(s.mean for s in standings), max(s.mean for s in standings)
        return min(s.lowest for s in standings), max(s.highest for s in standings)

    def without(self, model: str) -> "Pool":
        """Return the pool that lacks one of its members."""
        rows = {name: row for name, row in self.rows.items() if name != model}
        return replace(self, name=f"{self.name} without {model}", rows=rows)


def run_pool(
    scores: Mapping[str, Mapping[str, Sequence[float]]], *, name: str = "run", naive: str | None = None
) -> Pool:
    """Return the pool of the models in `scores` (model -> task -> one score per seed) that have every task.

    Every task is one that any of the models has.
    """
    tasks = {task for row in scores.values() for task in row}
    rows = {
        model: {
            task: Standing(float(np.mean(seeds)), float(min(seeds)), float(max(seeds)))
            for task, seeds in row.items()
        }
        for model, row in scores.items()
        if set(row) == tasks
    }
    return Pool(name, rows, naive if naive in rows else None)


def paper_pool(directory: Path) -> Pool:
    """Return the pool of the published rows with all ten tasks, Table 1 and the ablations, each model once.

    The paper compares "all the evaluated methods, including ablations". Its rows that could not be read
    whole cannot take part.
    """
    rows: dict[str, Mapping[str, Standing]] = {}
    for number in SCORED:
        for row in read_published(directory, number).rows:
            standings = _standings(row) if row.whole else None
            if standings and standings not in rows.values():
                rows[row.name if number == 1 else f"T{number} {row.name}"] = standings
    return Pool("paper", rows, NAIVE)


def _standings(row: PublishedRow) -> dict[str, Standing]:
    return {task: published_standing(row.cells[task]) for task in TASKS}


def published_standing(cell: Interval) -> Standing:
    """Return how a model stands of which mean and half width of the t-interval over `n` runs are known.

    Its worst and best runs are put at the expected extremes of `n` normal draws with that interval, for ten
    runs 2.151 half widths from the mean. Where the half width is unknown they are put at the mean.
    """
    spread = 0.0 if math.isnan(cell.half_width) else extreme_factor(cell.n) * cell.half_width
    return Standing(cell.mean, cell.mean - spread, cell.mean + spread)


@cache
def extreme_factor(n: int) -> float:
    """Return how many half widths of a 95 % t-interval lie between the mean of `n` runs and the best run."""
    from scipy import integrate, stats

    def density(x: float) -> float:
        return n * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)

    expected_maximum, _ = integrate.quad(density, -10, 10)
    return expected_maximum * math.sqrt(n) / float(stats.t.ppf(0.975, n - 1))


def joined_pools(paper: Pool, run: Pool) -> Pool:
    """Return the pool of the published rows and the models at hand.

    Raises EvaluationError when a model bears a published row's name, or their tasks are not the same.
    """
    if run.rows and run.tasks != paper.tasks:
        raise EvaluationError("the pool paper+run needs models with all ten tasks of the paper, whole")
    if both := sorted(set(paper.rows) & set(run.rows)):
        raise EvaluationError(f"the model {both[0]} bears the name of a published row; rename its module")
    return Pool("paper+run", {**paper.rows, **run.rows}, paper.naive)
