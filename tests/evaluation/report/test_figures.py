"""Figures of a run: what is drawn equals the data, nothing overlaps, equal input gives equal bytes."""

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats
from specs import specs

from evaluation.report.figures import write_figures
from evaluation.report.figures.curves import layers, low_data, task_of_curve
from evaluation.report.figures.draw import draw_figures
from evaluation.report.figures.matrices import heat_map, spearman, task_correlation
from evaluation.report.figures.pareto import (
    ModelCost,
    Point,
    against_parameters,
    front,
    model_costs,
    spread_labels,
)
from evaluation.report.figures.ranks import critical_difference
from evaluation.report.figures.rows import bar_figure, seed_figure
from evaluation.report.figures.style import (
    MAX_HEIGHT,
    ONE_COLUMN,
    TWO_COLUMNS,
    Drawing,
    LeftOut,
    drawing_style,
)
from evaluation.report.naming import Naming, chunks, short_names
from evaluation.results.comparison import Ranks
from evaluation.results.score_table import Column, ScoreTable


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with drawing_style():
        yield


def results_of(n_models: int, n_tasks: int, n_seeds: int = 3, **changes) -> ScoreTable:
    """Return results with long names; model number i is the better the larger i."""
    rng = np.random.default_rng(n_models * 100 + n_tasks)
    columns = [Column(f"task{t}-sample", "top1_acc", f"Task-{t}-sample") for t in range(n_tasks)]
    models = [f"laboratory.models.encoder_{i}@/data/checkpoints/last.pt" for i in range(n_models)]
    scores = {
        model: {c.task: list(rng.normal(0.2 + 0.03 * i, 0.005, n_seeds)) for c in columns}
        for i, model in enumerate(models)
    }
    marks = {models[-1]: "random init"}
    made = ScoreTable(models, columns, scores, marks, ["Preset quick."], synthetic=True)
    return replace(made, **{"specs": specs(changes.get("models", models)), **changes})


def drawn(figures: Sequence[Drawing | LeftOut]) -> Drawing:
    assert len(figures) == 1
    assert isinstance(figures[0], Drawing), figures[0]
    return figures[0]


def reason(figures: Sequence[Drawing | LeftOut]) -> str:
    assert len(figures) == 1
    assert isinstance(figures[0], LeftOut)
    assert figures[0].reason.endswith(".")
    return figures[0].reason


def texts(figure: Figure) -> list[Text]:
    """Return what is to be read; labels of ticks beyond the ends of an axis exist but are not drawn."""
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        unseen |= {label for place, label in ticks if not low <= place <= high}
    found = figure.findobj(Text)
    return [text for text in found if text.get_visible() and text.get_text().strip() and text not in unseen]


def words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in texts(figure))


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return texts that cover each other by more than a point, and those that leave the figure."""
    figure.draw_without_rendering()
    page = figure.bbox
    slack = figure.dpi / 72
    # of an annotation the text alone, without its line
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts(figure)]
    found = []
    for i, (one, a) in enumerate(boxes):
        if (
            a.x0 < page.x0 - slack
            or a.y0 < page.y0 - slack
            or a.x1 > page.x1 + slack
            or a.y1 > page.y1 + slack
        ):
            found.append((one, "edge"))
        for other, b in boxes[:i]:
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            if across > slack and down > slack:
                found.append((one, other))
    return found


def costs_of(results: ScoreTable) -> dict[str, ModelCost]:
    return {m: ModelCost(10**6 * (1 + i % 4)) for i, m in enumerate(results.models)}


def ranks_of(results: ScoreTable) -> Ranks:
    mean = {model: 1.0 + i for i, model in enumerate(results.models)}
    return Ranks(mean, {}, 10, 9.0, 0.01, 1.5, [results.models[:2], results.models[1:3]])


@pytest.mark.parametrize(("n_models", "n_tasks"), [(1, 1), (2, 1), (3, 6), (9, 2)])
def test_nothing_overlaps_and_all_type_is_readable(n_models: int, n_tasks: int) -> None:
    results = results_of(n_models, n_tasks)
    for drawing in draw_figures(results, costs_of(results), ranks_of(results)):
        if isinstance(drawing, LeftOut):
            continue
        assert overlapping(drawing.figure) == [], drawing.name
        assert min(text.get_fontsize() for text in texts(drawing.figure)) >= 8
        assert drawing.figure.get_figwidth() in (ONE_COLUMN, TWO_COLUMNS)
        assert drawing.figure.get_figheight() <= MAX_HEIGHT + 0.5
        assert "Synthetic sample tasks" in words(drawing.figure), drawing.name


def test_nineteen_tasks_and_fourteen_models_fit_on_pages() -> None:
    results = results_of(14, 19, n_seeds=2)
    naming = Naming(results)
    pages = bar_figure(results, naming)
    assert [page.name for page in pages] == ["bars_1", "bars_2"]
    assert sum(len(page.figure.axes) for page in pages) == 19
    for drawing in [pages[0], *heat_map(results, naming)]:
        assert drawing.figure.get_figheight() <= MAX_HEIGHT
        assert overlapping(drawing.figure) == []


def test_long_names_of_tasks_are_cut_and_do_not_meet() -> None:
    columns = [Column(f"t{t}", "top1_acc", f"{t}_own_task_of_a_long_name-v1.0-full") for t in range(7)]
    scores = {model: {c.task: [0.2, 0.3 + i / 9] for c in columns} for i, model in enumerate("abc")}
    results = ScoreTable(list("abc"), columns, scores, {}, [])
    for kind in (bar_figure, heat_map):
        assert overlapping(drawn(kind(results, Naming(results))).figure) == []
    titles = [axes.get_title() for axes in drawn(bar_figure(results, Naming(results))).figure.axes]
    assert len(set(titles)) == 7


def test_bars_are_the_means_and_their_intervals() -> None:
    results = results_of(2, 2)
    del results.scores[results.models[0]][results.columns[1].task]
    figure = drawn(bar_figure(results, Naming(results))).figure
    for axes, column in zip(figure.axes, results.columns, strict=True):
        expected = [results.interval(model, column) for model in results.models]
        expected = [cell for cell in expected if cell is not None]
        found = [bar for c in axes.containers if isinstance(c, BarContainer) for bar in c]
        assert [bar.get_width() for bar in found] == [cell.mean for cell in expected]
        lines = [c.lines[2][0].get_segments()[0] for c in axes.containers if isinstance(c, ErrorbarContainer)]
        for line, cell in zip(lines, expected, strict=True):
            assert np.ptp(line[:, 0]) == pytest.approx(2 * cell.half_width)
        assert [text.get_text() for text in axes.texts] == [f"{cell.mean:.1f}" for cell in expected]
        assert axes.get_xlim()[0] == 0
    hatches = [bar.get_hatch() for bar in figure.axes[0].patches]
    assert hatches[0] is None
    assert hatches[1]
    assert "† random init" in words(figure)


def test_one_seed_has_a_bar_without_interval_and_no_strip() -> None:
    results = results_of(2, 1, n_seeds=1)
    axes = drawn(bar_figure(results, Naming(results))).figure.axes[0]
    assert [type(container) for container in axes.containers] == [BarContainer, BarContainer]
    assert "more than one seed" in reason(seed_figure(results, Naming(results)))


def test_every_seed_is_a_point() -> None:
    results = results_of(3, 1, n_seeds=5)
    axes = drawn(seed_figure(results, Naming(results))).figure.axes[0]
    points = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
    expected = [100 * np.array(results.scores[model]["task0-sample"]) for model in results.models]
    np.testing.assert_allclose(points, expected)


def test_the_heat_map_writes_means_and_shades_worst_to_best() -> None:
    results = results_of(4, 2)
    del results.scores[results.models[1]]["task1-sample"]
    axes = drawn(heat_map(results, Naming(results))).figure.axes[0]
    shades = axes.collections[0].get_array()
    assert shades.shape == (4, 2)
    assert shades.mask.tolist() == [[False, False], [False, True], [False, False], [False, False]]
    assert [shades[0, 0], shades[3, 0]] == [0, 1]
    means = [[results.interval(m, c) for c in results.columns] for m in results.models]
    expected = [f"{cell.mean:.1f}" for row in means for cell in row if cell is not None]
    assert [text.get_text() for text in axes.texts] == expected
    assert "Hatched" in words(axes.figure)


def test_wide_intervals_do_not_stretch_an_axis_of_per_cent() -> None:
    results = low_data_results()
    results.scores["a.two"]["esc50"] = [0.1, 0.9]
    axes = drawn(low_data(results, Naming(results))).figure.axes[0]
    assert axes.get_ylim() == (-3, 103)
    axes = drawn(seed_figure(results, Naming(results))).figure.axes[2]
    assert axes.get_xlim() == (-3, 103)


def test_less_is_better_for_an_error_rate() -> None:
    columns = [Column("events", "segment_1s_er", "Events")]
    scores = {"good": {"events": [0.2, 0.3]}, "bad": {"events": [0.9, 0.8]}}
    results = ScoreTable(["good", "bad"], columns, scores, {}, [])
    shades = drawn(heat_map(results, Naming(results))).figure.axes[0].collections[0].get_array()
    assert shades.ravel().tolist() == [1, 0]
    assert "↓" in words(drawn(bar_figure(results, Naming(results))).figure)


def test_correlation_is_scipys_over_the_models_that_both_tasks_have() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 3))
    scores[2, 1] = np.nan
    found = spearman(scores)
    assert found[0, 2] == pytest.approx(stats.spearmanr(scores[:, 0], scores[:, 2]).statistic)
    both = np.delete(scores, 2, axis=0)
    assert found[0, 1] == pytest.approx(stats.spearmanr(both[:, 0], both[:, 1]).statistic)
    np.testing.assert_array_equal(found, found.T)


def test_correlations_that_mean_nothing_are_not_drawn() -> None:
    for models, tasks, why in ((2, 4, "at least 3 models"), (5, 1, "at least two tasks")):
        results = results_of(models, tasks)
        assert why in reason(task_correlation(results, Naming(results)))
    few = spearman(np.array([[1, 2], [2, np.nan], [np.nan, 4]]))
    assert np.isnan(few).all()
    same = spearman(np.array([[1.0, 5], [2, 5], [3, 5]]))
    assert same[0, 0] == 1
    assert math.isnan(same[0, 1])


def low_data_results() -> ScoreTable:
    columns = [
        Column("esc50" if budget == 100 else f"esc50@{budget:g}%", "top1_acc", f"ESC-50 @{budget:g}%", budget)
        for budget in (1.0, 10.0, 100.0)
    ]
    scores = {
        "a.one": {column.task: [0.1 + column.budget / 200] * 2 for column in columns},
        "a.two": {"esc50@1%": [0.1, 0.2], "esc50": [0.7, 0.8]},
    }
    return ScoreTable(["a.one", "a.two"], columns, scores, {}, [])


def test_low_data_curves_break_where_a_score_is_missing() -> None:
    results = low_data_results()
    assert {task_of_curve(column) for column in results.columns} == {"esc50"}
    axes = drawn(low_data(results, Naming(results))).figure.axes[0]
    lines = [container.lines[0] for container in axes.containers]
    assert [list(line.get_xdata()) for line in lines] == [[1, 10, 100]] * 2
    np.testing.assert_allclose(lines[0].get_ydata(orig=False), [10.5, 15, 60])
    np.testing.assert_allclose(lines[1].get_ydata(orig=False), [15, np.nan, 75])
    assert axes.get_xscale() == "log"
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 2
    idle = replace(results, models=["idle", *results.models])
    legend = drawn(low_data(idle, Naming(idle))).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    whole = replace(results, columns=results.columns[2:])
    assert "--budget" in reason(low_data(whole, Naming(whole)))


def test_layers_are_drawn_in_their_order() -> None:
    models = [f"hear.mae[layer={name}]" for name in ("patch", "block10", "block2")]
    column = Column("esc50", "top1_acc", "ESC-50")
    scores = {model: {"esc50": [0.1 * i, 0.1 * i]} for i, model in enumerate(models, 1)}
    marks = dict.fromkeys(models, "random init")
    results = ScoreTable(["hear.naive", *models], [column], scores, marks, [], specs=specs(models))
    figure = drawn(layers(results, Naming(results))).figure
    line = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(orig=False), [10, 20, 30])
    assert figure.axes[0].containers[0].get_label() == "mae †"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["patch", "block10", "block2"]
    assert "--layers" in reason(layers(replace(results, models=["hear.naive"]), Naming(results)))


def test_the_front_is_what_nothing_beats() -> None:
    points = [Point("a", 1, 50), Point("b", 2, 70), Point("c", 3, 60), Point("d", 3, 70), Point("e", 4, 90)]
    assert [point.name for point in front(points)] == ["a", "b", "e"]


def test_scores_against_costs_show_what_is_known() -> None:
    results = results_of(4, 2)
    costs = costs_of(results) | {results.models[1]: ModelCost()}
    drawing = drawn(against_parameters(results, Naming(results), costs))
    assert "encoder_1" in drawing.caption
    axes = drawing.figure.axes[0]
    places = sorted(
        (c.lines[0].get_xdata(orig=False)[0], c.lines[0].get_ydata(orig=False)[0]) for c in axes.containers
    )
    shown = [model for i, model in enumerate(results.models) if i != 1]
    expected = sorted((costs[model].parameters / 1e6, results.average(model)) for model in shown)
    np.testing.assert_allclose(places, expected)
    assert {text.get_text() for text in axes.texts} == {"encoder_0", "encoder_2", "encoder_3 †"}
    assert "Fewer than two models" in reason(against_parameters(results, Naming(results), {}))


@pytest.mark.parametrize("least", [17, 85_297_920])
@pytest.mark.parametrize("apart", [1.05, 1.2, 3, 9, 40, 299, 5000])
def test_costs_far_apart_have_labels_that_do_not_meet(apart: float, least: int) -> None:
    results = results_of(3, 1)
    numbers = dict(zip(results.models, (least, least * apart**0.5, 1 + least * apart), strict=True))
    costs = {model: ModelCost(int(number)) for model, number in numbers.items()}
    figure = drawn(against_parameters(results, Naming(results), costs)).figure
    assert overlapping(figure) == []
    low, high = figure.axes[0].get_xlim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_xticks()) >= 2


def test_costs_that_are_nearly_the_same_are_not_drawn() -> None:
    results = results_of(2, 1)
    costs = dict(zip(results.models, (ModelCost(5_399_232), ModelCost(5_399_616)), strict=True))
    assert "about the same" in reason(against_parameters(results, Naming(results), costs))


def test_layers_have_no_parameters_of_their_own() -> None:
    results = results_of(3, 1, models=["m[layer=a]", "m[layer=b]", "m[layer=c]"], marks={})
    scores = {model: {"task0-sample": [0.1, 0.2]} for model in results.models}
    results = replace(results, scores=scores)
    names = {figure.name: figure for figure in draw_figures(results, costs_of(results), None)}
    assert isinstance(names["score_parameters"], LeftOut)


def test_costs_come_from_run_json() -> None:
    run = {"models": [{"label": "a", "parameters": 3}, {"label": "b", "parameters": None}]}
    assert model_costs(run) == {"a": ModelCost(3), "b": ModelCost()}


def test_spread_keeps_the_order_and_the_gap() -> None:
    places = spread_labels([0.0, 0.01, 0.5, 0.99, 1.0], 0.1)
    assert np.diff(places).min() >= 0.1 - 1e-12
    assert min(places) >= 0
    assert max(places) <= 1
    assert places[2] == 0.5


def test_the_rank_diagram_has_axis_groups_and_names() -> None:
    results = results_of(4, 2)
    drawing = drawn(critical_difference(ranks_of(results), Naming(results)))
    axes = drawing.figure.axes[0]
    groups = [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2.5]
    assert groups == [[1, 2], [2, 3]]
    assert "rejects" in drawing.caption
    assert "CD = 1.50" in words(drawing.figure)
    assert [text.get_text() for text in axes.texts][1:] == [
        "encoder_0  1.00",
        "encoder_1  2.00",
        "encoder_3 †  4.00",
        "encoder_2  3.00",
    ]
    blunt = replace(ranks_of(results), critical_difference=3.2)
    assert "tells none apart" in reason(critical_difference(blunt, Naming(results)))
    assert "three models" in reason(critical_difference(None, Naming(results)))


def test_short_names_stay_different() -> None:
    labels = ["a.net", "b.net", "c.net@/x/one.pt", "c.other[layer=b1]", "c.other[layer=b2]", "z" * 60]
    names = short_names(specs(labels))
    assert names["c.other[layer=b1]"] == "other[layer=b1]"
    assert names["c.net@/x/one.pt"] == "net@one"
    assert names["a.net"] == "a.net"
    assert len(set(names.values())) == len(labels)
    alike = short_names(specs(f"{'x' * 40}{i}{'y' * 40}" for i in range(3)))
    assert len(set(alike.values())) == 3
    assert max(map(len, alike.values())) <= 26


def test_chunks_are_nearly_equal() -> None:
    assert [len(part) for part in chunks(list(range(19)), 15)] == [10, 9]
    assert chunks([1], 5) == [[1]]


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    results = results_of(3, 1, n_seeds=1)
    first = write_figures(results, tmp_path / "a", ranks=ranks_of(results))
    second = write_figures(results, tmp_path / "b", ranks=ranks_of(results))
    assert first
    for one, two in zip(first, second, strict=True):
        assert one.png.read_bytes() == two.png.read_bytes()
        assert one.svg.read_bytes() == two.svg.read_bytes()
    notes = (tmp_path / "a" / "figures.md").read_text(encoding="utf-8")
    assert "![bars](bars.png)" in notes
    assert "- low_data: " in notes
    assert "- encoder_0: laboratory.models.encoder_0@/data/checkpoints/last.pt" in notes


def test_results_without_any_score_leave_all_out(tmp_path: Path) -> None:
    drawn_before = write_figures(results_of(1, 1, n_seeds=1), tmp_path)
    assert [(saved.png.name, saved.svg.name) for saved in drawn_before] == [("bars.png", "bars.svg")]
    (tmp_path / "mine.png").write_bytes(b"not a figure of the run")
    empty = replace(results_of(3, 2), scores={})
    assert write_figures(empty, tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"figures.json", "figures.md", "mine.png"}
    assert "No model has finished a task" in (tmp_path / "figures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "listed", ["{", "[]", '{"drawn": 3}', '{"drawn": {"../mine": ""}}', '{"drawn": [7]}']
)
def test_a_strange_list_of_earlier_figures_removes_nothing(tmp_path: Path, listed: str) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "mine.png").write_bytes(b"not a figure of the run")
    (tmp_path / "figures" / "figures.json").write_text(listed)
    assert write_figures(results_of(1, 1, n_seeds=1), tmp_path / "figures")
    assert (tmp_path / "mine.png").exists()


def test_matplotlib_is_loaded_only_to_draw() -> None:
    program = "import sys, evaluation.run, evaluation.report.figures; print('matplotlib' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"
