"""From one score per seed to the tables: CSV for programs, Markdown for people and the screen."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from evaluation import escape
from evaluation.files import write_atomically
from evaluation.report.sheet import Cell, aligned, markdown_item, markdown_table
from evaluation.results.score_table import ScoreTable
from evaluation.statistics.intervals import Interval, over_folds
from evaluation.statistics.overall import overall_score
from tasks.names import printable


def write_tables(results: ScoreTable, directory: Path) -> None:
    """Write `scores.csv`, `summary.csv`, `folds.csv` and `table.md`.

    The last has models down and tasks across, as in the paper; `folds.csv` has every score of every fit
    that counts and, with folds, their mean and standard deviation as the original runner aggregates them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / "scores.csv", _score_rows(results))
    _write_csv(directory / "summary.csv", _summary_rows(results))
    _write_csv(directory / "folds.csv", _fold_rows(results))
    write_atomically(directory / "table.md", markdown(results))


def markdown(results: ScoreTable) -> str:
    """Return the notes, the table and who is who as Markdown."""
    notes = "".join(f"{escape.markdown(note, code=True, block=True)}\n\n" for note in all_notes(results))
    return notes + markdown_table(grid(results)) + who_is_who(results)


def who_is_who(results: ScoreTable) -> str:
    """Return the models whose names in the tables are not all that they were given, as a Markdown list."""
    lines = [f"{name}: {model}" for model, name in results.names.items() if name != model]
    return "\n".join(["\nModels:\n", *map(markdown_item, lines), ""]) if lines else ""


def screen(results: ScoreTable) -> str:
    """Return the notes and the table for a terminal: tasks down and models across, or as is narrower."""
    rows = grid(results)
    tables = aligned([list(column) for column in zip(*rows, strict=True)]), aligned(rows)
    notes = "".join(f"{textwrap.fill(printable(note), 100)}\n" for note in all_notes(results))
    return f"{notes}\n{min(tables, key=lambda table: table.index(chr(10)))}"


def grid(results: ScoreTable) -> list[list[str]]:
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


def all_notes(results: ScoreTable) -> list[str]:
    """Return every sentence that the table must carry."""
    scale = "; s(m) puts them on one scale" if results.ranked else ""
    several = len(results.models) > 1 and len(results.averaged) > 1
    return [
        *results.notes,
        *([] if results.one_unit else [f"Scores of different kinds have no average{scale}."]),
        *([_pool_note(results)] if several else []),
    ]


def _overall(results: ScoreTable) -> dict[str, dict[str, Interval]]:
    if not results.ranked:
        return {}
    pool, scores = results.run_pool(), results.complete_scores()
    return {f"s(m) {kind}": overall_score(scores, pool, extremes=kind) for kind in ("runs", "means")}


def _pool_note(results: ScoreTable) -> str:
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


def _score_rows(results: ScoreTable) -> list[list]:
    rows: list[list] = [["model", "mark", "task", "metric", "unit", "seed", "score"]]
    for model in results.models:
        for column in results.columns:
            scores = results.scores.get(model, {}).get(column.task, [])
            for seed, score in zip(results.seeds(model, column.task), scores, strict=True):
                what = [model, results.marks.get(model, ""), column.task, column.metric, column.unit]
                rows.append([*what, seed, column.scale(score)])
    return rows


def _summary_rows(results: ScoreTable) -> list[list]:
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


def _fold_rows(results: ScoreTable) -> list[list]:
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
