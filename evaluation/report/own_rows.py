"""Own rows in the paper's Table 1, next to the published ones, and how far apart the two are.

Only columns that are one of the paper's tasks in whole take part (`Column.published`); a synthetic sample or
a part of a data set never does.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.models.systems import SYSTEMS
from evaluation.report.sheet import Cell, Entry, Sheet
from evaluation.results.score_table import ScoreTable
from evaluation.statistics.intervals import Interval
from evaluation.statistics.overall import Scores, overall_score
from evaluation.statistics.pools import Pool, joined_pools, paper_pool, run_pool
from evaluation.statistics.published import TASKS, PublishedRow, PublishedTable, read_published

OUTSIDE = "≠"
"""Marks a mean that is farther from the published one than both intervals together explain."""


OTHER_PROTOCOL = (
    "Own rows were made by the protocol {}, published ones by the paper's (mwmae): differences are of "
    "both the models and the protocols."
)


def comparable_scores(results: ScoreTable) -> dict[str, dict[str, list[float]]]:
    """Return, in per cent and by the paper's names of tasks, what may stand beside published numbers."""
    return {
        model: {
            column.published: [column.scale(score) for score in row[column.task]]
            for column in results.columns
            if column.published and column.task in row
        }
        for model, row in results.scores.items()
    }


def whole_rows(results: ScoreTable) -> dict[str, dict[str, list[float]]]:
    """Return the comparable scores of the models that have all ten tasks."""
    return {model: row for model, row in comparable_scores(results).items() if set(row) == set(TASKS)}


def pool_and_scores(results: ScoreTable, name: str, published: Path | None) -> tuple[Pool, Scores]:
    """Return the pool called `name` and the scores of the models at hand in its units.

    `published` is the folder of the published tables, which the pool "run" does not need. Raises
    EvaluationError when no model has the paper's ten tasks and the pool is of these.
    """
    if name == "run":
        return results.run_pool(), results.complete_scores()
    scores = whole_rows(results)
    if not scores:
        raise EvaluationError(
            f"--pool {name} compares on the paper's ten tasks, and no model here has all of them in whole; "
            "use --pool run"
        )
    assert published is not None  # every pool but "run" needs it
    paper = paper_pool(published)
    return (paper if name == "paper" else joined_pools(paper, run_pool(scores))), scores


def counterparts(results: ScoreTable, given: Mapping[str, str], table: PublishedTable) -> dict[str, str]:
    """Return model -> the published row it stands for: by its module's name, or as `given` says.

    A model with random weights, another layer or other options has none unless `given`. Raises
    EvaluationError for a model or row that is not there.
    """
    rows = {row.name for row in table.rows}
    for model, row in given.items():
        if model not in results.models:
            raise EvaluationError(f"--row names the model {model}, which is not among: {results.models}")
        if row not in rows:
            raise EvaluationError(f"--row: Table 1 has no row {row!r}; it has: {', '.join(sorted(rows))}")
    by_module = {system.module: system.row for system in SYSTEMS if system.row in rows}
    plain = {m: results.spec(m) for m in results.models if m not in results.marks}
    modules = {model: spec.module for model, spec in plain.items() if not spec.settings}
    found = {model: by_module[module] for model, module in modules.items() if module in by_module}
    return {**found, **given}


def own_tables(results: ScoreTable, published: Path, *, pool: str, rows: Mapping[str, str]) -> list[Sheet]:
    """Return Table 1 with own rows and the differences from the rows that they stand for.

    `pool` names the pool of own s(m), "paper" or "paper+run"; `rows` is as `given` in `counterparts`. Empty
    when nothing in the results may stand beside published numbers.
    """
    own = {model: row for model, row in comparable_scores(results).items() if row}
    if not own:
        return []
    table = read_published(published, 1)
    stands_for = counterparts(results, rows, table)
    reference, scores = paper_pool(published), whole_rows(results)
    if pool == "paper+run" and scores:
        reference = joined_pools(reference, run_pool(scores))
    overall = overall_score({**_means_of_published(table), **scores}, reference, extremes="runs")
    sheets = [_own_table1(results, table, stands_for, own, overall, reference)]
    if lines := list(_differences_from_published(results, table, stands_for)):
        header = [
            "model",
            "published row",
            "task",
            "own",
            "published",
            "difference",
            "joint half width",
            "outside",
        ]
        note = f"{OUTSIDE}: farther apart than both 95 % intervals together, the root of their squares' sum."
        sheets.append(Sheet("differences", "Own and published scores", header, lines, [note]))
    return sheets


def _means_of_published(table: PublishedTable) -> dict[str, dict[str, list[float]]]:
    return {row.name: {task: [row.cells[task].mean] for task in TASKS} for row in table.rows if row.whole}


def _own_table1(
    results: ScoreTable,
    table: PublishedTable,
    stands_for: Mapping[str, str],
    own: Mapping[str, Mapping],
    overall: Mapping[str, Interval],
    pool: Pool,
) -> Sheet:
    rows: list[list[Entry]] = []
    rest = [model for model in own if model not in stands_for]
    for row in table.rows:
        printed = [own_cell(row.cells.get(name)) for name in (*TASKS, "s(m)")]
        rows.append([row.name, *printed, own_cell(overall.get(row.name))])
        same = [model for model in own if stands_for.get(model) == row.name]
        rows += [_own_row(results, model, row, overall) for model in same]
    first = len(rows)
    rows += [_own_row(results, model, None, overall) for model in rest]
    notes = [
        f"s(m) here: {pool.title}, extremes over single runs, estimated for published rows. "
        "Rows that begin with > are own; those of ours with a published row stand below it.",
        f"{OUTSIDE}: farther from the published score than both intervals together.",
        *([] if results.protocol == "mwmae" else [OTHER_PROTOCOL.format(results.protocol)]),
        *results.notes,
    ]
    header = ["model", *TASKS, "s(m) as printed", "s(m) here"]
    return Sheet("table1", "The paper's Table 1 with own rows", header, rows, notes, [first])


def _own_row(
    results: ScoreTable, model: str, row: PublishedRow | None, overall: Mapping[str, Interval]
) -> list[Entry]:
    intervals = _intervals_of_model(results, model)
    cells = []
    for task in TASKS:
        cell, printed = intervals.get(task), row.cells.get(task) if row else None
        mark = OUTSIDE if cell and printed and outside_printed(cell, printed) else ""
        cells.append(own_cell(cell, mark))
    return [f"> {results.name(model)}", *cells, None, own_cell(overall.get(model))]


def _intervals_of_model(results: ScoreTable, model: str) -> dict[str, Interval]:
    found = {c.published: results.interval(model, c) for c in results.columns if c.published}
    return {task: cell for task, cell in found.items() if cell is not None}


def outside_printed(own: Interval, printed: Interval) -> bool:
    """Say whether two means are farther apart than their joint interval; not so where one is unknown."""
    return abs(own.mean - printed.mean) > math.hypot(own.half_width, printed.half_width)


def own_cell(interval: Interval | None, mark: str = "") -> Cell | None:
    """Return an interval as a cell, nothing for none."""
    return None if interval is None else Cell(interval.mean, interval.half_width, mark)


def _differences_from_published(
    results: ScoreTable, table: PublishedTable, stands_for: Mapping[str, str]
) -> Iterator[list[Entry]]:
    published = {row.name: row for row in table.rows}
    for model, name in stands_for.items():
        for task, own in _intervals_of_model(results, model).items():
            if (printed := published[name].cells.get(task)) is not None:
                joint = math.hypot(own.half_width, printed.half_width)
                known = None if math.isnan(joint) else Cell(joint)
                mark = OUTSIDE if outside_printed(own, printed) else ""
                difference = Cell(own.mean - printed.mean)
                what = [results.name(model), name, task]
                yield [*what, own_cell(own), own_cell(printed), difference, known, mark]
