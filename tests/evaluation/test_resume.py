"""The command resumes after anything: SIGKILL, Ctrl-C, more seeds, a second process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from children import kill, start, wait_for
from paths import MODELS, ROOT
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.probes.train import Trained
from evaluation.run import main
from evaluation.runs import train_job


def command(
    sample_tasks: Path, results: Path, cache: Path, *more: str
) -> AbstractContextManager[subprocess.Popen]:
    """Start the real command in a process of its own, which does not outlive its test."""
    environment = {**os.environ, "HEAR_MWMAE_CACHE": str(cache), "PYTHONPATH": f"{MODELS}{os.pathsep}{ROOT}"}
    tasks = ["--tasks", "BO", "NS-5h", "F50K", "--seeds", "6", "--max-memory", "0.02"]
    line = [sys.executable, "-m", "evaluation.run", *arguments(sample_tasks, results, *tasks, *more)]
    return start(line, env=environment, cwd=results)


def test_killed_at_several_moments_it_ends_with_the_same_table(sample_tasks: Path, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    with command(sample_tasks, straight, tmp_path / "cache-1") as process:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors

    cache = tmp_path / "cache-2"
    with command(sample_tasks, killed, cache) as process:
        wait_for(process, lambda: list(cache.glob("embeddings/*/.*.tmp")))
        kill(process)
    assert not ledger_lines(killed / "sample")
    for fits in (1, 20, 60):
        with command(sample_tasks, killed, cache) as process:
            wait_for(process, lambda fits=fits: len(ledger_lines(killed / "sample")) >= fits)
            kill(process)
    ledger = killed / "sample" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    with command(sample_tasks, killed, cache) as process:
        _, errors = process.communicate()
        assert process.returncode == 0, errors

    keys = [json.dumps(line["key"], sort_keys=True) for line in ledger_lines(killed / "sample")]
    assert len(keys) == len(set(keys)) == 84
    for name in ("table.md", "scores.csv", "summary.csv"):
        assert (killed / "sample" / "tables" / name).read_bytes() == (
            straight / "sample" / "tables" / name
        ).read_bytes()


def test_ctrl_c_says_how_to_go_on(sample_tasks: Path, tmp_path: Path) -> None:
    with command(sample_tasks, tmp_path, tmp_path / "cache") as process:
        wait_for(process, lambda: len(ledger_lines(tmp_path / "sample")) >= 10)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "To go on: python -m evaluation.run --tasks-dir" in errors
    assert "Traceback" not in errors
    assert "fits are in the ledger." in output or "Tables: " in output


def test_one_run_directory_is_written_by_one_process(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with command(sample_tasks, tmp_path, tmp_path / "cache") as process:
        wait_for(process, lambda: ledger_lines(tmp_path / "sample"))
        assert main(arguments(sample_tasks, tmp_path, "--tasks", "BO")) == 2
        assert "another process is writing" in capsys.readouterr().err


def test_more_seeds_train_only_the_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    more = ("--preset", "quick")
    assert main(arguments(tmp_path / "tasks", tmp_path, *more, "--seeds", "2")) == 0
    before = ledger_lines(tmp_path / "default")
    stacks: list[int] = []
    train = train_job.train_stacks

    def counted(given: list, *others: object) -> Iterator[Trained]:
        stacks.extend(len(stack.fits) for stack in given)
        return train(given, *others)

    monkeypatch.setattr(train_job, "train_stacks", counted)
    assert main(arguments(tmp_path / "tasks", tmp_path, *more, "--seeds", "3")) == 0
    assert stacks == [1, 1], "one new seed for each of two models"
    assert ledger_lines(tmp_path / "default")[: len(before)] == before
    assert len(ledger_lines(tmp_path / "default")) == len(before) * 3 // 2


def test_no_resume_sets_the_old_ledger_aside_once_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1")
    run = tmp_path / "default"
    assert main(line) == 0
    first = (run / "ledger.jsonl").read_text()
    assert main([*line, "--no-resume", "--plan-only"]) == 0
    assert "fits done: 0 of 1" in capsys.readouterr().out
    assert main([*line, "--no-resume", "--models", "no_such_module"]) == 2
    assert (run / "ledger.jsonl").read_text() == first
    assert main([*line, "--no-resume"]) == 0
    assert (run / "ledger.1.jsonl").read_text() == first
    assert (run / "details.1.jsonl").exists()
    assert len(ledger_lines(run)) == 2

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    capsys.readouterr()
    monkeypatch.setattr("evaluation.runs.execute.run_job", interrupt)
    assert main([*line, "--no-resume"]) == 130
    assert "--no-resume" not in capsys.readouterr().err
