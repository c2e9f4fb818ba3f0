"""The command, end to end: tables, and clear words for every mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from event_task import make_event_task
from paths import MODELS, ROOT
from run_helpers import TWO, arguments, ledger_lines, scores
from tiny_task import make_task

from evaluation.run import main
from evaluation.runs import execute
from evaluation.runs.job import Job


def test_ten_sample_tasks_two_models_two_seeds(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments(sample_tasks, tmp_path, "--seeds", "2")) == 0
    shown = capsys.readouterr().out
    run = tmp_path / "sample"
    assert shown.startswith("Plan: 2 models x 10 tasks x 2 seeds, preset quick (NOT the paper's protocol")
    assert "embedded: 0 of 10 tasks; fits done: 0 of 76" in shown
    for text in (shown, (run / "tables" / "table.md").read_text()):
        assert "ynthetic sample tasks, not comparable" in text
        assert "Preset quick" in text
        assert ": band_energy, one_by_one)" in text.replace("\n", " ")
    assert len(ledger_lines(run)) == 152
    found = scores(run)
    assert len(found) == 20
    assert all(len(seeds) == 2 for seeds in found.values())
    band_energy = [np.mean(seeds) for (model, _), seeds in found.items() if model == "band_energy"]
    assert np.mean(band_energy) > 30, "32 band energies should tell the synthetic classes apart"
    content = json.loads((run / "run.json").read_text())
    assert content["pool"] == list(TWO)
    for model in content["models"]:
        times = [job["embedding_time"] for job in content["jobs"] if job["model"] == model["label"]]
        clips, seconds = (sum(time[name] for time in times) for name in ("clips", "seconds"))
        assert clips == 1140
        assert model["clips_per_second"] == pytest.approx(clips / seconds)

    assert main(arguments(sample_tasks, tmp_path, "--seeds", "2")) == 0
    again = capsys.readouterr().out
    assert "embedded: 10 of 10 tasks; fits done: 76 of 76" in again
    assert len(ledger_lines(run)) == 152
    assert scores(run) == found


def test_the_summary_agrees_with_the_ledger(tmp_path: Path) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    assert main(arguments(tmp_path / "tasks", tmp_path, "--seeds", "4", "--preset", "quick")) == 0
    run = tmp_path / "default"
    for (model, _), seeds in scores(run).items():
        expected = [
            100 * line["scores"]["top1_acc"]
            for seed in range(4)
            for line in ledger_lines(run)
            if line["model"] == model and line["key"]["seed"] == seed
        ]
        assert seeds == pytest.approx(expected)


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
        assert reported == pytest.approx(100 * expected)


def test_what_a_table_leaves_out_of_its_ledger_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    more = ("--preset", "quick", "--seeds", "2")
    assert main(arguments(tmp_path / "tasks", tmp_path, *more)) == 0
    assert "ledger also holds" not in capsys.readouterr().out
    assert main(arguments(tmp_path / "tasks", tmp_path, *more, models=("one_by_one",))) == 0
    shown = capsys.readouterr().out
    assert "This run's ledger also holds 2 fits of other models" in shown
    assert "s(m)" not in shown, "one model alone has no s(m)"


def test_only_the_plan_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=48000)
    assert main(arguments(tmp_path / "tasks", tmp_path, "--plan-only")) == 0
    assert "no 16000 Hz: made once from 48000 Hz with soxr" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"tasks"}


def test_the_plan_knows_what_is_resampled_and_trained(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=48000)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1")
    assert main(line) == 0
    assert main([*line, "--plan-only"]) == 0
    _, _, again = capsys.readouterr().out.rpartition("Plan:")
    assert "no 16000 Hz: already made from 48000 Hz with soxr" in again
    assert "no trained parameters (0.0 M fixed numbers), 16000 Hz" in again


def test_options_reach_the_model_that_they_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    options = ["--model-options", 'band_energy={"offset": 0.5}', "--preset", "quick", "--seeds", "1"]
    assert main(arguments(tmp_path / "tasks", tmp_path, *options)) == 0
    assert json.loads((tmp_path / "default" / "run.json").read_text())["pool"] == [
        "band_energy[offset=0.5]",
        "one_by_one",
    ]
    options[1] = "hear_naive={}"
    assert main(arguments(tmp_path / "tasks", tmp_path, *options)) == 2
    assert "names hear_naive, which is not among --models" in capsys.readouterr().err


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
    assert errors.count("test-3.wav is empty") == 1
    assert list(scores(tmp_path / "default")) == [("band_energy", "wrong-v1-full")]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--tasks", "ESC-51"], "there is no task 'ESC-51'"),
        (["--tasks-dir", "nowhere"], "nowhere does not exist"),
        (["--tasks", "./tasks"], "./tasks is no task directory: it holds no task_metadata.json"),
        (["--max-memory", "nan"], "give a number of GB above 0"),
        (["--preset", "slow"], "there is no preset 'slow'; choose one of: mwmae, mwmae-table4, hear2021"),
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
    assert "(random init)" in capsys.readouterr().out.rpartition("| model")[2]
    assert "(random init)" in (tables / "table.md").read_text()
    assert "random init" in (tables / "scores.csv").read_text()
    assert "random init" in (tables / "summary.csv").read_text()


def test_synthetic_and_real_tasks_do_not_mix(
    sample_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    real = make_task(tmp_path / "tiny-v1-full", rate=16000)
    assert main(arguments(sample_tasks, tmp_path, "--tasks", "BO", str(real))) == 2
    assert "cannot share a run" in capsys.readouterr().err


def test_a_module_without_timestamps_does_the_other_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_event_task(tmp_path / "tasks" / "tones-v1-full", clips=3)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2")
    assert main([*line, "--tasks", "tones"]) == 2
    assert "timestamp" in capsys.readouterr().err
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    assert main([*line, "--models", "band_energy", "frame_energy"]) == 1
    shown = capsys.readouterr()
    assert "failed: band_energy on tones-v1-full: " in shown.err
    assert "embedded: 0 of 1 tasks" in shown.out
    assert "embedded: 0 of 2 tasks" in shown.out
    done = {
        ("band_energy", "tiny-v1-full"),
        ("frame_energy", "tiny-v1-full"),
        ("frame_energy", "tones-v1-full"),
    }
    assert set(scores(tmp_path / "default")) == done
    assert "Failed: band_energy on tones-v1-full" in (tmp_path / "default/tables/table.md").read_text()


def test_all_leaves_out_what_is_broken_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    line = arguments(
        tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2", models=("band_energy",)
    )
    broken = make_task(tmp_path / "tasks" / "broken-v1-full", rate=16000, task_name="broken")
    (broken / "task_metadata.json").write_text("{")
    assert main(line) == 1
    shown = capsys.readouterr()
    assert "task_metadata.json is not JSON" in shown.err
    assert "Failed: " in (tmp_path / "default" / "tables" / "table.md").read_text()
    assert main([*line, "--tasks", "tiny"]) == 0, "a broken neighbour is not this task's business"


def test_a_task_whose_own_grid_is_unknown_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    own = {"task_specific_param_grid": {"speed": [1]}}
    make_task(tmp_path / "tasks" / "odd-v1-full", rate=16000, task_name="odd", evaluation_params=own)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "mwmae", "--plan-only")
    assert main([*line, "--tasks", "all"]) == 0
    assert "left out: odd: task_specific_param_grid" in capsys.readouterr().out
    assert main([*line, "--tasks", "odd"]) == 2
    assert "odd: task_specific_param_grid: the classifier has no option 'speed'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
    ],
)
def test_too_little_memory_fails_one_job_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("large", "tiny"):
        make_task(tmp_path / "tasks" / f"{name}-v1-full", rate=16000, clips=6, task_name=name)
    train = execute.run_job

    def limited(job: Job, *others: object) -> None:
        if job.task.metadata.task_name == "large":
            raise error
        train(job, *others)

    monkeypatch.setattr(execute, "run_job", limited)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", models=("band_energy",))
    assert main(line) == 1
    assert "on large-v1-full: the memory does not suffice; lower --max-memory" in capsys.readouterr().err
    fits = ledger_lines(tmp_path / "default")
    assert {fit["task"] for fit in fits} == {"tiny-v1-full"}
    assert all(fit["hardware"]["device"] == "cpu" and "git_revision" in fit for fit in fits)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    paths = [make_task(tmp_path / folder / "tiny-v1-full", rate=16000) for folder in ("a", "b")]
    assert main(arguments(tmp_path / "a", tmp_path, "--tasks", *map(str, paths))) == 2
    assert "two of the tasks are called tiny-v1-full" in capsys.readouterr().err


def test_a_score_that_is_no_number_fails_its_task_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6, evaluation=["aucroc"])
    names = json.loads((root / "valid.json").read_text())
    (root / "valid.json").write_text(json.dumps({name: ["2"] for name in names}))
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", models=("band_energy",))
    assert main(line) == 1
    assert "tiny-v1-full: aucroc of part valid is nan, which cannot be compared" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_disk_that_really_refuses_is_one_sentence(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    make_task(tasks / "tiny-v1-full", rate=16000, clips=40)
    environment = {**os.environ, "PYTHONPATH": f"{MODELS}{os.pathsep}{ROOT}"}
    line = [sys.executable, "-m", "evaluation.run", *arguments(tasks, tmp_path, models=("band_energy",))]
    program = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    program += "os.execv(sys.executable, sys.argv[1:])"
    small = [sys.executable, "-c", program, *line]
    done = subprocess.run(small, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("error: ")
    assert "File too large" in sentence


def test_a_full_disk_is_said_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(execute.shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert main(line) == 2
    assert "GB free; make room or choose another place with --cache" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(MODELS))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "ledger.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr("evaluation.results.ledger.os.fsync", full)
        assert main(line) == 2
    errors = capsys.readouterr().err
    assert "the disk is full while writing ledger.jsonl; make room, then go on with: python -m" in errors
    assert main(line) == 0


def test_help_shows_examples(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "hear-eval run --tasks all" in capsys.readouterr().out
