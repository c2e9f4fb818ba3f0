"""Which seeds a run has: as they are written, and in everything that a run leaves."""

import csv
import json
from pathlib import Path

import pytest
from paths import MODELS
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.cli.status import main as status_main
from evaluation.cli.verify import main as verify_main
from evaluation.errors import EvaluationError
from evaluation.results.job import PlannedJob
from evaluation.results.reading import read_run
from evaluation.run import main as run_main
from evaluation.runs.seeds import MOST_SEEDS, seeds_of, seeds_text


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("10", range(10)),
        ("1", [0]),
        ("42,", [42]),
        ("42-42", [42]),
        ("0-9", range(10)),
        ("3,5,42", [3, 5, 42]),
        ("5, 3 ,5", [3, 5]),
        ("0-2,40-41", [0, 1, 2, 40, 41]),
        (" 3 ", range(3)),
    ],
)
def test_seeds_are_how_many_or_which(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == tuple(seeds)
    assert seeds_of(seeds_text(tuple(seeds))) == tuple(seeds)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "at least one seed is needed"),
        ("-3", "give how many"),
        ("ten", "give how many"),
        ("", "give how many"),
        (",", "give how many"),
        ("1,,2", "give how many"),
        ("1.5", "give how many"),
        ("\u0663", "give how many"),
        ("9-3", "9-3 runs backwards"),
        ("1e3", "give how many"),
        ("9" * 400, "give how many"),
        ("4000000000,", "seeds go up to 2147483647"),
        ("0-2147483647", f"at most {MOST_SEEDS} seeds"),
        ("10001", f"at most {MOST_SEEDS} seeds"),
    ],
)
def test_what_cannot_be_seeds_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        seeds_of(text)


def test_a_run_of_chosen_seeds_agrees_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    folds = {"split_mode": "new_split_kfold", "splits": ["fold00", "fold01", "fold02"], "nfolds": 3}
    make_task(tmp_path / "tasks" / "folds-v1-full", rate=16000, clips=9, task_name="folds", **folds)
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", models=("band_energy",))
    assert run_main([*line, "--seeds", "4"]) == 0
    whole = read_run(tmp_path / "default")
    assert run_main([*line, "--run", "chosen", "--seeds", "3,1"]) == 0
    assert "2 seeds (1,3)" in capsys.readouterr().out
    chosen = read_run(tmp_path / "chosen")
    model, (column,) = "band_energy", chosen.columns
    of_whole = whole.scores[model][column.task]
    assert chosen.scores[model][column.task] == [of_whole[1], of_whole[3]], "a seed means the same"
    assert [fits.seed for fits in chosen.fits] == [1, 3]
    assert {record["key"]["seed"] for record in ledger_lines(tmp_path / "chosen")} == {1, 3}
    assert json.loads((tmp_path / "chosen" / "run.json").read_text())["seeds"] == [1, 3]
    with open(tmp_path / "chosen" / "tables" / "scores.csv", newline="") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["1", "3"]
    assert status_main([str(tmp_path / "chosen")]) == 0
    assert verify_main([str(tmp_path / "chosen"), "--fits", "100"]) == 0
    before = ledger_lines(tmp_path / "chosen")
    assert run_main([*line, "--run", "chosen", "--seeds", "1-4"]) == 0
    assert ledger_lines(tmp_path / "chosen")[: len(before)] == before, "what is there is not trained again"
    assert [fits.seed for fits in read_run(tmp_path / "chosen").fits] == [1, 2, 3, 4]


def test_a_run_from_before_has_the_seeds_from_0_on() -> None:
    job = PlannedJob("m", None, "key", ["test"], ["a"], [[0], [0]], False)
    assert [seed for seed, _ in job.ordered()] == [0, 1]
