"""Heat map of models and tasks, and correlations between tasks, as the HEAR paper has them (2022)."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from scipy import stats

from evaluation.report.figures.style import (
    CHARACTER,
    HEAT,
    LINE,
    MISSING_HATCH,
    TWO_COLUMNS,
    Drawing,
    LeftOut,
    add_footer,
    footer_lines,
    new_figure,
    width_for,
)
from evaluation.report.naming import Naming, chunks, numbered, synthetic_notes
from evaluation.results.score_table import Column, ScoreTable

CELL = 0.3
"""Least width of a cell with a number in it, inches."""
ROW = 0.19
"""Height of a cell, inches."""
MOST_ROWS = 36
LEAST_MODELS = 3
"""From how many models on a correlation between tasks is drawn."""

Matrix = Float[np.ndarray, "rows columns"]


def heat_map(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw the means as numbers on shades: how far each model is from the task's worst to its best."""
    if len(results.models) < 2:
        return [LeftOut("heat_map", "A heat map compares models, and there is only one.")]
    means = _means_of_cells(results)
    shades = np.column_stack(
        [_shade_of_column(column, means[:, i]) for i, column in enumerate(results.columns)]
    )
    caption = (
        "Means over seeds. Shades run, for every task by itself, from the worst model (light) to the best "
        "(dark); hatched cells are not finished."
    )
    names = [naming(model) for model in results.models]
    titles = [naming.title(column) for column in results.columns]
    notes = [*naming.notes(results.models), "Darker: nearer the task's best model."]
    if not np.isfinite(means).all():
        notes.append("Hatched: no score.")
    if _matrix_width(names, titles) > TWO_COLUMNS:
        names, titles, means, shades = titles, names, means.T, shades.T
    return _tiled_matrix("heat_map", caption, means, shades, names, titles, notes, decimals=1)


def task_correlation(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw Spearman's rank correlation over models of every pair of tasks.

    Left out with fewer than three models or two tasks; a pair that fewer than three models share, or on
    which all of them tie, has no number.
    """
    name = "task_correlation"
    columns = results.averaged
    if len(columns) < 2:
        return [LeftOut(name, "Correlations between tasks need at least two tasks.")]
    if len(results.models) < LEAST_MODELS:
        return [LeftOut(name, f"Correlations between tasks need at least {LEAST_MODELS} models.")]
    signs = [column.sign for column in columns]
    matrix = spearman(_means_of_cells(results, columns) * signs)
    if not np.isfinite(matrix[~np.eye(len(columns), dtype=bool)]).any():
        return [LeftOut(name, f"No two tasks have {LEAST_MODELS} models in common whose scores differ.")]
    caption = (
        "Spearman's rank correlation between tasks over the models' means; every pair of tasks over the "
        f"models that have both, at most {len(results.models)}: with few models it is coarse. Hatched: fewer "
        "than three such models, or all of them tie on a task."
    )
    over = f"Spearman's rank correlation over at most {len(results.models)} models."
    notes = [*synthetic_notes(results), over]
    titles = [naming.title(column) for column in columns]
    return _tiled_matrix(name, caption, matrix, (matrix + 1) / 2, titles, titles, notes, decimals=2)


def spearman(scores: Float[np.ndarray, "models tasks"]) -> Float[np.ndarray, "tasks tasks"]:
    """Return rank correlations over the models that both tasks have; NaN where they are undefined."""
    n_tasks = scores.shape[1]
    matrix = np.full((n_tasks, n_tasks), np.nan)
    for a in range(n_tasks):
        for b in range(a + 1):
            both = scores[np.isfinite(scores[:, [a, b]]).all(1)][:, [a, b]]
            if len(both) >= LEAST_MODELS and (np.ptp(both, axis=0) > 0).all():
                matrix[a, b] = matrix[b, a] = stats.spearmanr(both[:, 0], both[:, 1]).statistic
    return matrix


def _means_of_cells(
    results: ScoreTable, columns: Sequence[Column] | None = None
) -> Float[np.ndarray, "models tasks"]:
    columns = results.columns if columns is None else columns
    cells = [[results.interval(model, column) for column in columns] for model in results.models]
    return np.array([[math.nan if cell is None else cell.mean for cell in row] for row in cells])


def _shade_of_column(column: Column, means: Float[np.ndarray, " models"]) -> Float[np.ndarray, " models"]:
    """Return 0 for the task's worst model, 1 for its best; 0.5 when all are the same."""
    known = means[np.isfinite(means)]
    if not len(known):
        return np.full(len(means), np.nan)
    low, high = known.min(), known.max()
    share = (means - low) / (high - low) if high > low else np.where(np.isfinite(means), 0.5, np.nan)
    return 1 - share if column.sign < 0 else share


def _matrix_width(rows: Sequence[str], columns: Sequence[str]) -> float:
    return max(map(len, rows)) * CHARACTER + len(columns) * CELL + 0.2


def _tiled_matrix(
    name: str,
    caption: str,
    values: Matrix,
    shades: Matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    notes: Sequence[str],
    *,
    decimals: int,
) -> list[Drawing | LeftOut]:
    """Draw a matrix, on several pages when it is larger than one."""
    across = max(1, int((TWO_COLUMNS - max(map(len, rows)) * CHARACTER - 0.2) / CELL))
    pages = [
        (down, right)
        for down in chunks(range(len(rows)), MOST_ROWS)
        for right in chunks(range(len(columns)), across)
    ]

    def draw(name: str, page: tuple[Sequence[int], Sequence[int]]) -> Drawing:
        down, right = page
        tile = np.ix_(down, right)
        labels = [rows[i] for i in down], [columns[i] for i in right]
        return Drawing(name, caption, _matrix_figure(values[tile], shades[tile], *labels, notes, decimals))

    return numbered(name, pages, draw)


def _matrix_figure(
    values: Matrix,
    shades: Matrix,
    rows: Sequence[str],
    columns: Sequence[str],
    notes: Sequence[str],
    decimals: int,
) -> Figure:
    width = width_for(_matrix_width(rows, columns))
    cell = (width - max(map(len, rows)) * CHARACTER - 0.2) / len(columns)
    longest = max(map(len, columns)) * CHARACTER
    upright = longest > cell
    footer = len(footer_lines(notes, width))
    height = ROW * len(rows) + (longest if upright else LINE) + LINE * (footer + 1) + 0.1
    figure = new_figure(width, height)
    axes = figure.subplots()
    colours = matplotlib.colormaps[HEAT]
    axes.pcolormesh(
        np.ma.masked_invalid(shades), cmap=colours, vmin=0, vmax=1, edgecolor="white", linewidth=0.6
    )
    axes.patch.set(facecolor="white", edgecolor="0.6", hatch=MISSING_HATCH)
    axes.invert_yaxis()
    _write_matrix_cells(axes, values, shades, colours, decimals)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90 if upright else 0)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    add_footer(figure, notes)
    return figure


def _write_matrix_cells(axes: Axes, values: Matrix, shades: Matrix, colours: Colormap, decimals: int) -> None:
    for row, column in np.argwhere(np.isfinite(values)):
        red, green, blue, _ = colours(shades[row, column])
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = f"{values[row, column]:.{decimals}f}".replace("-", "−")
        text = "100" if text == "100.0" else text
        axes.text(
            column + 0.5, row + 0.52, text, ha="center", va="center", color="white" if dark else "black"
        )
