"""Score against what a model costs, its parameters, with the models that none beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from evaluation.report.figures.style import (
    FONT,
    GREY,
    LINE,
    MAX_HEIGHT,
    ONE_COLUMN,
    TWO_COLUMNS,
    Drawing,
    LeftOut,
    add_footer,
    footer_lines,
    new_figure,
)
from evaluation.report.naming import Naming
from evaluation.results.score_table import ScoreTable

MOST_NAMES = 48
"""With more models only those that no other one beats are named."""


LEAST_APART = 1.05
"""Ratio of the largest to the least cost below which all models cost the same to a reader."""


@dataclass(frozen=True)
class ModelCost:
    """What is known of a model beside its scores; None what is not."""

    parameters: int | None = None


@dataclass(frozen=True)
class Point:
    """A model between its cost and its score; `half_width` is NaN without an interval."""

    name: str
    cost: float
    score: float
    half_width: float = nan


def model_costs(run: Mapping[str, Any]) -> dict[str, ModelCost]:
    """Return model -> cost as a run's `run.json` has it in `parameters`."""
    return {model["label"]: ModelCost(model.get("parameters")) for model in run.get("models", [])}


def against_parameters(
    results: ScoreTable, naming: Naming, costs: Mapping[str, ModelCost]
) -> list[Drawing | LeftOut]:
    """Draw the average score over the number of parameters; fewer is better."""
    known = {model: cost.parameters / 1e6 for model, cost in costs.items() if cost.parameters}
    return _scores_against(results, naming, known, "score_parameters", "parameters (millions)")


def _scores_against(
    results: ScoreTable,
    naming: Naming,
    known: Mapping[str, float],
    name: str,
    xlabel: str,
) -> list[Drawing | LeftOut]:
    """Draw what is complete and known; the caption names what is missing."""
    if not results.one_unit or results.averaged[0].sign < 0:
        return [LeftOut(name, "The tasks' scores have no average of which more is better.")]
    found = ((model, results.average(model)) for model in results.models)
    averages = {model: average for model, average in found if average is not None and isfinite(average)}
    shown = [model for model in results.models if model in averages and model in known]
    if len(shown) < 2:
        return [LeftOut(name, f"Fewer than two models have a score on every task and known {xlabel}.")]
    most, least = (choose(known[model] for model in shown) for choose in (max, min))
    if most < LEAST_APART * least:
        return [LeftOut(name, f"All models have about the same {xlabel}: {least:.4g} to {most:.4g}.")]
    points = [Point(naming(model), known[model], averages[model]) for model in shown]
    missing = [naming(model) for model in results.models if model not in shown]
    unit = " (%)" if results.averaged[0].unit else ""
    tasks = len(results.averaged)
    ylabel = (
        f"average over {tasks} tasks{unit}" if tasks > 1 else f"{naming.title(results.averaged[0])}{unit}"
    )
    caption = (
        f"Average score over {xlabel}; the dashed line joins the models that no other one beats in both. "
        + (f"Not shown, as unfinished, unknown or zero: {', '.join(missing)}." if missing else "")
    ).strip()
    return [Drawing(name, caption, pareto_scatter(points, xlabel, ylabel, naming.notes(shown)))]


def front(points: Sequence[Point]) -> list[Point]:
    """Return, in the order of their cost, the points that no other one beats or equals in both respects.

    A smaller cost and a larger score are better. Equal points all stay.
    """

    def beaten(point: Point) -> bool:
        return any(
            other.cost <= point.cost
            and other.score >= point.score
            and (other.cost, other.score) != (point.cost, point.score)
            for other in points
        )

    return sorted((p for p in points if not beaten(p)), key=lambda p: (p.cost, p.score))


def pareto_scatter(points: Sequence[Point], xlabel: str, ylabel: str, notes: Sequence[str]) -> Figure:
    """Return the points with their names in a column at the right, each joined to its point."""
    width = ONE_COLUMN if len(points) <= 6 else TWO_COLUMNS
    tall = max(1.9, LINE * (len(points) + 2))
    figure = new_figure(width, min(MAX_HEIGHT, tall + LINE * (len(footer_lines(notes, width)) + 3)))
    axes = figure.subplots()
    best = front(points)
    for point in points:
        filled = "black" if point in best else "white"
        half = None if isnan(point.half_width) else point.half_width
        axes.errorbar(
            point.cost,
            point.score,
            yerr=half,
            fmt="o",
            zorder=3,
            color="black",
            markerfacecolor=filled,
            capsize=1.5,
            elinewidth=0.8,
        )
    costs, scores = [p.cost for p in best], [p.score for p in best]
    axes.plot(costs, scores, color="black", linestyle="--", drawstyle="steps-post")
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.08)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    _name_points(axes, points if len(points) <= MOST_NAMES else best, line=LINE / tall)
    add_footer(figure, notes)
    _cost_tick(figure, axes)
    return figure


def _cost_tick(figure: Figure, axes: Axes) -> None:
    """Give the axis of costs as many round numbers as stand apart from each other."""
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_xlim()
    for ticks in sorted(_round_numbers(low, high), key=len, reverse=True):
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        figure.draw_without_rendering()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        apart = FONT * figure.dpi / 72  # pixels, one line of type
        if all(one.x1 + apart < two.x0 for one, two in pairwise(boxes)):
            return


def _round_numbers(low: float, high: float) -> list[list[float]]:
    """Return several choices of round numbers from `low` to `high`, which are above 0; the last has none."""
    logarithmic = [LogLocator(subs=steps, numticks=99) for steps in ((1, 2, 5), (1, 3), (1,))]
    linear = [MaxNLocator(number) for number in (5, 4, 3, 2)]
    ticks = [locator.tick_values(low, high) for locator in (*logarithmic, *linear)]
    return [[tick for tick in found if low <= tick <= high] for found in ticks] + [[]]


def _name_points(axes: Axes, points: Sequence[Point], *, line: float) -> None:
    """Write the names right of the axes from the lowest score up, moved apart by at least a line."""
    low, high = axes.get_ylim()
    ordered = sorted(points, key=lambda p: (p.score, p.cost, p.name))
    places = spread_labels([(p.score - low) / (high - low) for p in ordered], 1.05 * line)
    for point, place in zip(ordered, places, strict=True):
        axes.annotate(
            point.name,
            (point.cost, point.score),
            xytext=(1.03, place),
            textcoords="axes fraction",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": GREY,
                "linewidth": 0.5,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """Return ascending places moved as little as a sweep up and a sweep down need to be `gap` apart.

    All stay within 0 and 1 as long as they fit there.
    """
    moved = list(places)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    ceiling = max(1.0, gap * (len(moved) - 1))
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved
