"""From one score per seed to the tables: CSV for programs, Markdown for people and the screen."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from evaluation import escape
from evaluation.files import write_atomically
from evaluation.report.sheet import Cell, aligned, markdown_item, markdown_table
from evaluation.results.frames import fold_rows, overall_frame, score_rows, summary_rows
from evaluation.results.score_table import ScoreTable
from evaluation.statistics.intervals import Interval
from tasks.names import printable


def write_tables(results: ScoreTable, directory: Path) -> None:
    """Write `scores.csv`, `summary.csv`, `folds.csv` and `table.md`.

    The last has models down and tasks across, as in the paper; `folds.csv` has every score of every fit
    that counts and, with folds, their mean and standard deviation as the original runner aggregates them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_scores_csv(directory / "scores.csv", score_rows(results))
    _write_scores_csv(directory / "summary.csv", summary_rows(results))
    _write_scores_csv(directory / "folds.csv", fold_rows(results))
    write_atomically(directory / "table.md", scores_markdown(results))


def scores_markdown(results: ScoreTable) -> str:
    """Return the notes, the table and who is who as Markdown."""
    notes = "".join(
        f"{escape.markdown(note, code=True, block=True)}\n\n" for note in notes_below_table(results)
    )
    return notes + markdown_table(scores_grid(results)) + who_is_who(results)


def who_is_who(results: ScoreTable) -> str:
    """Return the models whose names in the tables are not all that they were given, as a Markdown list."""
    lines = [f"{name}: {model}" for model, name in results.names.items() if name != model]
    return "\n".join(["\nModels:\n", *map(markdown_item, lines), ""]) if lines else ""


def scores_on_screen(results: ScoreTable) -> str:
    """Return the notes and the table for a terminal: tasks down and models across, or as is narrower."""
    return grid_on_screen(scores_grid(results), notes_below_table(results))


def grid_on_screen(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """Return notes and a table for a terminal, columns down or as it is, whichever is narrower."""
    tables = aligned([list(column) for column in zip(*rows, strict=True)]), aligned(rows)
    text = "".join(f"{textwrap.fill(printable(note), 100)}\n" for note in notes)
    return f"{text}\n{min(tables, key=lambda table: table.index(chr(10)))}"


def scores_grid(results: ScoreTable) -> list[list[str]]:
    """Return the cells of the table as printed, header first: models down, tasks across."""
    scores_overall = overall_frame(results)
    tasks = [f"{results.titles[column.task]} ({column.metric})" for column in results.columns]
    header = ["model", *tasks, "average", *scores_overall]
    rows = []
    for model in results.models:
        average = results.average(model)
        cells = [_score_cell(results.interval(model, column)) for column in results.columns]
        tail = [_score_cell(scores.get(model)) for scores in scores_overall.values()]
        rows.append([results.name(model), *cells, "" if average is None else f"{average:.1f}", *tail])
    return [header, *rows]


def notes_below_table(results: ScoreTable) -> list[str]:
    """Return every sentence that the table must carry."""
    scale = "; s(m) puts them on one scale" if results.ranked else ""
    several = len(results.models) > 1 and len(results.averaged) > 1
    return [
        *results.notes,
        *([] if results.one_unit else [f"Scores of different kinds have no average{scale}."]),
        *([_pool_note(results)] if several else []),
    ]


def _pool_note(results: ScoreTable) -> str:
    if not results.ranked:
        return "s(m) needs at least two models with every task; it is left out."
    pool = results.run_pool()
    names = ", ".join(results.name(model) for model in pool.rows)
    return (
        f"s(m) compares the models of this run only ({pool.title}: {names}): 100 is the best and 0 the worst "
        "of the pool on each task, taken over single runs (`s(m) runs`) or over means (`s(m) means`)."
    )


def _score_cell(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return Cell(interval.mean, interval.half_width).text


def _write_scores_csv(path: Path, rows: Sequence[Sequence]) -> None:
    write_atomically(path, escape.csv_text(rows))
