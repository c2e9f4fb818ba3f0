"""The cross-check with the original program: a stand-in every day, the real one among the slow tests."""

import json
import math
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from heareval_trees import make_tree

from evaluation.cli.crosscheck import main
from evaluation.errors import EvaluationError
from evaluation.heareval.crosscheck import create_environment, run_heareval

STAND_IN = """\
import json, os, pathlib, sys
assert sys.argv[1:3] == ["-m", "heareval.predictions.runner"], sys.argv
assert "PYTHONPATH" not in os.environ and os.environ["CUDA_VISIBLE_DEVICES"] == ""
task = pathlib.Path(sys.argv[3])
if (task / "prediction-done.json").exists() or task.name == "broken":
    sys.exit("ValueError: it went wrong")
assert (task / "test.embeddings.npy").stat().st_size == 12 * 8 * 4
options = dict(zip(sys.argv[4::2], sys.argv[5::2]))
score = int(options["--grid-points"]) / 10 + {"default": 0, "faster": 0.05}[options["--grid"]]
part = {"test_top1_acc": score, "test_d_prime": float("inf")}
(task / "test.predicted-scores.json").write_text(json.dumps({"test": part, "hparams": {}}))
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose python stands in for heareval; PYTHONPATH is set, and must not reach it."""
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "env"


def write_ours(tree: Path, scores: list[float]) -> None:
    """Put scores of ours beside a tree, one folder per seed, as an export does."""
    for seed, score in enumerate(scores):
        folder = tree.parents[1] / f"{tree.parent.name}_r1_{seed:02d}" / tree.name
        folder.mkdir(parents=True)
        part = {"test_top1_acc": score, "test_d_prime": math.inf if seed else 1.0}
        (folder / "test.predicted-scores.json").write_text(json.dumps({"test": part}))
        (folder / "prediction-done.json").write_text(json.dumps({"preset": "hear2021"}))


def test_both_scores_stand_side_by_side(
    tmp_path: Path, environment: Path, capsys: pytest.CaptureFixture
) -> None:
    tree = make_tree(tmp_path / "trees" / "model" / "task")
    before = {path: path.read_bytes() for path in tree.iterdir()}
    write_ours(tree, [0.7, 0.8])
    arguments = [str(tmp_path / "trees"), "--python", str(environment), "--grid-points", "6"]
    assert main([*arguments, "--grid", "faster"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    half_width = 12.706204736 * np.std([0.7, 0.8], ddof=1) / math.sqrt(2)
    assert table[0] == ["model/task"]
    assert " ".join(table[1]) == "here (2 seeds, hear2021) heareval==2021.1.3 (grid faster, 6 points)"
    assert table[2] == ["top1_acc", "0.7500", "±", f"{half_width:.4f}", "0.6500", "+0.1000"]
    assert table[3] == ["d_prime", "inf", "inf"]
    assert {path: path.read_bytes() for path in tree.iterdir()} == before
    assert not list(tmp_path.glob("crosscheck-*"))


def test_a_tree_without_scores_of_ours_says_so(
    tmp_path: Path, environment: Path, capsys: pytest.CaptureFixture
) -> None:
    tree = make_tree(tmp_path / "trees" / "model" / "task")
    assert main([str(tree), "--python", str(environment / "bin" / "python")]) == 0
    out = capsys.readouterr().out
    assert "--export-heareval" in out
    assert ["top1_acc", "-", "0.8000"] in [line.split() for line in out.splitlines()]


def test_a_failure_is_one_sentence_and_keeps_what_was_said(tmp_path: Path, environment: Path) -> None:
    tree = make_tree(tmp_path / "trees" / "model" / "broken")
    with pytest.raises(
        EvaluationError, match=r"broken: ValueError: it went wrong \(all it said: .*\)"
    ) as error:
        run_heareval(tree, environment / "bin" / "python", grid="default", grid_points=1)
    (log,) = tmp_path.glob("heareval-*.log")
    assert str(log) in str(error.value)
    assert "it went wrong" in log.read_text()


class _Code:
    def __reduce__(self) -> tuple:
        return (print, ("run",))


def test_a_tree_with_code_in_its_labels_never_reaches_heareval(tmp_path: Path, environment: Path) -> None:
    tree = make_tree(tmp_path / "trees" / "model" / "task")
    (tree / "valid.target-labels.pkl").write_bytes(pickle.dumps([[_Code()]]))
    with pytest.raises(EvaluationError, match="nothing of it was run"):
        run_heareval(tree, environment / "bin" / "python", grid="default", grid_points=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--python", "nowhere"], "nowhere is no environment with a Python in it"),
        (["--create-env", "."], "exists already; use it with --python"),
        (["--python", "x", "--grid-points", "0"], "at least one is needed"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    tree = make_tree(tmp_path / "model" / "task")
    assert main([str(tree), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert main([str(tmp_path / "absent"), "--python", "x"]) == 2
    assert "holds no embeddings tree" in capsys.readouterr().err


def test_a_failed_environment_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.heareval.crosscheck.REQUIREMENTS", ("no such requirement",))
    with pytest.raises(EvaluationError, match="could not be made: pip says: "):
        create_environment(tmp_path / "env")
    assert not (tmp_path / "env").exists()


@pytest.fixture(scope="module")
def heareval(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment named by $HEAREVAL_ENV, else one made for the test."""
    if chosen := os.environ.get("HEAREVAL_ENV"):
        return Path(chosen)
    path = tmp_path_factory.mktemp("heareval") / "env"
    try:
        create_environment(path)
    except (EvaluationError, OSError) as error:
        pytest.skip(str(error))
    return path


@pytest.mark.slow
def test_the_real_program_runs_on_the_golden_tree(
    shared: Path, heareval: Path, capsys: pytest.CaptureFixture
) -> None:
    tree = shared / "golden_heareval" / "spoken_digit"
    assert main([str(tree), "--python", str(heareval), "--grid", "faster", "--grid-points", "2"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    (accuracy,) = (float(row[2]) for row in table if row[:1] == ["top1_acc"])
    assert accuracy == pytest.approx(0.2338, abs=0.005)  # its seed is fixed; threads move it by 0.001
