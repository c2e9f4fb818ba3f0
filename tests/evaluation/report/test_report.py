"""Own rows beside the published ones, the report's files, and what must never be mixed."""

import csv
import html
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import MODELS
from run_helpers import arguments
from specs import specs
from tiny_task import make_task

from evaluation.cli.report import main
from evaluation.errors import EvaluationError
from evaluation.models.systems import SYSTEMS
from evaluation.report.own_rows import OUTSIDE, comparable_scores, counterparts, own_tables, pool_and_scores
from evaluation.report.sheet import Cell
from evaluation.report.statistics import COVERS
from evaluation.results.reading import read_run
from evaluation.results.score_table import Column, ScoreTable
from evaluation.run import main as run_main
from evaluation.runs.columns import published_name, short_name
from evaluation.statistics.overall import overall_score
from evaluation.statistics.pools import paper_pool
from evaluation.statistics.published import TASKS, published_directory, read_published
from tasks import PAPER_TASKS, read_task

PUBLISHED = published_directory()
NAIVE = "evaluation.baselines.hear_naive"


def like_published(name: str, shift: float = 0.0) -> dict[str, list[float]]:
    """Return ten seeds whose means and intervals are those of a published row, the means shifted."""
    row = next(row for row in read_published(PUBLISHED, 1).rows if row.name == name)
    unit = np.array([-1.5, -1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1, 1.5])
    unit = unit / (2.2621571628 * unit.std(ddof=1) / math.sqrt(10))
    return {
        f"{task}-dir": ((cell.mean + shift + cell.half_width * unit) / 100).tolist()
        for task, cell in row.cells.items()
        if task in TASKS
    }


def run(**changes: object) -> ScoreTable:
    columns = [Column(f"{task}-dir", "top1_acc", task, published=task) for task in TASKS]
    scores = {NAIVE: like_published("HEAR-Naive"), "mine": like_published("MW-MAE-B-4x16-4l", 1.0)}
    return replace(ScoreTable(list(scores), columns, scores, {}, ["A note."], protocol="quick"), **changes)


def test_own_rows_stand_below_the_row_that_they_stand_for() -> None:
    table, differences = own_tables(run(), PUBLISHED, pool="paper", rows={"mine": "MW-MAE-B-4x16-4l"})
    names = [row[0] for row in table.rows]
    assert names[names.index("> hear_naive") - 1] == "HEAR-Naive"
    assert names[names.index("> mine") - 1] == "MW-MAE-B-4x16-4l"
    mine = {row[2]: row for row in differences.rows if row[0] == "mine"}
    assert set(mine) == set(TASKS)
    assert mine["CD"][5].mean == pytest.approx(1.0)
    assert mine["CD"][6].mean == pytest.approx(0.3 * math.sqrt(2), rel=1e-6)
    assert {task: row[7] for task, row in mine.items() if not row[7]} == {"VL": ""}, "1 < sqrt(2) * 0.9"
    assert mine["CD"][7] == OUTSIDE
    naive = [row for row in differences.rows if row[0] == "hear_naive"]
    assert not any(row[7] for row in naive)
    assert "A note." in table.notes
    assert any("made by the protocol quick" in note for note in table.notes)


def test_own_s_m_against_the_published_rows_is_near_the_printed_one() -> None:
    pool, scores = pool_and_scores(run(), "paper", PUBLISHED)
    own = overall_score(scores, pool, extremes="runs")
    assert own[NAIVE].mean == pytest.approx(5.0, abs=0.3)
    assert pool.digest == paper_pool(PUBLISHED).digest
    both, _ = pool_and_scores(run(), "paper+run", PUBLISHED)
    assert len(both.rows) == 41
    assert both.digest != pool.digest


def test_samples_and_parts_never_stand_beside_published_numbers() -> None:
    samples = run(columns=[replace(column, published="") for column in run().columns])
    assert own_tables(samples, PUBLISHED, pool="paper", rows={}) == []
    assert comparable_scores(samples) == {NAIVE: {}, "mine": {}}
    for pool in ("paper", "paper+run"):
        with pytest.raises(EvaluationError, match="ten tasks"):
            pool_and_scores(samples, pool, PUBLISHED)


@pytest.mark.parametrize(
    "changes",
    [
        {"synthetic": True},
        {"part_of": "half of it"},
        {"extra": {"build_notes": ["the folds are not those of HEAR's archive"]}},
        {"mode": "50h"},
        {"task_name": "esc50-part"},
        {"evaluation": ["mAP", "top1_acc"]},
    ],
)
def test_only_the_whole_real_task_is_the_published_one(changes: dict) -> None:
    esc50 = next(info.metadata for info in PAPER_TASKS if info.short_name == "ESC-50")
    assert published_name(esc50, esc50.evaluation[0], 100.0) == "ESC-50"
    assert published_name(esc50, esc50.evaluation[0], 50.0) == ""
    other = replace(esc50, **changes)
    assert published_name(other, other.evaluation[0], 100.0) == ""


def test_modes_of_a_task_have_names_of_their_own(tmp_path: Path) -> None:
    tables = {"nsynth_pitch": {"5h": "NS-5h", "50h": "NS-50h"}, "speech_commands": {"full": "SC-full"}}
    for task_name, modes in tables.items():
        for mode, name in modes.items():
            path = make_task(tmp_path / f"{task_name}-{mode}", task_name=task_name, mode=mode)
            assert short_name(read_task(path)) == name
    part = make_task(tmp_path / "p", task_name="nsynth_pitch-part", mode="part", part_of="12 of 5000 clips")
    assert short_name(read_task(part)) == "NS-5h-part"


def test_random_weights_and_other_layers_are_no_published_model() -> None:
    table = read_published(PUBLISHED, 1)
    models = ["hear_mwmae.mw_mae_b@w.safetensors", "hear_mwmae.mae_b", "hear_mwmae.mae_l_8l[layer=3]"]
    made = run(models=models, marks={"hear_mwmae.mae_b": "random init"}, specs=specs(models))
    assert counterparts(made, {}, table) == {models[0]: "MW-MAE-B-4x16-4l"}
    with pytest.raises(EvaluationError, match="has no row 'MAE'"):
        counterparts(made, {models[0]: "MAE"}, table)
    with pytest.raises(EvaluationError, match="names the model x"):
        counterparts(made, {"x": "HEAR-Naive"}, table)


def test_every_row_of_table_1_has_a_module() -> None:
    rows = {row.name for row in read_published(PUBLISHED, 1).rows}
    assert {system.row for system in SYSTEMS if system.row} == rows


def test_the_report_of_a_run(
    sample_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    line = arguments(sample_tasks, tmp_path, "--tasks", "SC-5h", "VL", "--seeds", "2")
    assert run_main([*line, "--report"]) == 0
    assert "report.html" in capsys.readouterr().out
    directory = tmp_path / "sample"
    before = {path.name: path.read_bytes() for path in (directory / "tables").iterdir()}
    (directory / "tables" / "differences.csv").write_text("of an earlier report with --row")
    assert main([str(directory)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (directory / "tables").iterdir()} == before
    names = {path.name for path in (directory / "tables").iterdir()}
    assert {
        "table.tex",
        "overall.md",
        "overall.csv",
        "overall.tex",
        "statistics.md",
        "statistics.csv",
    } <= names
    assert not {"table1.md", "differences.md"} & names
    page = (directory / "report.html").read_text()
    assert "Synthetic sample tasks" in page
    assert "--save-predictions" in page, "how to get the clips that are not there"
    assert "2 seeds are too few for tests between models on one task" in page
    assert all(sentence in html.unescape(page) for sentence in COVERS)
    with open(directory / "tables" / "overall.csv", newline="") as file:
        (pool,) = {line["pool"] for line in csv.DictReader(file)}
    assert pool == read_run(directory).run_pool().title
    assert main([str(directory), "--paper-pool"]) == 2
    assert main([str(directory), "--score", "superb"]) == 2
    assert "needs HEAR-Naive in the pool" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    directory.parent.joinpath("results").mkdir()
    directory.rename(tmp_path / "results" / "second")
    assert main(["second"]) == 0, "a bare name is that of a run in results/"
    assert str(Path("results", "second", "report.html")) in capsys.readouterr().out


@pytest.mark.parametrize("shift", [1.0, -60.0])
def test_the_score_asked_for_is_shown_or_why_not(
    shift: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    made = run(columns=[replace(column, published="") for column in run().columns])
    made.scores["mine"] |= like_published("HEAR-Naive", shift)
    monkeypatch.setattr("evaluation.report.write.read_run", lambda directory: made)
    monkeypatch.setattr("evaluation.report.write.write_html", lambda *args, **options: None)
    monkeypatch.setattr("evaluation.report.write._write_report_figures", lambda *args: [])
    assert main([str(tmp_path), "--score", "superb"]) == 0
    shown = capsys.readouterr().out
    assert ("Overall score relative to HEAR-Naive" in shown) == (shift > 0)
    assert ("left out: overall score: no model is better than HEAR-Naive" in shown) == (shift < 0)
    assert (tmp_path / "tables" / "overall.md").exists() == (shift > 0)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ([], "name a run"),
        (["nowhere"], "is not the directory of a run"),
        (["nowhere", "--paper"], "takes no RUN"),
        (["nowhere", "--row", "x"], "give MODEL=ROW"),
    ],
)
def test_mistakes_are_one_sentence(line: list[str], sentence: str, capsys: pytest.CaptureFixture) -> None:
    assert main(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert sentence in error


def test_cells_print_like_the_paper() -> None:
    assert Cell(52.61, 2.44).text == "52.6 ± 2.4"
    assert Cell(60.6).text == "60.6"
    assert Cell(-0.01).text == "0.0"
