"""Other heads, other numbers and fewer labels from the command line to the tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from run_helpers import arguments, ledger_lines, scores
from tiny_task import make_task

from evaluation.run import main


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=20)
    return tmp_path / "tasks"


def line(tasks: Path, *more: str, models: tuple[str, ...] = ("band_energy",)) -> list[str]:
    quick = ("--preset", "quick", "--seeds", "2")
    return arguments(tasks, tasks.parent, *quick, *more, models=models)


def table(tasks: Path) -> str:
    return (tasks.parent / "default" / "tables" / "table.md").read_text()


def test_a_changed_preset_is_named_and_keeps_its_fits_apart(tasks: Path) -> None:
    assert main(line(tasks)) == 0
    assert "Preset quick: NOT the paper's protocol" in table(tasks)
    assert main(line(tasks, "--probe", "dropout=[0.1,0.5]", "lr=1e-2")) == 0
    assert "Preset quick changed to dropout 0.1 or 0.5, lr 0.01; NOT the preset itself, which" in table(tasks)
    assert "ledger also holds 2 fits of other models, tasks, seeds or presets" in table(tasks)
    lines = ledger_lines(tasks.parent / "default")
    assert len(lines) == 2 + 4
    assert {fit["preset"] for fit in lines[2:]} == {"quick changed to dropout 0.1 or 0.5, lr 0.01"}
    assert {json.loads(fit["key"]["config"])["lr"] for fit in lines[2:]} == {0.01}
    as_json = '{"dropout": [0.1, 0.5], "lr": 1e-2}'
    assert main(line(tasks, "--probe", as_json)) == 0
    assert len(ledger_lines(tasks.parent / "default")) == 6, "the same numbers are the same fits"


def test_coarser_products_are_fits_of_their_own(tasks: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(line(tasks)) == 0
    assert "bf16" not in capsys.readouterr().out
    assert main(line(tasks, "--probe", "matmul_precision=bf16")) == 0
    assert "float32 on this processor" in capsys.readouterr().out
    assert "Preset quick changed to matmul_precision bf16" in table(tasks)
    exact, coarse = (ledger_lines(tasks.parent / "default")[i : i + 2] for i in (0, 2))
    assert [json.loads(fit["key"]["config"])["matmul_precision"] for fit in coarse] == ["bf16"] * 2
    assert [fit["scores"] for fit in coarse] != [fit["scores"] for fit in exact]


def test_heads_are_named(tasks: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(line(tasks, "--head", "linear")) == 0
    assert "1 model x 1 task x 1 seed, preset quick, head linear (logistic" in capsys.readouterr().out
    text = table(tasks).replace("\n", " ")
    assert "Head linear: logistic regression on embeddings standardised by the training clips" in text
    assert "C of 1e-05, 0.0001, 0.001, 0.01, 0.1, 1, 10, 100 chosen on validation. Nothing is random" in text
    assert "±" not in text
    fits = ledger_lines(tasks.parent / "default")
    points = {json.loads(fit["key"]["config"])["C"]: fit for fit in fits}
    assert sorted(points) == [10.0**i for i in range(-5, 3)]
    assert points[1.0]["train_score"] > points[1.0]["train_chance"]
    assert main(line(tasks, "--head", "knn")) == 0
    shown = capsys.readouterr().out
    assert "1 model x 1 task x 1 seed, preset quick" in shown
    assert "head knn" in shown
    assert "k of 1, 5, 10, 20, 50 chosen on validation. Nothing is random" in table(tasks)
    assert "±" not in table(tasks)
    assert len(ledger_lines(tasks.parent / "default")) == 8 + 5


def test_budgets_are_columns_and_the_largest_is_averaged(tasks: Path, capsys: pytest.CaptureFixture) -> None:
    both = ("band_energy", "one_by_one")
    assert main(line(tasks, "--budget", "100", "5", "25", models=both)) == 0
    assert "x 3 budgets" in capsys.readouterr().out
    text = table(tasks)
    columns = [f"tiny-v1-full{budget} (top1_acc)" for budget in (" @5%", " @25%", "")]
    assert [text.index(column) for column in columns] == sorted(text.index(column) for column in columns)
    assert "@N%: trained on N % of every class's training clips, at least one" in text
    assert "Average and s(m) are over the columns with the largest budget, 100 %." in text
    found = scores(tasks.parent / "default")
    whole = np.mean(found["band_energy", "tiny-v1-full"])
    with open(tasks.parent / "default" / "tables" / "summary.csv", newline="") as file:
        rows = {(row["model"], row["task"]): row["mean"] for row in csv.DictReader(file)}
    assert float(rows["band_energy", "average"]) == pytest.approx(whole)
    assert {name for name, _ in found} == set(both)
    budgets = [fit["key"]["budget"] for fit in ledger_lines(tasks.parent / "default")]
    assert {budget: budgets.count(budget) for budget in budgets} == {5.0: 4, 25.0: 4, 100.0: 4}
    assert main(line(tasks, "--budget", "5")) == 0
    assert len(ledger_lines(tasks.parent / "default")) == 12, "nothing new to train"
    assert "Average and s(m)" not in table(tasks)


def test_every_score_of_every_fold_is_in_a_table(tmp_path: Path) -> None:
    folds = [f"fold0{i}" for i in range(3)]
    changes = {"split_mode": "new_split_kfold", "splits": folds, "nfolds": 3}
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=8, **changes)
    assert main(line(tmp_path / "tasks", "--save-predictions")) == 0
    run = tmp_path / "default"
    with open(run / "tables" / "folds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * (3 + 2), "seeds x scores x (folds, mean, standard deviation)"
    for seed in (0, 1):
        value = {r["test"]: float(r["value"]) for r in rows if (r["seed"], r["score"]) == (str(seed), "mAP")}
        assert value["mean"] == pytest.approx(np.mean([value[fold] for fold in folds]))
        assert value["std"] == pytest.approx(np.std([value[fold] for fold in folds], ddof=1))
    assert len(list((run / "predictions").rglob("*.npz"))) == 2 * 3
    assert len((run / "details.jsonl").read_text().splitlines()) == 2 * 3


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--probe", "lr"], "--probe lr: give NAME=VALUE, such as lr=1e-3"),
        (["--probe", "{lr}"], "--probe is not JSON"),
        (["--probe", "speed=1"], "the classifier has no option 'speed'; known: hidden_layers"),
        (["--probe", "lr=fast"], "lr 'fast': give a number above 0 and below 1"),
        (["--head", "knn", "--probe", "lr=0.1"], "no option 'lr'; known: k, grid_points"),
        (["--head", "linear", "--probe", "dropout=0.1"], "no option 'dropout'; known: C, grid_points"),
        (["--budget", "0"], "--budget 0: give per cent above 0 and up to 100"),
        (["--budget", "nan"], "--budget nan: give per cent"),
    ],
)
def test_a_mistake_is_one_sentence(
    tasks: Path, capsys: pytest.CaptureFixture, more: list[str], sentence: str
) -> None:
    assert main(line(tasks, *more)) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert sentence in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_what_has_learned_nothing_is_said_once_and_stands_under_the_table(
    tasks: Path, capsys: pytest.CaptureFixture, head: str
) -> None:
    options = ("--head", head, "--model-options", '{"fault": "constant"}')
    assert main(line(tasks, *options, models=("faulty",))) == 0
    fits = "2 of 2" if head == "mlp" else "1 of 1"
    sentence = f"faulty[fault=constant] on tiny-v1-full: {fits} classifiers are at or below chance"
    note = f"are the classifiers of tiny-v1-full ({fits})"
    assert capsys.readouterr().err.count(f"warning: {sentence}") == 1
    assert note in table(tasks).replace("\n", " ")
    assert main(line(tasks, *options, models=("faulty",))) == 0
    assert sentence not in capsys.readouterr().err, "nothing was trained"
    assert note in table(tasks).replace("\n", " ")
