"""The MW-MAE paper's Figure 2 from the published tables of its ablations (Appendix F, Tables 7 to 10)."""

from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.report.figures.curves import Curve, Panel, draw_panels
from evaluation.report.figures.pareto import Point, pareto_scatter
from evaluation.report.figures.style import Drawing, LeftOut
from evaluation.statistics.published import PublishedTable, read_published

STYLES = {"MW-MAE": 0, "MAE": 1}
SCORE = "s(m)"


@dataclass(frozen=True)
class Ablation:
    """A panel of Figure 2: its title, the table it is drawn from and the column along x."""

    title: str
    table: int
    column: str
    xlabel: str


FIGURE_2 = (
    Ablation("(a) patch size", 7, "patch_size", "patch size (frames × mel bands)"),
    Ablation("(b) encoder", 8, "encoder", "encoder"),
    Ablation("(c) decoder depth", 9, "decoder_depth", "decoder depth (blocks)"),
    Ablation("(d) pre-training data", 10, "pretrain_data", "share of AudioSet"),
)


def figure_2(published: Path) -> Drawing:
    """Draw s(m) of MAE and MW-MAE in the four ablations of Figure 2.

    `published` is the folder of `table7.csv` to `table10.csv`. A cell that could not be read interrupts its
    curve. Raises EvaluationError when a table is missing or is not what it should be.
    """
    panels = [_ablation_panel(ablation, read_published(published, ablation.table)) for ablation in FIGURE_2]
    caption = (
        "Figure 2 of the MW-MAE paper, drawn from its Tables 7 to 10: overall score s(m) of MAE and MW-MAE "
        "at different patch sizes (a), encoders (b), decoder depths (c) and amounts of pre-training data "
        "(d); 95 % intervals as published."
    )
    return Drawing("figure_2", caption, draw_panels(panels, [], across=2, panel=(2.6, 1.7)))


def _ablation_panel(ablation: Ablation, table: PublishedTable) -> Panel:
    """Return the panel of an ablation, settings in the table's order."""
    if not {ablation.column, "model"} <= set(table.texts):
        raise EvaluationError(f"table{table.number}.csv has no columns 'model' and '{ablation.column}'")
    settings = list(dict.fromkeys(row.texts[ablation.column] for row in table.rows))
    cells = {(row.texts["model"], row.texts[ablation.column]): row.cells.get(SCORE) for row in table.rows}
    x = [float(place) for place in range(len(settings))]
    curves = [
        Curve(model, x, [cells.get((model, setting)) for setting in settings], style)
        for model, style in STYLES.items()
    ]
    ticks = [(place, setting.replace("x", "×")) for place, setting in zip(x, settings, strict=True)]
    return Panel(ablation.title, ablation.xlabel, SCORE, ticks, curves)


def published_parameters(published: Path) -> Drawing | LeftOut:
    """Draw s(m) over parameters for the rows of the paper's Table 6 that have both.

    Raises EvaluationError when `table6.csv` is missing or is not what it should be.
    """
    table = read_published(published, 6)
    points, absent = [], []
    for row in table.rows:
        cell, parameters = row.cells.get(SCORE), row.texts.get("params_m")
        if cell is None or not parameters:
            absent.append(row.texts["model"])
        else:
            points.append(Point(row.texts["model"], float(parameters), cell.mean, cell.half_width))
    name = "table_6_parameters"
    if len(points) < 2:
        return LeftOut(name, "Fewer than two rows of Table 6 have both parameters and s(m).")
    caption = (
        "Overall score s(m) over parameters, both as published in Table 6 of the MW-MAE paper; the dashed "
        "line joins the models that no other one beats in both."
        + (f" Without one of the two: {', '.join(absent)}." if absent else "")
    )
    return Drawing(name, caption, pareto_scatter(points, "parameters (millions)", SCORE, []))
