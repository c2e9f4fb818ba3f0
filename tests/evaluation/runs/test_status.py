"""What `hear-eval status` says of runs that are complete, stopped half-way, failed, or none at all."""

from pathlib import Path

import pytest
from paths import MODELS
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.cli.command import run_command
from evaluation.cli.status import main
from evaluation.results.run_file import read_run_file
from evaluation.run import main as run_main
from evaluation.runs.status import run_status


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete run of two models on two tasks, of which one has folds."""
    monkeypatch.syspath_prepend(str(MODELS))
    folds = {"split_mode": "new_split_kfold", "splits": ["fold00", "fold01", "fold02"], "nfolds": 3}
    make_task(tmp_path / "tasks" / "folds-v1-full", rate=16000, clips=6, task_name="folds", **folds)
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    assert run_main(arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2")) == 0
    return tmp_path / "default"


def _keep(run: Path, wanted: int) -> None:
    """Cut the ledger after so many lines, as if the run had been stopped there."""
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    (run / "ledger.jsonl").write_text("".join(lines[:wanted]))


def test_a_complete_run_is_said_to_be_complete(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(run)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("done  ") + shown.count("done\n") >= 4
    assert "Fits: 16 of 16 done" in shown
    assert "Time left" not in shown


def test_what_is_missing_is_counted_and_its_time_estimated(run: Path, capsys: pytest.CaptureFixture) -> None:
    _keep(run, 4)
    lines = ledger_lines(run)
    assert {line["task"] for line in lines} == {"folds-v1-full"}
    status = run_status(run)
    cells = {(job.model, job.task): job.cell for job in status.jobs}
    assert cells == {
        ("band_energy", "folds-v1-full"): "4 of 6",
        ("band_energy", "tiny-v1-full"): "missing",
        ("one_by_one", "folds-v1-full"): "missing",
        ("one_by_one", "tiny-v1-full"): "missing",
    }
    per_fit = sum(line["seconds"] for line in lines) / 4
    left = {(job.model, job.task): job.seconds_left for job in status.jobs}
    assert left["band_energy", "folds-v1-full"] == pytest.approx(2 * per_fit)
    assert left["band_energy", "tiny-v1-full"] == pytest.approx(2 * per_fit)
    dims = {"band_energy": 32, "one_by_one": run_dim(run, "one_by_one")}
    expected = 6 * per_fit * dims["one_by_one"] / dims["band_energy"]
    assert left["one_by_one", "folds-v1-full"] == pytest.approx(expected)
    assert main([str(run)]) == 1
    assert "an estimate from the finished fits" in capsys.readouterr().out


def run_dim(run: Path, model: str) -> int:
    return {item["label"]: item["dim"] for item in read_run_file(run)["models"]}[model]


def test_nothing_finished_leaves_the_time_unknown(run: Path, capsys: pytest.CaptureFixture) -> None:
    _keep(run, 0)
    assert main([str(run)]) == 1
    assert "Time left: unknown" in capsys.readouterr().out


def test_a_failure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    root = make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    make_task(tmp_path / "tasks" / "well-v1-full", rate=16000, clips=6, task_name="well")
    bad = root / "16000" / "test" / "test-3.wav"
    bad.write_bytes(bad.read_bytes()[:44])
    line = arguments(
        tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2", models=("band_energy",)
    )
    assert run_main(line) == 1
    capsys.readouterr()
    assert main([str(tmp_path / "default")]) == 1
    shown = capsys.readouterr().out
    assert "tiny-v1-full  failed" in shown
    assert "well-v1-full  done" in shown
    assert shown.count("failed: band_energy on tiny-v1-full: ") == 1
    assert "Fits: 2 of 4 done" in shown


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} is not the directory of a run")


def test_ctrl_c_and_a_refusing_disk_are_one_sentence(capsys: pytest.CaptureFixture) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    def refused() -> int:
        raise PermissionError(13, "Permission denied", "/there/report.html")

    assert run_command(interrupted, "stopped; go on.") == 130
    assert capsys.readouterr().err == "\nstopped; go on.\n"
    assert run_command(refused) == 2
    assert capsys.readouterr().err == "error: Permission denied (/there/report.html)\n"
