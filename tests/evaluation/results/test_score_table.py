"""A run read back from its directory, and several runs as one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from run_helpers import TWO, arguments

from evaluation.cli.run_options import options_of_arguments
from evaluation.cli.run_parser import run_parser
from evaluation.errors import EvaluationError
from evaluation.results.reading import merge_runs, read_run
from evaluation.results.score_table import Column, ScoreTable
from evaluation.run import main
from evaluation.runs.plan import prepare

FAST = ("--seeds", "2", "--probe", "max_epochs=3")
"""Enough to have folds, seeds and scores."""


@pytest.mark.parametrize(
    "options",
    [
        ("--tasks", "BO", "VL", *FAST),
        ("--tasks", "BO", "--preset", "hear2021-faster", "--seeds", "2"),
        ("--tasks", "BO", "F50K", "--head", "knn", "--budget", "50", "100"),
    ],
)
def test_a_run_is_read_back_as_it_was(sample_tasks: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    line = arguments(sample_tasks, tmp_path, *options)
    assert main(line) == 0
    session = prepare(options_of_arguments(run_parser().parse_args(line))[0])
    for job in session.jobs:  # by the rule that training follows, not by the one under test
        assert session.results().scores[job.model][job.label] == job.seed_scores(session.ledger)
    assert read_run(tmp_path / "sample") == session.results()
    assert read_run(tmp_path / "sample").synthetic
    assert all(column.published == "" for column in read_run(tmp_path / "sample").columns)


def test_a_run_cut_short_gives_what_is_finished(sample_tasks: Path, tmp_path: Path) -> None:
    assert main(arguments(sample_tasks, tmp_path, "--tasks", "VL", *FAST)) == 0
    ledger = tmp_path / "sample" / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join(lines)[:-40])
    whole = [
        model
        for model in TWO
        if "vox_lingua_top10-sample" in read_run(tmp_path / "sample").scores.get(model, {})
    ]
    assert whole == [TWO[0]]


def test_a_damaged_directory_is_one_sentence(sample_tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"it has no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"results": {"jobs": 3')
    with pytest.raises(EvaluationError, match="not what this version writes"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"preset": "mwmae"}')
    with pytest.raises(EvaluationError, match="trains nothing again"):
        read_run(tmp_path)


def run(**changes: object) -> ScoreTable:
    column = Column("esc50", "top1_acc", "ESC-50", published="ESC-50")
    result = ScoreTable(["a"], [column], {"a": {"esc50": [0.5, 0.6]}}, {}, ["note"], (), "mwmae", {"a": "1"})
    return replace(result, **changes)


def test_runs_join() -> None:
    other = Column("vox", "top1_acc", "VL", published="VL")
    second = run(models=["b", "a"], columns=[other], scores={"b": {"vox": [0.1]}, "a": {"vox": [0.2]}})
    both = merge_runs([run(), second, run()])
    assert both.models == ["a", "b"]
    assert [column.task for column in both.columns] == ["esc50", "vox"]
    assert both.scores == {"a": {"esc50": [0.5, 0.6], "vox": [0.2]}, "b": {"vox": [0.1]}}
    assert both.notes == ["note"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"protocol": "quick"}, "different protocols"),
        ({"synthetic": True}, "synthetic sample tasks and real tasks"),
        ({"scores": {"a": {"esc50": [0.5, 0.7]}}}, "a has other scores on esc50"),
        ({"fingerprints": {"a": "2"}}, "model a has other weights"),
        ({"columns": [Column("esc50", "top1_acc", "ESC-50")]}, "task esc50 is scored differently"),
    ],
)
def test_what_cannot_be_joined_is_said(changes: dict, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        merge_runs([run(), run(**changes)])


def test_the_same_rate_of_a_task_must_have_the_same_content() -> None:
    one, two = run(digests={("esc50", 16000): "x"}), run(digests={("esc50", 16000): "y"})
    with pytest.raises(EvaluationError, match="task esc50 has other content"):
        merge_runs([one, two])
    assert merge_runs([one, run(digests={("esc50", 32000): "y"})]).digests[("esc50", 32000)] == "y"


def test_run_json_stays_readable(sample_tasks: Path, tmp_path: Path) -> None:
    assert main(arguments(sample_tasks, tmp_path, "--tasks", "VL", *FAST)) == 0
    content = json.loads((tmp_path / "sample" / "run.json").read_text())["results"]
    assert [job["column"]["short"] for job in content["jobs"]] == ["VL-sample"] * 2
