"""Which fits a job trains, which of them count, and what is kept of them."""

import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score, confusion_matrix, log_loss
from stored_task import LABELS, QUICK, cycle, run, stored_task

from evaluation.metrics.table import METRICS
from evaluation.probes.config import ProbeConfig, config_key
from evaluation.probes.cost import network_bytes
from evaluation.probes.data import task_data
from evaluation.probes.presets import preset_named
from evaluation.probes.train import Trained
from evaluation.results.ledger import FitKey, FitRecord
from evaluation.results.predictions import prediction_path
from evaluation.runs import train_job
from evaluation.runs.job import Job
from evaluation.statistics.intervals import over_folds

TINY = {"hidden_dim": 8, "max_epochs": 3, "check_val_every_n_epoch": 1, "batch_size": 16}
PARTS = {"train": cycle(30), "valid": cycle(12), "test": cycle(15)}
FOLDS = {f"fold0{i}": cycle(9) for i in range(4)}


def configs(records: list[FitRecord]) -> list[dict]:
    return [json.loads(record.key.config) for record in records]


def test_only_names_that_no_folder_can_have_are_shortened(tmp_path: Path) -> None:
    key = FitKey("e" * 64, "test", "{}", 0, 100)
    long, longer = ("model@" + "x" * length for length in (249, 250))
    assert prediction_path(tmp_path, long, "task", key).parts[-3] == long.replace("@", "_")
    folder = prediction_path(tmp_path, longer, "task", key).parts[-3]
    assert len(folder) < 80
    assert folder != prediction_path(tmp_path, longer + "x", "task", key).parts[-3]


def test_every_seed_has_its_own_eight_of_the_benchmarks_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = preset_named("hear2021").changed(TINY)
    stacked = []
    train = train_job.train_stacks

    def watched(stacks: list, *others: object) -> Iterator[Trained]:
        stacked.append([len(stack.fits) for stack in stacks])
        return train(stacks, *others)

    monkeypatch.setattr(train_job, "train_stacks", watched)
    job, ledger = run(tmp_path, *stored_task(tmp_path, FOLDS), preset=preset, seeds=3)
    assert job.n_fits == job.n_done(ledger) == len(ledger.records) == 3 * (8 + 3)
    assert [sum(sizes) for sizes in stacked] == [3 * 8, 3 * 3], "the folds after the first all at a time"
    for seed, folds in enumerate(job.seed_records(ledger)):
        grid = [r for k, r in ledger.records.items() if (k.seed, k.test) == (seed, "fold00")]
        assert {r.key.config for r in grid} == {config_key(c) for c in preset.order(seed)}
        best = max(r.validation_score for r in grid)
        (first,) = {r.key.config for r in folds}
        tied = [config_key(c) for c in preset.order(seed)]
        scores = {r.key.config: r.validation_score for r in grid}
        assert first == next(config for config in tied if scores[config] == best)
    expected = [np.mean([r.scores["top1_acc"] for r in folds]) for folds in job.seed_records(ledger)]
    assert job.seed_scores(ledger) == pytest.approx(expected)


def test_the_validation_loss_stops_and_selects_where_the_task_says_so(tmp_path: Path) -> None:
    own = {"task_specific_param_grid": {"max_epochs": [4], "check_val_every_n_epoch": [1]}}
    task, entry = stored_task(tmp_path, PARTS, use_scoring_for_early_stopping=False, evaluation_params=own)
    preset = preset_named("mwmae").changed({"hidden_dim": 8, "lr": [1e-4, 1e-1]})
    job, ledger = run(tmp_path, task, entry, preset=preset)
    assert {r.monitor for r in ledger.records.values()} == {"loss"}
    assert {r.epochs for r in ledger.records.values()} == {4}, "the task's own number of epochs"
    for seed, (chosen,) in enumerate(job.seed_records(ledger)):
        losses = [r.validation_score for k, r in ledger.records.items() if k.seed == seed]
        assert len(losses) == 4
        assert min(losses) > 0, "as a loss, not as what the engine maximised"
        assert chosen.validation_score == min(losses)
        assert json.loads(chosen.key.config)["lr"] == 0.1, "1e-4 cannot have learned anything in 4 epochs"


def test_the_loss_is_scikit_learns(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(12, 3)).astype(np.float32)
    for kind, labels in (("multiclass", cycle(12)), ("multilabel", [("a", "c"), (), ("b",)] * 4)):
        parts = {**PARTS, "valid": labels}
        own = {"prediction_type": kind, "use_scoring_for_early_stopping": False}
        task, entry = stored_task(tmp_path / kind, parts, **own)
        data = task_data(task, entry, 100.0, torch.device("cpu"))
        target = data.multi_hot["valid"]
        if kind == "multiclass":
            expected = log_loss(target.argmax(1), softmax(logits.astype(float), 1), labels=[0, 1, 2])
        else:
            p = expit(logits.astype(float))
            expected = np.mean([log_loss(t, q, labels=[0, 1]) for t, q in zip(target.T, p.T, strict=True)])
        assert data.loss("valid", logits) == pytest.approx(expected, rel=1e-6)
        assert data.validation_score("valid")(logits) == -data.loss("valid", logits)


def test_a_minimised_score_is_minimised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scene task of HEAR has one: accuracy, taken for an error, must come out as low as possible."""
    monkeypatch.setitem(METRICS, "top1_acc", replace(METRICS["top1_acc"], minimised=True))
    preset = preset_named("mwmae").changed({**TINY, "lr": [1e-4, 1e-1], "max_epochs": 8})
    job, ledger = run(tmp_path, *stored_task(tmp_path, PARTS), preset=preset, seeds=4)
    for seed, (chosen,) in enumerate(job.seed_records(ledger)):
        scores = [r.validation_score for k, r in ledger.records.items() if k.seed == seed]
        assert min(scores) >= 0
        assert chosen.validation_score == min(scores) < max(scores) or len(set(scores)) == 1


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_details_say_what_was_taken_for_what(tmp_path: Path, kind: str) -> None:
    job, ledger = run(
        tmp_path, *stored_task(tmp_path, PARTS, prediction_type=kind), predictions=tmp_path, seeds=1
    )
    ((record,),) = job.seed_records(ledger)
    found = ledger.details()[record.key]
    saved = np.load(job.prediction_path(tmp_path, job.splits[0], (0, job.preset.grid[0])))
    assert json.loads(str(saved["about"]))["seed"] == 0
    assert (
        saved["files"].tolist()
        == task_data(job.task, job.entry, job.budget, torch.device("cpu")).files["test"]
    )
    scores, target = saved["scores"], saved["target"]
    assert np.mean(scores.argmax(1) == target.argmax(1)) == pytest.approx(record.scores["top1_acc"])
    assert found["labels"] == list(LABELS)
    assert found["rows"] == target.sum(0).tolist() == [5, 5, 5]
    precisions = [average_precision_score(t, s) for t, s in zip(target.T, scores.T, strict=True)]
    assert found["average_precision"] == pytest.approx(precisions, abs=1e-5)
    assert np.mean(found["average_precision"]) == pytest.approx(record.scores["mAP"], abs=1e-5)
    if kind == "multiclass":
        matrix = np.zeros((3, 3), int)
        for true, predicted, count in found["confusion"]:
            matrix[true, predicted] = count
        expected = confusion_matrix(target.argmax(1), scores.argmax(1), labels=[0, 1, 2])
        np.testing.assert_array_equal(matrix, expected)
        np.testing.assert_allclose(found["recall"], expected.diagonal() / 5, atol=1e-6)
    else:
        assert found["true_positives"] == ((scores > 0.5) & (target > 0)).sum(0).tolist()
        assert found["false_positives"] == ((scores > 0.5) & (target == 0)).sum(0).tolist()


def test_predictions_are_kept_of_the_fits_that_count(tmp_path: Path) -> None:
    preset = preset_named("mwmae").changed(TINY)
    task, entry = stored_task(tmp_path, FOLDS)
    job, ledger = run(tmp_path, task, entry, preset=preset)
    assert job.lacks_predictions(ledger, tmp_path)
    before = (tmp_path / "ledger.jsonl").read_bytes()
    run(tmp_path, task, entry, preset=preset, predictions=tmp_path)
    assert not job.lacks_predictions(ledger, tmp_path)
    assert (tmp_path / "ledger.jsonl").read_bytes() == before, "trained again for the predictions only"
    files = sorted(path for path in (tmp_path / "predictions").rglob("*") if path.is_file())
    assert len(files) == 2 * 4, "the grid points that lost are gone"
    for folds, fit in zip(job.seed_records(ledger), job.chosen(ledger), strict=True):
        for record, split in zip(folds, job.splits, strict=True):
            saved = np.load(job.prediction_path(tmp_path, split, fit))
            accuracy = np.mean(saved["scores"].argmax(1) == saved["target"].argmax(1))
            assert accuracy == pytest.approx(record.scores["top1_acc"])


def test_seconds_and_arithmetic_are_shared_out(tmp_path: Path) -> None:
    preset = preset_named("mwmae").changed({**TINY, "hidden_dim": 7})
    _, ledger = run(tmp_path, *stored_task(tmp_path, PARTS), preset=preset, seeds=3)
    records = list(ledger.records.values())
    stacks = {r.stack: r.stack_seconds for r in records}
    assert sum(r.seconds for r in records) == pytest.approx(sum(stacks.values()), abs=2e-3)
    # 30 rows, 3 epochs, 3 -> 7 -> 3: first layer twice, second three times; 12 checked 3 times, 15 tested
    product = 2 * 3 * 7
    assert {r.flops for r in records} == {3 * 30 * (2 + 3) * product + (3 * 12 + 15) * 2 * product}


def test_over_folds_is_the_originals_aggregation(shared: Path) -> None:
    path = shared / "golden_heareval" / "scores" / "upstream_seed42.json"
    content = json.loads(path.read_text())
    folds = [
        {name.removeprefix("test_"): value for name, value in content[f"fold0{i}"].items()} for i in range(5)
    ]
    found = over_folds(folds)
    for name in ("top1_acc", "mAP", "aucroc", "loss", "d_prime"):
        expected = [content["aggregated_scores"][f"test_{name}_{kind}"] for kind in ("mean", "std")]
        assert found[name] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_neighbours_learn_nothing_and_choose_k_on_validation(tmp_path: Path) -> None:
    job, ledger = run(tmp_path, *stored_task(tmp_path, FOLDS), preset=QUICK.with_head("knn"), seeds=1)
    assert len(ledger.records) == 5 + 3
    assert {config["k"] for config in configs(list(ledger.records.values()))} == {1, 5, 10, 20, 50}
    ((first, *others),) = job.seed_records(ledger)
    grid = [r.validation_score for k, r in ledger.records.items() if k.test == "fold00"]
    assert first.validation_score == max(grid)
    assert {r.key.config for r in others} == {first.key.config}
    assert {r.epochs for r in ledger.records.values()} == {0}
    assert job.seed_scores(ledger)[0] > 0.6


def test_a_budget_is_a_fit_of_its_own(tmp_path: Path) -> None:
    task, entry = stored_task(tmp_path, PARTS)
    whole, _ = run(tmp_path, task, entry)
    part, ledger = run(tmp_path, task, entry, budget=10.0)
    assert (whole.label, part.label) == ("stored-v1-full", "stored-v1-full@10%")
    assert len(ledger.records) == 4
    assert whole.seed_records(ledger) != part.seed_records(ledger)
    assert {r.flops for k, r in ledger.records.items() if k.budget == 10} < {
        r.flops for k, r in ledger.records.items()
    }


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1), (1.0, 1), (2.5, 2), (100.0, 3)])
def test_as_many_networks_train_at_a_time_as_there_are_cores_and_memory_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, expected: int
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    job = Job("m", *stored_task(tmp_path, FOLDS), preset_named("mwmae").changed(TINY), range(2))
    data = task_data(job.task, job.entry, job.budget, torch.device("cpu"))
    stacks = train_job._stacks_of_fits(job, data, job.splits[1:], job.grid_fits()[:1], 1e9)
    assert [stack.split for stack in stacks] == list(job.splits[1:])
    counts = {"train": 18, "valid": 9, "test": 9}
    one = network_bytes(ProbeConfig(**TINY), **counts, dim=3, n_labels=3)
    assert (
        train_job._stacks_at_a_time(stacks, train_job.Resources(torch.device("cpu"), share * one)) == expected
    )


def test_rows_of_a_split_are_made_once_and_let_go(tmp_path: Path) -> None:
    job = Job("m", *stored_task(tmp_path, FOLDS), preset_named("mwmae").changed(TINY), range(1))
    data, (first, second, *_) = task_data(job.task, job.entry, job.budget, torch.device("cpu")), job.splits
    rows, config = train_job._RowsInUse(data), ProbeConfig(**TINY)
    made = rows.of(first, config)
    assert rows.of(first, config) is made
    assert rows.of(first, replace(config, matmul_precision="bf16"))[0].x.dtype == torch.bfloat16
    gone = weakref.ref(made[0])
    del made
    assert torch.equal(rows.of(second, config)[0].x, data.train_rows(second).x)
    assert gone() is None
