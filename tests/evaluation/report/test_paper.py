"""The published tables made again: every cell as in the CSV, marks where the recomputed value differs."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.cli.report import main
from evaluation.errors import EvaluationError
from evaluation.escape import latex
from evaluation.report.paper import CAPTIONS, check_published, paper_tables
from evaluation.report.sheet import Cell, Sheet
from evaluation.statistics.intervals import Interval
from evaluation.statistics.published import published_directory, read_published

PUBLISHED = published_directory()


@pytest.fixture(scope="module")
def sheets() -> dict[str, Sheet]:
    return {sheet.name: sheet for sheet in paper_tables(PUBLISHED)}


def test_every_number_is_the_published_one(sheets: dict[str, Sheet]) -> None:
    assert list(sheets) == [f"table{number}" for number in (1, 2, 5, 6, 7, 8, 9, 10)]
    for number in CAPTIONS:
        with open(PUBLISHED / f"table{number}.csv", newline="") as file:
            published = [[cell for cell in line if cell] for line in csv.reader(file)][1:]
        written = csv.reader(sheets[f"table{number}"].csv().splitlines())
        header = next(written)
        kept = [i for i, name in enumerate(header) if "recomputed" not in name and not name.endswith("_mark")]
        ours = [[line[i] for i in kept if line[i]] for line in written]
        assert [[as_number(cell) for cell in line] for line in ours] == [
            [as_number(cell) for cell in line] for line in published
        ]


def as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def test_a_whole_row_averages_to_table_6(sheets: dict[str, Sheet]) -> None:
    sheet = sheets["table6"]
    row = dict(zip(sheet.header, sheet.rows[3], strict=True))
    by_hand = (93.1 + 66.9 + 60.1 + 62.4 + 93.9 + 77.4 + 42.0 + 87.6 + 34.2 + 53.6) / 10
    assert row["Model"] == "Wav2Vec2-large"
    assert row["Average, recomputed"].mean == pytest.approx(by_hand)
    assert row["Average"] == Cell(67.1, 0.2)


def test_nothing_published_is_off_by_more_than_rounding_explains(sheets: dict[str, Sheet]) -> None:
    marks = [
        entry.mark for s in sheets.values() for row in s.rows for entry in row if isinstance(entry, Cell)
    ]
    assert marks.count("‡") == 0
    assert marks.count("†") > 0


def test_a_wrong_digit_is_found(tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "wrong")
    table = tmp_path / "wrong" / "table1.csv"
    table.write_text(table.read_text().replace("67.3,0.3", "61.3,0.3", 1))
    sheet = paper_tables(tmp_path / "wrong")[0]
    marked = [row[0] for row in sheet.rows if any(isinstance(e, Cell) and e.mark == "‡" for e in row)]
    assert marked == ["MAE-B-4x16-4l"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("67.3,0.3", "nan,0.3", 1),
        lambda text: text.replace("67.3,0.3", "67.3,-inf", 1),
        lambda text: text.replace("67.3,0.3", "67.3", 1),
        lambda text: text.replace("model", "name", 1),
        lambda text: text.replace("BO_ci", "CD_ci", 1),
        lambda text: text.replace("67.3", "6" * 200_000, 1),
        lambda text: "",
        lambda text: text + "\x00\xff",
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, change: Callable[[str], str]) -> None:
    table = tmp_path / "table1.csv"
    text = (PUBLISHED / "table1.csv").read_text(encoding="utf-8")
    assert "67.3,0.3" in text
    table.write_bytes(change(text).encode("latin-1"))
    with pytest.raises(EvaluationError, match=r"table1\.csv cannot be read as a published table: "):
        read_published(tmp_path, 1)


def test_marks() -> None:
    assert check_published("average", Interval(67.5, 0.2, 10), Interval(67.45, 0.2, 10)).mark == ""
    assert check_published("average", Interval(67.5, 0.2, 10), Interval(67.42, 0.2, 10)).mark == "†"
    assert check_published("average", Interval(67.5, 0.2, 10), Interval(67.35, 0.2, 10)).mark == "‡"


def test_unreadable_cells_are_empty_and_listed(sheets: dict[str, Sheet]) -> None:
    with open(PUBLISHED / "unrecovered_cells.csv", newline="") as file:
        missing = {(line["model"], line["column"]) for line in csv.DictReader(file)}
    sheet = sheets["table1"]
    empty = {
        (row[0], sheet.header[i]) for row in sheet.rows for i, e in enumerate(row) if e is None and i < 14
    }
    halves = {("AudioMAE", "ESC-50_ci")}
    assert empty == {(m, c) for m, c in missing if c != "pt_data"} - halves
    assert all(f"{model} {column}" in sheet.notes[1] for model, column in missing)


def test_latex_is_booktabs_with_every_row_ended(sheets: dict[str, Sheet]) -> None:
    for sheet in sheets.values():
        lines = sheet.latex().splitlines()
        assert not lines[2].startswith(r"\caption{Table"), "LaTeX writes that itself"
        assert [line.partition("{")[0] for line in lines[3:5]] == [r"\resizebox", r"\begin"]
        assert r"\end{tabular}}" in lines
        body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
        rows = [line for line in body if line != r"\midrule"]
        assert len(rows) == len(sheet.rows) + 1
        assert all(r.endswith(r" \\") and r.count(" & ") == len(sheet.header) - 1 for r in rows)
        assert not any(line.count("%") > line.count(r"\%") for line in lines)
    assert latex("a_b & 10% ± $") == r"a\_b \& 10\% $\pm$ \$"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--paper", "--out", str(tmp_path / "paper")]) == 0
    written = {path.name for path in (tmp_path / "paper").iterdir()}
    assert {"table1.md", "table1.csv", "table1.tex", "table10.tex", "figure_2.png"} <= written
    assert main(["--paper", "--published", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "--published DIR" in capsys.readouterr().err
