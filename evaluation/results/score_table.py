"""The scores of a run: columns, rows, and intervals over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from evaluation.metrics.table import shown_metric
from evaluation.models.spec import ModelSpec
from evaluation.results.ledger import FitRecord
from evaluation.results.names import model_names, task_titles
from evaluation.statistics.intervals import Interval, t_interval
from evaluation.statistics.pools import Pool, run_pool
from evaluation.statistics.published import NAIVE_MODULE
from tasks.names import printable

SYNTHETIC = "Synthetic sample tasks, not comparable with any published number."
"""What stands beside every number of `ScoreTable.synthetic`."""


@dataclass(frozen=True)
class Column:
    """A task as a table shows it: its name and the metric of its cells.

    `published` is the short name of the paper's task that this is, with its metric and all training clips;
    "" for everything else, synthetic samples and parts of data sets included, so that none of those can
    stand beside published numbers.
    """

    task: str
    metric: str
    short: str
    budget: float = 100.0
    published: str = ""

    @property
    def unit(self) -> str:
        """ "%" or nothing."""
        return "%" if shown_metric(self.metric).percent else ""

    @property
    def sign(self) -> int:
        """1 for scores that are better when higher, -1 for those that are better when lower."""
        return -1 if shown_metric(self.metric).minimised else 1

    def scale(self, score: float) -> float:
        """Return the score as printed: per cent where the metric is a share."""
        return 100 * score if shown_metric(self.metric).percent else score


@dataclass(frozen=True)
class SeedFits:
    """The fits that count for one seed of one model on one task, one per test part."""

    model: str
    task: str
    seed: int
    folds: Sequence[FitRecord]


@dataclass(frozen=True)
class ScoreTable:
    """All that the tables of a run are made from.

    `scores` maps model -> task -> primary score per seed; what is not finished is absent. `marks` maps a
    model to what every table must say of it ("random init"). `notes` are sentences printed with every table;
    `fits` is what the scores are made of. `protocol` names the preset and head, `fingerprints` maps a model
    to the hash of what it answers, and `digests` a task and sample rate to the hash of the task's content.
    `synthetic` says that the tasks are sample tasks, `specs` maps a model to what it is.
    """

    models: Sequence[str]
    columns: Sequence[Column]
    scores: Mapping[str, Mapping[str, Sequence[float]]]
    marks: Mapping[str, str]
    notes: Sequence[str]
    fits: Sequence[SeedFits] = ()
    protocol: str = ""
    fingerprints: Mapping[str, str | None] = field(default_factory=dict)
    digests: Mapping[tuple[str, int], str] = field(default_factory=dict)
    synthetic: bool = False
    specs: Mapping[str, ModelSpec] = field(default_factory=dict)

    def spec(self, model: str) -> ModelSpec:
        """Return what a model is; of one that nothing is known of, a module with the label for a name."""
        return self.specs.get(model) or ModelSpec(model)

    @property
    def averaged(self) -> list[Column]:
        """The columns that averages and s(m) are over: those with the largest budget."""
        largest = max(column.budget for column in self.columns)
        return [column for column in self.columns if column.budget == largest]

    @cached_property
    def names(self) -> dict[str, str]:
        """The models' names as every table and figure shows them, by their labels."""
        return model_names({model: self.spec(model) for model in self.models})

    @cached_property
    def titles(self) -> dict[str, str]:
        """The tasks' titles as every table and figure shows them, by `Column.task`."""
        return task_titles({column.task: column.short for column in self.columns})

    def name(self, model: str) -> str:
        """Return the name of a model, or of a published row, with its mark."""
        name = self.names.get(model) or printable(model)
        return f"{name} ({self.marks[model]})" if model in self.marks else name

    def seeds(self, model: str, task: str) -> list[int]:
        """Return the seeds of a cell's scores, in their order: from 0 on where no fits are known."""
        own = [fits.seed for fits in self.fits if (fits.model, fits.task) == (model, task)]
        return own or list(range(len(self.scores.get(model, {}).get(task, []))))

    def interval(self, model: str, column: Column) -> Interval | None:
        """Return mean and 95 % interval over seeds as printed, or None when the cell is not finished."""
        seeds = self.scores.get(model, {}).get(column.task)
        return t_interval([column.scale(score) for score in seeds]) if seeds else None

    @property
    def one_unit(self) -> bool:
        """Whether the averaged columns can be added up: of one unit, and better in one direction."""
        return len({(column.unit, column.sign) for column in self.averaged}) == 1

    def average(self, model: str) -> float | None:
        """Return the plain average of a complete row of one unit, None otherwise."""
        cells = [self.interval(model, column) for column in self.averaged]
        means = [cell.mean for cell in cells if cell is not None]
        if len(means) < len(cells) or not self.one_unit:
            return None
        return sum(means) / len(means)

    def pool(self) -> list[str]:
        """Return the models that s(m) compares: those with every task."""
        complete = {column.task for column in self.averaged}
        return [model for model in self.models if set(self.scores.get(model, {})) >= complete]

    def complete_scores(self) -> dict[str, dict[str, list[float]]]:
        """Return the scores of the models that s(m) compares: model -> task -> one per seed.

        As printed, but those that are better when lower with a minus sign: more is better throughout.
        """
        return {
            model: {
                c.task: [c.sign * c.scale(score) for score in self.scores[model][c.task]]
                for c in self.averaged
            }
            for model in self.pool()
        }

    @property
    def ranked(self) -> list[str]:
        """The models that s(m), ranks and tests over tasks compare; none where they would say nothing.

        That is so with fewer than two models that have every task, and with one task.
        """
        pool = self.pool()
        return pool if len(pool) > 1 and len(self.averaged) > 1 else []

    def run_pool(self) -> Pool:
        """Return the pool of the models at hand."""
        return run_pool(self.complete_scores(), naive=NAIVE_MODULE)
