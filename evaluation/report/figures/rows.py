"""A panel per task with the models as rows: bars with intervals, and every seed as a point."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.report.figures.style import (
    BAR,
    CHARACTER,
    GREY,
    LINE,
    MARKED_HATCH,
    MAX_HEIGHT,
    TWO_COLUMNS,
    Drawing,
    LeftOut,
    add_footer,
    footer_lines,
    keep_to_percent,
    new_figure,
    width_for,
)
from evaluation.report.naming import Naming, chunks, metric_name, numbered
from evaluation.results.score_table import Column, ScoreTable

ROW = 0.155
"""Height of a model's row, inches."""
PANEL = 1.0
"""Least width of a panel, inches."""
ACROSS = 5
"""Most panels side by side."""
MOST_ROWS = 48
"""Models on one page."""

DrawRow = Callable[[Axes, ScoreTable, Column, str, float], None]
"""Draws one model's scores on one task into the row at a height."""


def bar_figure(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw every cell of the table as a bar with its interval over seeds and the mean as a number.

    The bars start at 0; a cell that is not finished has no bar and no number.
    """
    caption = (
        "Mean over seeds of every model on every task; lines are 95 % t-intervals over the classifier's "
        "seeds, do not cover the choice of test clips, and are cut at 0 and 100 %."
    )
    return _paged_rows("bars", caption, results, naming, _score_bar, numbers=True)


def seed_figure(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw the score of every seed as a point, with mean and interval; axes cover the scores only."""
    several = [row for rows in results.scores.values() for row in rows.values() if len(row) > 1]
    if not several:
        return [
            LeftOut("seeds", "No model has more than one seed on any task, so there is no spread to show.")
        ]
    caption = (
        "The score of every seed (points, from the first at the bottom of a row to the last at its top), "
        "mean (upright line) and 95 % t-interval (cut at 0 and 100 %); every panel has its own axis."
    )
    return _paged_rows("seeds", caption, results, naming, _seed_strip, numbers=False)


def _paged_rows(
    name: str, caption: str, results: ScoreTable, naming: Naming, draw: DrawRow, *, numbers: bool
) -> list[Drawing | LeftOut]:
    pages = []
    for models in chunks(list(results.models), MOST_ROWS):
        lines = max(1, int(MAX_HEIGHT / (ROW * (len(models) + 1) + 3.6 * LINE)))
        most = lines * _panels_across(naming, models, results.columns, numbers)
        pages += [(models, columns) for columns in chunks(list(results.columns), most)]

    def page_of(name: str, page: tuple[Sequence[str], Sequence[Column]]) -> Drawing:
        return Drawing(name, caption, _page_of_rows(results, naming, *page, draw, numbers))

    return numbered(name, pages, page_of)


def _page_of_rows(
    results: ScoreTable,
    naming: Naming,
    models: Sequence[str],
    columns: Sequence[Column],
    draw: DrawRow,
    numbers: bool,
) -> Figure:
    """Return a grid of panels; model names stand at the left of every line of panels."""
    lines = -(-len(columns) // _panels_across(naming, models, columns, numbers))
    across = -(-len(columns) // lines)
    names = [naming(model) for model in models]
    width = width_for(max(map(len, names)) * CHARACTER + across * _panel_width(naming, columns, numbers))
    notes = naming.notes(models)
    height = lines * (ROW * (len(models) + 1) + 3.6 * LINE) + LINE * (len(footer_lines(notes, width)) + 0.5)
    figure = new_figure(width, height)
    grid = figure.subplots(lines, across, squeeze=False).ravel()
    for place, axes in enumerate(grid):
        if place >= len(columns):
            axes.remove()
            continue
        _rows_panel(axes, results, columns[place], models, draw, numbers)
        axes.set_title(naming.title(columns[place]))
        axes.set_yticks(range(len(models)), names if place % across == 0 else [""] * len(models))
    add_footer(figure, notes)
    return figure


def _panels_across(naming: Naming, models: Sequence[str], columns: Sequence[Column], numbers: bool) -> int:
    """Return how many panels stand side by side at most."""
    room = TWO_COLUMNS - max(len(naming(model)) for model in models) * CHARACTER
    return min(ACROSS, int(room / _panel_width(naming, columns, numbers)))


def _panel_width(naming: Naming, columns: Sequence[Column], numbers: bool) -> float:
    title = max(len(naming.title(column)) for column in columns) * CHARACTER
    return max(PANEL + (3 * CHARACTER if numbers else 0), title)


def _rows_panel(
    axes: Axes, results: ScoreTable, column: Column, models: Sequence[str], draw: DrawRow, numbers: bool
) -> None:
    for row, model in enumerate(models):
        draw(axes, results, column, model, row)
        cell = results.interval(model, column)
        if numbers and cell is not None and math.isfinite(cell.mean):
            axes.text(1.03, row, f"{cell.mean:.1f}", transform=axes.get_yaxis_transform(), va="center")
    if numbers and column.unit == "%":
        axes.set_xlim(0, 100)
    elif column.unit == "%":
        keep_to_percent(axes.get_xlim, axes.set_xlim)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.set_xlabel(metric_name(column))
    axes.locator_params(axis="x", nbins=3)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _score_bar(axes: Axes, results: ScoreTable, column: Column, model: str, row: float) -> None:
    cell = results.interval(model, column)
    if cell is None or not math.isfinite(cell.mean):
        return
    hatch = MARKED_HATCH if model in results.marks else None
    axes.barh(row, cell.mean, height=0.72, color=BAR, edgecolor="black", linewidth=0.5, hatch=hatch)
    if math.isfinite(cell.half_width):
        axes.errorbar(cell.mean, row, xerr=cell.half_width, color="black", capsize=1.5, linewidth=1)


def _seed_strip(axes: Axes, results: ScoreTable, column: Column, model: str, row: float) -> None:
    cell = results.interval(model, column)
    if cell is None or not math.isfinite(cell.mean):
        return
    scores = [column.scale(score) for score in results.scores[model][column.task]]
    step = 0.6 / max(len(scores) - 1, 1)
    heights = [row + step * ((len(scores) - 1) / 2 - number) for number in range(len(scores))]
    size = 2.0 if len(results.models) <= 8 else 1.3
    if math.isfinite(cell.half_width):
        axes.errorbar(cell.mean, row, xerr=cell.half_width, color=GREY, linewidth=3.5, zorder=1)
    axes.plot(scores, heights, "o", color="black", markersize=size, markeredgewidth=0, zorder=3)
    axes.plot([cell.mean] * 2, [row - 0.42, row + 0.42], color="black", linewidth=0.7, zorder=2)
