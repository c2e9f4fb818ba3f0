"""From one score per seed to the tables: CSV for programs, Markdown for people and the screen."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from evaluation import escape
from evaluation.files import write_atomically
from evaluation.ledger import FitRecord
from evaluation.metrics import MINIMISED, PERCENT
from evaluation.names import model_names, task_titles
from evaluation.overall import overall_score
from evaluation.pools import Pool, run_pool
from evaluation.published import NAIVE_MODULE
from evaluation.sheet import Cell, aligned, markdown_item, markdown_table
from evaluation.statistics import Interval, over_folds, t_interval
from tasks.names import printable

SYNTHETIC = "Synthetic sample tasks, not comparable with any published number."
"""What stands beside every number of `Results.synthetic`."""


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
        return "%" if self.metric in PERCENT else ""

    @property
    def sign(self) -> int:
        """1 for scores that are better when higher, -1 for those that are better when lower."""
        return -1 if self.metric in MINIMISED else 1

    def scale(self, score: float) -> float:
        """Return the score as printed: per cent where the metric is a share."""
        return 100 * score if self.metric in PERCENT else score


@dataclass(frozen=True)
class SeedFits:
    """The fits that count for one seed of one model on one task, one per test part."""

    model: str
    task: str
    seed: int
    folds: Sequence[FitRecord]


@dataclass(frozen=True)
class Results:
    """All that the tables of a run are made from.

    `scores` maps model -> task -> primary score per seed; what is not finished is absent. `marks` maps a
    model to what every table must say of it ("random init"). `notes` are sentences printed with every table;
    `fits` is what the scores are made of. `protocol` names the preset and head, `fingerprints` maps a model
    to the hash of what it answers, and `digests` a task and sample rate to the hash of the task's content.
    `synthetic` says that the tasks are sample tasks.
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

    @property
    def averaged(self) -> list[Column]:
        """The columns that averages and s(m) are over: those with the largest budget."""
        largest = max(column.budget for column in self.columns)
        return [column for column in self.columns if column.budget == largest]

    @cached_property
    def names(self) -> dict[str, str]:
        """The models' names as every table and figure shows them, by their labels."""
        return model_names(self.models)

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
        if None in cells or not self.one_unit:
            return None
        return sum(cell.mean for cell in cells) / len(cells)

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


def write_tables(results: Results, directory: Path) -> None:
    """Write `scores.csv`, `summary.csv`, `folds.csv` and `table.md`.

    The last has models down and tasks across, as in the paper; `folds.csv` has every score of every fit
    that counts and, with folds, their mean and standard deviation as the original runner aggregates them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / "scores.csv", _score_rows(results))
    _write_csv(directory / "summary.csv", _summary_rows(results))
    _write_csv(directory / "folds.csv", _fold_rows(results))
    write_atomically(directory / "table.md", markdown(results))


def markdown(results: Results) -> str:
    """Return the notes, the table and who is who as Markdown."""
    notes = "".join(f"{escape.markdown(note, code=True, block=True)}\n\n" for note in all_notes(results))
    return notes + markdown_table(grid(results)) + who_is_who(results)


def who_is_who(results: Results) -> str:
    """Return the models whose names in the tables are not all that they were given, as a Markdown list."""
    lines = [f"{name}: {model}" for model, name in results.names.items() if name != model]
    return "\n".join(["\nModels:\n", *map(markdown_item, lines), ""]) if lines else ""


def screen(results: Results) -> str:
    """Return the notes and the table for a terminal: tasks down and models across, or as is narrower."""
    rows = grid(results)
    tables = aligned([list(column) for column in zip(*rows, strict=True)]), aligned(rows)
    notes = "".join(f"{textwrap.fill(printable(note), 100)}\n" for note in all_notes(results))
    return f"{notes}\n{min(tables, key=lambda table: table.index(chr(10)))}"


def grid(results: Results) -> list[list[str]]:
    """Return the cells of the table as printed, header first: models down, tasks across."""
    overall = _overall(results)
    tasks = [f"{results.titles[column.task]} ({column.metric})" for column in results.columns]
    header = ["model", *tasks, "average", *overall]
    rows = []
    for model in results.models:
        average = results.average(model)
        cells = [_cell(results.interval(model, column)) for column in results.columns]
        tail = [_cell(scores.get(model)) for scores in overall.values()]
        rows.append([results.name(model), *cells, "" if average is None else f"{average:.1f}", *tail])
    return [header, *rows]


def all_notes(results: Results) -> list[str]:
    """Return every sentence that the table must carry."""
    scale = "; s(m) puts them on one scale" if results.ranked else ""
    several = len(results.models) > 1 and len(results.averaged) > 1
    return [
        *results.notes,
        *([] if results.one_unit else [f"Scores of different kinds have no average{scale}."]),
        *([_pool_note(results)] if several else []),
    ]


def _overall(results: Results) -> dict[str, dict[str, Interval]]:
    if not results.ranked:
        return {}
    pool, scores = results.run_pool(), results.complete_scores()
    return {f"s(m) {kind}": overall_score(scores, pool, extremes=kind) for kind in ("runs", "means")}


def _pool_note(results: Results) -> str:
    if not results.ranked:
        return "s(m) needs at least two models with every task; it is left out."
    pool = results.run_pool()
    names = ", ".join(results.name(model) for model in pool.rows)
    return (
        f"s(m) compares the models of this run only ({pool.title}: {names}): 100 is the best and 0 the worst "
        "of the pool on each task, taken over single runs (`s(m) runs`) or over means (`s(m) means`)."
    )


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return Cell(interval.mean, interval.half_width).text


def _score_rows(results: Results) -> list[list]:
    rows: list[list] = [["model", "mark", "task", "metric", "unit", "seed", "score"]]
    for model in results.models:
        for column in results.columns:
            scores = results.scores.get(model, {}).get(column.task, [])
            for seed, score in zip(results.seeds(model, column.task), scores, strict=True):
                what = [model, results.marks.get(model, ""), column.task, column.metric, column.unit]
                rows.append([*what, seed, column.scale(score)])
    return rows


def _summary_rows(results: Results) -> list[list]:
    rows: list[list] = [["model", "mark", "task", "metric", "unit", "n_seeds", "mean", "half_width_95"]]
    for model in results.models:
        mark = results.marks.get(model, "")
        for column in results.columns:
            if (cell := results.interval(model, column)) is not None:
                half = _number(cell.half_width)
                what = [model, mark, column.task, column.metric, column.unit]
                rows.append([*what, cell.n, cell.mean, half])
        if (average := results.average(model)) is not None:
            rows.append([model, mark, "average", "", "", "", average, ""])
        for name, scores in _overall(results).items():
            if model in scores:
                cell = scores[model]
                rows.append([model, mark, name, "", "%", cell.n, cell.mean, _number(cell.half_width)])
    return rows


def _fold_rows(results: Results) -> list[list]:
    rows: list[list] = [["model", "mark", "task", "seed", "test", "score", "value"]]
    for fits in results.fits:
        what = [fits.model, results.marks.get(fits.model, ""), fits.task, fits.seed]
        for fold in fits.folds:
            rows += [[*what, fold.key.test, name, value] for name, value in fold.scores.items()]
        if len(fits.folds) > 1:
            for name, (mean, deviation) in over_folds([fold.scores for fold in fits.folds]).items():
                rows += [[*what, "mean", name, mean], [*what, "std", name, deviation]]
    return rows


def _number(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _write_csv(path: Path, rows: Sequence[Sequence]) -> None:
    write_atomically(path, escape.csv_text(rows))
