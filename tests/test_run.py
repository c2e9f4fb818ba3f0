"""The command, end to end: tables, resuming after anything, and clear words for every mistake."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_task import make_task

from evaluation import session
from evaluation.run import main

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(__file__).parent / "models"
TWO = ("band_energy", "one_by_one")


@pytest.fixture(autouse=True)
def _models_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MODELS))


def arguments(tasks_dir: Path, results: Path, *more: str, models: tuple[str, ...] = TWO) -> list[str]:
    return ["--tasks-dir", str(tasks_dir), "--results", str(results), "--models", *models, *more]


def ledger_lines(directory: Path) -> list[dict]:
    path = directory / "ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def scores(directory: Path) -> dict[tuple[str, str], list[float]]:
    """Read scores.csv: (model, task) -> score per seed."""
    found: dict[tuple[str, str], list[float]] = {}
    with open(directory / "tables" / "scores.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["model"], row["task"]), []).append(float(row["score"]))
    return found


def test_ten_sample_tasks_two_models_three_seeds(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments(sample_tasks, tmp_path, "--seeds", "3")) == 0
    shown = capsys.readouterr().out
    run = tmp_path / "sample"
    assert shown.startswith("Plan: 2 models x 10 tasks x 3 seeds, preset quick (NOT the paper's protocol")
    assert "embedded: 0 of 10 tasks; fits done: 0 of 114" in shown
    for text in (shown, (run / "tables" / "table.md").read_text()):
        assert "ynthetic sample tasks, not comparable" in text
        assert "Preset quick" in text
        assert "pool: band_energy, one_by_one" in text.replace("\n", " ")
    assert len(ledger_lines(run)) == 228
    found = scores(run)
    assert len(found) == 20
    assert all(len(seeds) == 3 for seeds in found.values())
    band_energy = [np.mean(seeds) for (model, _), seeds in found.items() if model == "band_energy"]
    assert np.mean(band_energy) > 0.3, "32 band energies should tell the synthetic classes apart"
    assert json.loads((run / "run.json").read_text())["pool"] == list(TWO)

    assert main(arguments(sample_tasks, tmp_path, "--seeds", "3")) == 0
    again = capsys.readouterr().out
    assert "embedded: 10 of 10 tasks; fits done: 114 of 114" in again
    assert len(ledger_lines(run)) == 228
    assert scores(run) == found


def test_the_summary_agrees_with_the_ledger(tmp_path: Path) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    assert main(arguments(tmp_path / "tasks", tmp_path, "--seeds", "4", "--preset", "quick")) == 0
    run = tmp_path / "default"
    for (model, _), seeds in scores(run).items():
        expected = [
            line["scores"]["top1_acc"]
            for seed in range(4)
            for line in ledger_lines(run)
            if line["model"] == model and line["key"]["seed"] == seed
        ]
        assert seeds == expected


def test_the_papers_grid_picks_by_validation_and_averages_folds(tmp_path: Path) -> None:
    folds = [f"fold0{i}" for i in range(4)]
    changes = {"split_mode": "new_split_kfold", "splits": folds, "nfolds": 4}
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6, **changes)
    assert main(arguments(tmp_path / "tasks", tmp_path, "--seeds", "2", models=("band_energy",))) == 0
    lines = ledger_lines(tmp_path / "default")
    assert len(lines) == 2 * (2 + 3)
    for seed, reported in enumerate(scores(tmp_path / "default")["band_energy", "tiny-v1-full"]):
        mine = [line for line in lines if line["key"]["seed"] == seed]
        grid = [line for line in mine if line["key"]["test"] == "fold00"]
        assert {json.loads(line["key"]["config"])["dropout"] for line in grid} == {0.1, 0.25}
        others = [line for line in mine if line["key"]["test"] != "fold00"]
        (chosen,) = {line["key"]["config"] for line in others}
        (first,) = [line for line in grid if line["key"]["config"] == chosen]
        assert first["validation_score"] == max(line["validation_score"] for line in grid)
        expected = np.mean([line["scores"]["top1_acc"] for line in (first, *others)])
        assert reported == pytest.approx(expected)


def command(sample_tasks: Path, results: Path, cache: Path, *more: str) -> subprocess.Popen:
    """Start the real command in a process of its own."""
    environment = {**os.environ, "HEAR_MWMAE_CACHE": str(cache), "PYTHONPATH": f"{MODELS}{os.pathsep}{ROOT}"}
    tasks = ["--tasks", "BO", "NS-5h", "F50K", "--seeds", "6", "--max-memory", "0.02"]
    line = [sys.executable, "-m", "evaluation.run", *arguments(sample_tasks, results, *tasks, *more)]
    return subprocess.Popen(
        line, env=environment, cwd=results, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, happened, seconds: float = 120) -> None:
    """Wait until `happened()`, which must come before the process ends."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_at_several_moments_it_ends_with_the_same_table(sample_tasks: Path, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    process = command(sample_tasks, straight, tmp_path / "cache-1")
    errors = process.communicate()[1]
    assert process.returncode == 0, errors

    cache = tmp_path / "cache-2"
    process = command(sample_tasks, killed, cache)
    wait_for(process, lambda: list(cache.glob("embeddings/*/.*.tmp")))
    kill(process)
    assert not ledger_lines(killed / "sample")
    for fits in (1, 20, 60):
        process = command(sample_tasks, killed, cache)
        wait_for(process, lambda fits=fits: len(ledger_lines(killed / "sample")) >= fits)
        kill(process)
    ledger = killed / "sample" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    process = command(sample_tasks, killed, cache)
    _, errors = process.communicate()
    assert process.returncode == 0, errors

    keys = [json.dumps(line["key"], sort_keys=True) for line in ledger_lines(killed / "sample")]
    assert len(keys) == len(set(keys)) == 84
    for name in ("table.md", "scores.csv", "summary.csv"):
        assert (killed / "sample" / "tables" / name).read_bytes() == (
            straight / "sample" / "tables" / name
        ).read_bytes()


def test_ctrl_c_says_how_to_go_on(sample_tasks: Path, tmp_path: Path) -> None:
    process = command(sample_tasks, tmp_path, tmp_path / "cache")
    wait_for(process, lambda: len(ledger_lines(tmp_path / "sample")) >= 10)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "To go on: python -m evaluation.run --tasks-dir" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "sample" / "tables" / "table.md").exists()


def test_one_run_directory_is_written_by_one_process(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    process = command(sample_tasks, tmp_path, tmp_path / "cache")
    wait_for(process, lambda: ledger_lines(tmp_path / "sample"))
    assert main(arguments(sample_tasks, tmp_path, "--tasks", "BO")) == 2
    assert "another process is writing" in capsys.readouterr().err
    kill(process)


def test_more_seeds_keep_the_finished_ones(tmp_path: Path) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    more = ("--preset", "quick")
    assert main(arguments(tmp_path / "tasks", tmp_path, *more, "--seeds", "2")) == 0
    before = ledger_lines(tmp_path / "default")
    assert main(arguments(tmp_path / "tasks", tmp_path, *more, "--seeds", "3")) == 0
    assert ledger_lines(tmp_path / "default")[: len(before)] == before
    assert len(ledger_lines(tmp_path / "default")) == len(before) * 3 // 2


def test_no_resume_sets_the_old_ledger_aside(tmp_path: Path) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1")
    assert main(line) == 0
    first = (tmp_path / "default" / "ledger.jsonl").read_text()
    assert main([*line, "--no-resume"]) == 0
    assert (tmp_path / "default" / "ledger.1.jsonl").read_text() == first
    assert len(ledger_lines(tmp_path / "default")) == 2


def test_one_bad_task_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("tiny-v1-full", "wrong-v1-full"):
        make_task(tmp_path / "tasks" / name, rate=16000, clips=6, task_name=name.split("-")[0])
    bad = tmp_path / "tasks" / "tiny-v1-full" / "16000" / "test" / "test-3.wav"
    bad.write_bytes(bad.read_bytes()[:44])
    line = arguments(
        tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2", models=("band_energy",)
    )
    assert main(line) == 1
    assert "failed: band_energy on tiny-v1-full:" in (errors := capsys.readouterr().err)
    assert "test-3.wav is empty" in errors
    assert list(scores(tmp_path / "default")) == [("band_energy", "wrong-v1-full")]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--tasks", "ESC-51"], "there is no task 'ESC-51'"),
        (["--tasks-dir", "nowhere"], "nowhere does not exist"),
        (["--preset", "slow"], "there is no preset 'slow'; choose one of: mwmae, quick"),
        (["--models", "no_such_module"], "there is no module 'no_such_module'"),
        (["--models", "json"], "it has no function load_model"),
        (
            ["--models", "band_energy@nowhere.pt"],
            "the weights 'nowhere.pt' given for band_energy do not exist",
        ),
        (["--models", "faulty", "--model-options", '{"fault": "untrained"}'], "add --allow-random-init"),
        (["--model-options", "{fault}"], "--model-options is not JSON"),
        (["--seeds", "0"], "at least one seed"),
        (["--run", "a/b"], "use letters, digits"),
        (["--device", "abacus"], "the device 'abacus' cannot be used"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, more: list[str], sentence: str
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    assert main([*arguments(tmp_path / "tasks", tmp_path, models=("band_energy",)), *more]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert sentence in errors
    assert errors.count("\n") == 1


def test_random_weights_are_marked_in_every_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    options = ["--model-options", '{"fault": "untrained"}', "--allow-random-init", "--preset", "quick"]
    line = arguments(tmp_path / "tasks", tmp_path, "--seeds", "2", *options, models=("faulty",))
    assert main(line) == 0
    tables = tmp_path / "default" / "tables"
    assert "faulty[fault=untrained] (random init)" in capsys.readouterr().out
    assert "(random init)" in (tables / "table.md").read_text()
    assert "random init" in (tables / "scores.csv").read_text()
    assert "random init" in (tables / "summary.csv").read_text()


def test_synthetic_and_real_tasks_do_not_mix(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    real = make_task(tmp_path / "tiny-v1-full", rate=16000)
    assert main(arguments(sample_tasks, tmp_path, "--tasks", "BO", str(real))) == 2
    assert "cannot share a run" in capsys.readouterr().err


def test_timestamp_tasks_are_refused_not_misread(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, embedding_type="event")
    for split in ("train", "valid", "test"):
        names = json.loads((root / f"{split}.json").read_text())
        events = {name: [{"label": "2", "start": 0.0, "end": 50.0}] for name in names}
        (root / f"{split}.json").write_text(json.dumps(events))
    assert main(arguments(tmp_path / "tasks", tmp_path)) == 2
    assert "tiny-v1-full is a timestamp task" in capsys.readouterr().err


def test_a_full_disk_is_said_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(session.shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert main(line) == 2
    assert "GB free; make room or choose another place with --cache" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(MODELS))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "ledger.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr("evaluation.ledger.os.fsync", full)
        assert main(line) == 2
    errors = capsys.readouterr().err
    assert "the disk is full while writing ledger.jsonl; make room, then go on with: python -m" in errors
    assert main(line) == 0


def test_help_shows_examples(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "python -m evaluation.run --tasks all" in capsys.readouterr().out
