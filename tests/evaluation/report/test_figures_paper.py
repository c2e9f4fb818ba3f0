"""Figure 2 and the published Pareto figure hold exactly the numbers of the CSV files."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import EvaluationError
from evaluation.report.figures import write_paper_figures
from evaluation.report.figures.paper import figure_2, published_parameters
from evaluation.report.figures.style import drawing_style
from evaluation.statistics.published import published_directory

PANELS = ((7, "patch_size"), (8, "encoder"), (9, "decoder_depth"), (10, "pretrain_data"))


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with drawing_style():
        yield


def rows_of(directory: Path, number: int) -> list[dict[str, str]]:
    with open(directory / f"table{number}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_figure_2_is_the_tables() -> None:
    figure = figure_2(published_directory()).figure
    assert len(figure.axes) == 4
    for axes, (number, column) in zip(figure.axes, PANELS, strict=True):
        rows = rows_of(published_directory(), number)
        for container in axes.containers:
            own = [row for row in rows if row["model"] == container.get_label()]
            assert len(own) >= 4
            line, _, (bars,) = container.lines
            np.testing.assert_array_equal(line.get_ydata(orig=False), [float(row["s(m)"]) for row in own])
            halves = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
            np.testing.assert_allclose(halves, [float(row["s(m)_ci"]) for row in own], atol=1e-9)
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert names == list(dict.fromkeys(row[column].replace("x", "×") for row in rows))


def test_an_unreadable_cell_is_a_gap(tmp_path: Path) -> None:
    shutil.copytree(published_directory(), tmp_path, dirs_exist_ok=True)
    rows = rows_of(tmp_path, 8)
    rows[4]["s(m)"] = rows[4]["s(m)_ci"] = ""
    with open(tmp_path / "table8.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    axes = figure_2(tmp_path).figure.axes[1]
    curve = next(c.lines[0] for c in axes.containers if c.get_label() == rows[4]["model"])
    assert np.isnan(curve.get_ydata(orig=False)).tolist() == [False, False, True, False, False]


def test_parameters_are_table_6() -> None:
    drawing = published_parameters(published_directory())
    known = [row for row in rows_of(published_directory(), 6) if row["params_m"]]
    points = [c.lines[0].get_xydata()[0].tolist() for c in drawing.figure.axes[0].containers]
    assert points == [[float(row["params_m"]), float(row["s(m)"])] for row in known]
    assert "HEAR-Naive" in drawing.caption


def test_files_are_written_and_missing_tables_named(tmp_path: Path) -> None:
    saved = write_paper_figures(published_directory(), tmp_path / "out")
    assert [(one.png.name, one.svg.name) for one in saved] == [
        ("figure_2.png", "figure_2.svg"),
        ("table_6_parameters.png", "table_6_parameters.svg"),
    ]
    with pytest.raises(EvaluationError, match=r"table7\.csv"):
        write_paper_figures(tmp_path, tmp_path / "other")
