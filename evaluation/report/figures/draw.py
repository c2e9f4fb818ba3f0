"""Which figures a run has."""

from collections.abc import Mapping

from evaluation.report.figures.curves import layers, low_data
from evaluation.report.figures.matrices import heat_map, task_correlation
from evaluation.report.figures.pareto import ModelCost, against_parameters
from evaluation.report.figures.ranks import critical_difference
from evaluation.report.figures.rows import bar_figure, seed_figure
from evaluation.report.figures.style import Drawing, LeftOut
from evaluation.report.naming import Naming
from evaluation.results.comparison import Ranks
from evaluation.results.score_table import ScoreTable


def draw_figures(
    results: ScoreTable, costs: Mapping[str, ModelCost], ranks: Ranks | None
) -> list[Drawing | LeftOut]:
    """Return every kind of figure, drawn or left out with its reason; to be called in `drawing_style`."""
    if not any(results.scores.values()):
        return [LeftOut("All figures", "No model has finished a task.")]
    naming = Naming(results)
    kinds = (bar_figure, heat_map, seed_figure, task_correlation, low_data, layers)
    figures = [figure for kind in kinds for figure in kind(results, naming)]
    # Parameters are those of a whole model, not of the layers below one of its layers.
    costs = {model: cost for model, cost in costs.items() if not results.spec(model).layer}
    return [
        *figures,
        *against_parameters(results, naming, costs),
        *critical_difference(ranks, naming),
    ]
