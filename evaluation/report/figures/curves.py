"""Scores as curves: over the share of training clips, over a model's layers, and over a paper's ablations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.models.spec import ModelSpec
from evaluation.report.figures.style import (
    CHARACTER,
    LINE,
    MAX_LINES,
    TWO_COLUMNS,
    Drawing,
    LeftOut,
    add_footer,
    footer_lines,
    keep_to_percent,
    line_style,
    new_figure,
    width_for,
)
from evaluation.report.naming import Naming, chunks, metric_name, numbered, short_names
from evaluation.results.score_table import Column, ScoreTable
from evaluation.statistics.intervals import Interval
from tasks.names import printable

PANEL = (1.7, 1.35)
"""Least width and height of a panel, inches."""
UPRIGHT = 0.13
"""Width of an upright label, inches."""
MOST_PANELS = 12
"""On one page."""


@dataclass(frozen=True)
class Curve:
    """One line of a panel: the x and the mean with its interval, None where there is no score."""

    name: str
    x: Sequence[float]
    cells: Sequence[Interval | None]
    style: int


@dataclass(frozen=True)
class Panel:
    """A panel of curves; `ticks` are the places of x that have a name; `percent` ends y at 0 and 100."""

    title: str
    xlabel: str
    ylabel: str
    ticks: Sequence[tuple[float, str]]
    curves: Sequence[Curve]
    log: bool = False
    percent: bool = False


def low_data(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw scores over the share of training clips, a panel for every task with at least two shares."""
    groups: dict[str, list[Column]] = {}
    for column in results.columns:
        groups.setdefault(task_of_curve(column), []).append(column)
    several = [sorted(group, key=lambda c: c.budget) for group in groups.values() if len(group) > 1]
    tasks = {column.task for group in several for column in group}
    models = [model for model in results.models if tasks & set(results.scores.get(model, {}))]
    if not models:
        return [
            LeftOut("low_data", "Curves over the share of training clips need at least two --budget values.")
        ]
    caption = (
        "Score over the share of training clips (per cent of every class, logarithmic); 95 % t-intervals "
        "over the classifier's seeds, cut at 0 and 100 %."
    )

    pages = [(some, part) for some in chunks(models, MAX_LINES) for part in chunks(several, MOST_PANELS)]

    def page(name: str, what: tuple[Sequence[str], Sequence[Sequence[Column]]]) -> Drawing:
        some, part = what
        panels = [_budget_panel(results, naming, group, some) for group in part]
        return Drawing(name, caption, draw_panels(panels, naming.notes(some)))

    return numbered("low_data", pages, page)


def task_of_curve(column: Column) -> str:
    """Return the task of a column without the budget that a run puts behind its name."""
    return column.task.removesuffix(f"@{column.budget:g}%")


def _budget_panel(
    results: ScoreTable, naming: Naming, group: Sequence[Column], models: Sequence[str]
) -> Panel:
    x = [column.budget for column in group]
    curves = [
        Curve(naming(model), x, [results.interval(model, column) for column in group], number)
        for number, model in enumerate(models)
    ]
    title = naming.title(group[-1]).removesuffix(f" @{group[-1].budget:g}%")
    ticks = [(budget, f"{budget:g}") for budget in x]
    percent = group[-1].unit == "%"
    return Panel(
        title, "training clips (%)", metric_name(group[-1]), ticks, curves, log=True, percent=percent
    )


def layers(results: ScoreTable, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw scores over layers, of models of which there are several, in the order of the results."""
    stacks: dict[str, dict[str, str]] = {}
    bases: dict[str, ModelSpec] = {}
    for model in results.models:
        if (spec := results.spec(model)).layer:
            whole = replace(spec, layer="")
            bases[whole.label] = whole
            stacks.setdefault(whole.label, {})[spec.layer] = model
    stacks = {base: stack for base, stack in stacks.items() if len(stack) > 1}
    if not stacks:
        return [LeftOut("layers", "Curves over layers need a model with at least two layers (--layers).")]
    caption = (
        "Score of the classifier on every layer's embedding, from the first layer to the last; 95 % "
        "t-intervals over the classifier's seeds, cut at 0 and 100 %."
    )
    pages = [(base, part) for base in stacks for part in chunks(list(results.columns), MOST_PANELS)]
    names = short_names({base: bases[base] for base in stacks})

    def page(name: str, what: tuple[str, Sequence[Column]]) -> Drawing:
        base, columns = what
        title = names[base] + naming.symbol(next(iter(stacks[base].values())))
        panels = [_layer_panel(results, naming, title, stacks[base], column) for column in columns]
        return Drawing(name, caption, draw_panels(panels, naming.notes(list(stacks[base].values()))))

    return numbered("layers", pages, page)


def _layer_panel(
    results: ScoreTable, naming: Naming, name: str, stack: dict[str, str], column: Column
) -> Panel:
    cells = [results.interval(model, column) for model in stack.values()]
    ticks = [(place, printable(layer)) for place, layer in enumerate(stack)]
    curve = Curve(name, [float(x) for x, _ in ticks], cells, 0)
    return Panel(
        naming.title(column), "layer", metric_name(column), ticks, [curve], percent=column.unit == "%"
    )


def draw_panels(
    panels: Sequence[Panel], notes: Sequence[str], *, across: int = 4, panel: tuple[float, float] = PANEL
) -> Figure:
    """Return panels of curves under one legend of all curves' names."""
    lines = -(-len(panels) // min(across, int(TWO_COLUMNS / panel[0])))
    columns = -(-len(panels) // lines)
    width = width_for(columns * panel[0])
    names = list(dict.fromkeys(curve.name for content in panels for curve in content.curves))
    in_legend = max(1, min(len(names), int(width / (max(map(len, names)) * CHARACTER + 0.5))))
    room = width / columns - 0.55
    extra = 4 * LINE + max(_tick_height(panel, room) for panel in panels)
    footer = len(footer_lines(notes, width)) - (-len(names) // in_legend) + 1
    figure = new_figure(width, lines * (panel[1] + extra) + footer * LINE)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, content in zip(grid, panels, strict=False):
        draw_panel(axes, content, room)
    for axes in grid[len(panels) :]:
        axes.remove()
    handles = {handle.get_label(): handle for axes in grid[: len(panels)] for handle in axes.containers}
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside upper left",
        ncols=in_legend,
        handlelength=3,
        columnspacing=1.2,
    )
    add_footer(figure, notes)
    return figure


def _tick_height(panel: Panel, room: float) -> float:
    """Return what tick labels that do not fit side by side into `room` need when upright, inches; else 0."""
    names = [text for _, text in panel.ticks]
    crowded = len(names) * (max(map(len, names)) + 1) * CHARACTER > room
    return max(map(len, names)) * CHARACTER if crowded else 0.0


def _thinned(names: Sequence[str], room: float) -> list[str]:
    """Return upright labels with every second, third, ... left, the last among them, so that they fit."""
    step = -(-len(names) * UPRIGHT // room)
    return [name if (len(names) - 1 - i) % step == 0 else "" for i, name in enumerate(names)]


def draw_panel(axes: Axes, panel: Panel, room: float) -> None:
    """Draw the curves with error bars into `room` inches; a place without a score interrupts its curve."""
    for curve in panel.curves:
        means = [cell.mean if cell and math.isfinite(cell.mean) else math.nan for cell in curve.cells]
        halves = [cell.half_width if cell and math.isfinite(cell.half_width) else 0.0 for cell in curve.cells]
        style = line_style(curve.style)
        axes.errorbar(curve.x, means, yerr=halves, label=curve.name, capsize=1.5, elinewidth=0.8, **style)
    if panel.log:
        axes.set_xscale("log")
        axes.minorticks_off()
    names = [name for _, name in panel.ticks]
    upright = _tick_height(panel, room) > 0
    axes.set_xticks(
        [x for x, _ in panel.ticks],
        _thinned(names, room) if upright else names,
        rotation=90 if upright else 0,
    )
    axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    axes.locator_params(axis="y", nbins=5)
    axes.margins(x=0.08, y=0.1)
    if panel.percent:
        keep_to_percent(axes.get_ylim, axes.set_ylim)
    axes.grid(axis="y")
