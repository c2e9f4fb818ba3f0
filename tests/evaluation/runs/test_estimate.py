"""`hear-eval plan`: what is there, whether it suffices, and an estimate that follows the work."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from event_task import make_event_task
from paths import MODELS, ROOT
from run_helpers import arguments
from tiny_task import make_task

from evaluation.cli import plan_check as plan
from evaluation.cli.plan import main
from evaluation.cli.run_options import options_of_arguments
from evaluation.cli.run_parser import run_parser
from evaluation.run import main as run_main
from evaluation.runs import estimate as estimating
from evaluation.runs.plan import prepare


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    monkeypatch.setattr(estimating, "MEASURED_SECONDS", 2.0)


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=12)
    return arguments(tmp_path / "tasks", tmp_path, "--seeds", "3", models=("band_energy",))


def estimate(line: list[str]) -> estimating.Estimate:
    options, _ = options_of_arguments(run_parser().parse_args(line))
    (found,) = estimating.estimates(prepare(options), 2.0)
    return found


def test_the_command_says_data_disk_memory_and_time(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert "Plan: 1 model x 1 task x 3 seeds" in shown
    assert "Data:   all 36 clips that the lists of one task name are there." in shown
    assert re.search(r"Disk:   0\.00 GB to be written, .* enough\n", shown)
    assert re.search(r"Memory: up to 1\.5 GB .*\n", shown)
    assert re.search(r"Time:   an estimate from \d+ s", shown)
    assert re.search(r"in all: \d+:\d\d:\d\d", shown)
    assert not (tmp_path / "default").exists(), "nothing is written"


def test_the_longest_time_is_the_shortest_times_the_epochs(line: list[str]) -> None:
    found = estimate([*line, "--probe", "hidden_dim=8"])
    assert found.embedding > 0
    assert found.longest / found.shortest == pytest.approx(500 / 63)


def test_the_estimate_follows_the_number_of_fits(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "_epoch_seconds", lambda job, device: 0.5)
    found = estimate([*line, "--preset", "quick"])
    assert found.shortest == pytest.approx(3 * 9 * 0.5)
    found = estimate([*line, "--preset", "mwmae", "--seeds", "5"])
    assert found.shortest == pytest.approx(5 * 2 * 63 * 0.5)
    assert found.longest == pytest.approx(5 * 2 * 500 * 0.5)


def test_embedding_time_goes_with_the_sound(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(estimating.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(estimating, "_training_seconds", lambda *_: (0.0, 0.0))
    found = estimate(line)
    header = 44
    sound = 36 * (0.25 * 16000 * 2 + header) / 32000
    assert found.embedding == pytest.approx(1.0 / (12 * 0.25) * sound), "one tick for 12 clips"


def test_layers_are_embedded_in_one_pass(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "_training_seconds", lambda *_: (0.0, 0.0))
    place = line.index("band_energy")
    options, _ = options_of_arguments(
        run_parser().parse_args([*line[:place], "layered", *line[place + 1 :], "--layers", "all"])
    )
    first, *others = estimating.estimates(prepare(options), 2.0)
    assert first.embedding > 0
    assert [other.embedding for other in others] == [0.0, 0.0]


def test_a_module_for_single_clips_is_measured_too(line: list[str]) -> None:
    place = line.index("band_energy")
    assert main([*line[:place], "one_by_one", *line[place + 1 :], "--preset", "quick"]) == 0


def test_a_model_that_fails_is_named_and_the_others_are_measured(
    line: list[str], capsys: pytest.CaptureFixture
) -> None:
    place = line.index("band_energy")
    options = ["--model-options", 'faulty={"fault": "crash"}']
    assert main([*line[:place], "faulty", *line[place:], *options, "--preset", "quick"]) == 1
    shown = capsys.readouterr()
    assert "failed: faulty" in shown.err
    assert "RuntimeError: kernel too large" in shown.err
    assert "band_energy: embedding 0:00:" in shown.out


def test_what_is_done_takes_no_more_time(line: list[str], capsys: pytest.CaptureFixture) -> None:
    assert run_main([*line, "--preset", "quick"]) == 0
    capsys.readouterr()
    assert main([*line, "--preset", "quick"]) == 0
    assert "in all: 0:00:00\n" in capsys.readouterr().out


def test_what_a_regression_needs_only_once_is_not_multiplied(line: list[str]) -> None:
    """Loading the search takes seconds, and one pass over these few rows none of them."""
    found = estimate([*line, "--preset", "quick", "--head", "linear"])
    assert 0 < found.shortest < found.longest < 60


def test_events_and_heads_are_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_event_task(tmp_path / "tasks" / "tones-v1-full", clips=3)
    base = arguments(
        tmp_path / "tasks", tmp_path, "--seeds", "2", "--preset", "quick", models=("frame_energy",)
    )
    assert main(base) == 0
    assert main([*base, "--head", "linear"]) == 0
    assert capsys.readouterr().out.count("Time:") == 2
    assert main([*base, "--head", "knn"]) == 0
    assert "training 0:00:00" in capsys.readouterr().out, "nearest neighbours are not trained"


def test_too_little_disk_or_memory_is_said(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    monkeypatch.setattr(plan, "available_memory", lambda: 1000)
    assert main(line) == 1
    shown = capsys.readouterr().out
    assert "NOT ENOUGH: make room or choose another place with --cache" in shown
    assert "NOT ENOUGH: lower --max-memory" in shown


def test_a_mistake_is_one_sentence_and_help_is_its_own(
    line: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert main([*line, "--tasks", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no task 'nothing'")
    done = subprocess.run(
        [sys.executable, "-m", "evaluation", "plan", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage: hear-eval plan" in done.stdout
    assert "Nothing is trained for good" in done.stdout
