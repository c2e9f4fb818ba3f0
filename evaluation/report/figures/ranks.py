"""Critical-difference diagram (Demšar, 2006): mean ranks over tasks and what a test cannot tell apart."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.report.figures.style import (
    CHARACTER,
    GREY,
    LINE,
    Drawing,
    LeftOut,
    add_footer,
    footer_lines,
    new_figure,
    width_for,
)
from evaluation.report.naming import Naming
from evaluation.results.comparison import Ranks
from evaluation.statistics.significance import ALPHA

NAME = "critical_difference"
ABOVE = 3.4
"""Lines above the axis of ranks: the bar of the critical difference and the ticks' labels."""
TICK = 0.22
"""Least distance between labelled ranks, inches."""
CLIQUE = 0.5
"""Lines between two bars that join models."""


def critical_difference(ranks: Ranks | None, naming: Naming) -> list[Drawing | LeftOut]:
    """Draw the models on an axis of mean ranks; bars join those closer than the critical difference."""
    if ranks is None or len(ranks.mean) < 3:
        return [LeftOut(NAME, "There are no mean ranks of at least three models that have every task.")]
    if ranks.critical_difference >= len(ranks.mean) - 1:
        return [
            LeftOut(
                NAME,
                f"With {ranks.n_tasks} tasks the critical difference, {ranks.critical_difference:.1f} ranks, "
                f"is as large as any difference among {len(ranks.mean)} models can be: it tells none apart.",
            )
        ]
    caption = (
        f"Mean ranks over {ranks.n_tasks} tasks, 1 is best. Bars join models that differ by less than "
        f"Nemenyi's critical difference at {ALPHA:g} (CD, {ranks.critical_difference:.2f} ranks)."
    )
    if ranks.friedman_p is not None:
        verdict = "rejects" if ranks.friedman_p < ALPHA else "does not reject"
        caption += f" Friedman's test {verdict} that all models are alike (p = {ranks.friedman_p:.2g})."
    return [Drawing(NAME, caption, _rank_figure(ranks, naming))]


def _rank_figure(ranks: Ranks, naming: Naming) -> Figure:
    """Return the diagram: the better half of the models is named at the left, the others at the right."""
    models = sorted(ranks.mean, key=lambda model: ranks.mean[model])
    texts = {model: f"{naming(model)}  {ranks.mean[model]:.2f}" for model in models}
    notes = naming.notes(models)
    cliques = [clique for clique in ranks.cliques if len(clique) > 1]
    half = -(-len(models) // 2)
    margin = max(map(len, texts.values())) * CHARACTER + 0.15
    width = width_for(2 * margin + 0.3 * len(models))
    first_name = 0.7 + CLIQUE * len(cliques)
    lines = ABOVE + first_name + half
    figure = new_figure(width, LINE * (lines + len(footer_lines(notes, width)) + 1))
    axes = figure.subplots()
    low = math.floor(min(ranks.mean.values()))
    high = max(math.ceil(max(ranks.mean.values())), math.ceil(low + ranks.critical_difference))
    side = (high - low) * margin / (width - 2 * margin)
    axes.set(xlim=(low - side, high + side), ylim=(first_name + half, -ABOVE))
    step = -(-(high - low + 1) * TICK // (width - 2 * margin))
    _draw_rank_axis(axes, range(low, high + 1, int(step)), high, ranks.critical_difference)
    for row, clique in enumerate(cliques):
        places = [ranks.mean[model] for model in clique]
        axes.plot([min(places), max(places)], [0.5 + CLIQUE * row] * 2, color="black", linewidth=2.5)
    _draw_ranked_names(axes, ranks, texts, models[:half], low, first_name, better=True)
    _draw_ranked_names(axes, ranks, texts, models[: half - 1 : -1], high, first_name, better=False)
    add_footer(figure, notes)
    return figure


def _draw_rank_axis(axes: Axes, ticks: Sequence[int], high: int, difference: float) -> None:
    """Draw the axis of ranks up to `high` at y = 0 and the critical difference as a bar above it."""
    low = ticks[0]
    axes.spines[["left", "bottom", "right"]].set_visible(False)
    axes.spines["top"].set(visible=True, position=("data", 0), bounds=(low, high))
    axes.xaxis.tick_top()
    axes.set_xticks(ticks)
    axes.set_yticks([])
    axes.plot([low, low + difference], [-2, -2], color="black", linewidth=1.2, marker="|")
    axes.text(low, -2.3, f"CD = {difference:.2f}", ha="left", va="bottom")


def _draw_ranked_names(
    axes: Axes,
    ranks: Ranks,
    texts: dict[str, str],
    models: Sequence[str],
    end: float,
    top: float,
    *,
    better: bool,
) -> None:
    """Write names from the outermost rank inwards, one line below the other, joined to their ranks."""
    for row, model in enumerate(models):
        height = top + row + 0.5
        axes.plot([ranks.mean[model]] * 2 + [end], [0, height, height], color=GREY, linewidth=0.6, zorder=1)
        side, offset = ("right", -3) if better else ("left", 3)
        axes.annotate(
            texts[model], (end, height), xytext=(offset, 0), textcoords="offset points", ha=side, va="center"
        )
