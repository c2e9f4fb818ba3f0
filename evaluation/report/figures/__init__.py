"""Figures of a run and of the published tables, as PNG and SVG at their printed size.

What cannot be drawn rightly is left out with a sentence: `figures.md` beside the files holds every caption
and every reason, `figures.json` the same as data. matplotlib is loaded when a figure is drawn, not before.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.errors import EvaluationError
from evaluation.escape import markdown
from evaluation.files import write_atomically
from evaluation.report.figures.saved import SavedFigure
from evaluation.results.comparison import Ranks
from evaluation.results.score_table import ScoreTable

if TYPE_CHECKING:
    from evaluation.report.figures.pareto import ModelCost
    from evaluation.report.figures.style import Drawing, LeftOut


CAPTIONS_FILE = "figures.md"
LIST_FILE = "figures.json"
"""What is drawn with its caption, and what is left out with its reason, by their names."""


def write_figures(
    results: ScoreTable,
    directory: Path,
    *,
    costs: Mapping[str, "ModelCost"] | None = None,
    ranks: Ranks | None = None,
) -> list[SavedFigure]:
    """Draw all figures of a run's results into `directory` and return what was written.

    Args:
        results: What the tables are made from.
        directory: Is made when missing; the figures of an earlier run in it are removed.
        costs: model -> parameters, as `pareto.model_costs` reads them from run.json; the figure of the score
            against them is left out without.
        ranks: Mean ranks for the critical-difference diagram, which is left out without.

    Raises:
        EvaluationError: When matplotlib is not installed.
    """
    _check_matplotlib()
    from evaluation.report.figures.draw import draw_figures
    from evaluation.report.figures.style import drawing_style
    from evaluation.report.naming import MAX_NAME
    from evaluation.results.names import cut_name

    with drawing_style():
        return _write_figure_files(
            draw_figures(results, costs or {}, ranks), directory, cut_name(results.names, MAX_NAME)
        )


def write_paper_figures(published: Path, directory: Path) -> list[SavedFigure]:
    """Draw Figure 2 of the MW-MAE paper, and s(m) over parameters, from the CSVs in `published`.

    Raises EvaluationError when a table is missing or matplotlib is not installed.
    """
    _check_matplotlib()
    from evaluation.report.figures.paper import figure_2, published_parameters
    from evaluation.report.figures.style import drawing_style

    with drawing_style():
        return _write_figure_files([figure_2(published), published_parameters(published)], directory, {})


def _check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise EvaluationError("figures need matplotlib: pip install matplotlib") from error


def _write_figure_files(
    figures: Sequence["Drawing | LeftOut"], directory: Path, names: Mapping[str, str]
) -> list[SavedFigure]:
    from evaluation.report.figures.style import Drawing, save_figure

    directory.mkdir(parents=True, exist_ok=True)
    _remove_earlier(directory)
    saved = [save_figure(figure, directory) for figure in figures if isinstance(figure, Drawing)]
    left_out = {figure.name: figure.reason for figure in figures if not isinstance(figure, Drawing)}
    listed = {"drawn": {figure.name: figure.caption for figure in saved}, "left_out": left_out}
    write_atomically(directory / LIST_FILE, json.dumps(listed, indent=1))
    write_atomically(directory / CAPTIONS_FILE, captions(figures, names))
    return saved


def _remove_earlier(directory: Path) -> None:
    """Remove the figures that are listed, that none of an earlier, larger run stays."""
    path = directory / LIST_FILE
    try:
        names = json.loads(path.read_bytes())["drawn"] if path.exists() else {}
        drawn = [name for name in names if name.isidentifier()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # it is written anew, and what it should list with it
    for name in drawn:
        for kind in ("png", "svg"):
            (directory / f"{name}.{kind}").unlink(missing_ok=True)


def captions(figures: Sequence["Drawing | LeftOut"], names: Mapping[str, str]) -> str:
    """Return, as Markdown, the figures with their captions, what was left out and why, and who is who.

    `names` maps a model to its name in the figures; those that were shortened are listed.
    """
    from evaluation.report.figures.style import Drawing

    drawn = [
        f"![{f.name}]({f.name}.png)\n\n{markdown(f.caption)}\n" for f in figures if isinstance(f, Drawing)
    ]
    reasons = [f"- {markdown(f'{f.name}: {f.reason}')}" for f in figures if not isinstance(f, Drawing)]
    left_out = ["Left out:\n\n" + "\n".join(reasons) + "\n"] if reasons else []
    short = [f"- {markdown(f'{name}: {model}')}" for model, name in names.items() if name != model]
    shortened = ["Names in the figures:\n\n" + "\n".join(short) + "\n"] if short else []
    return "\n".join([*drawn, *left_out, *shortened])
