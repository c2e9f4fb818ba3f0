"""Input that is odd but real: every case has a defined outcome or one sentence."""

import math
from pathlib import Path

import numpy as np
import pytest
from stored_task import LABELS, QUICK, cycle, run, stored_task

from evaluation.errors import EvaluationError
from evaluation.probes.config import HEADS, Head, ProbeConfig
from evaluation.probes.data import check_trainable

NO_B = cycle(10, ("a", "c"))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("part", ["train", "valid", "test"])
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_class_may_be_absent_from_a_part(tmp_path: Path, part: str, head: Head, kind: str) -> None:
    rows = {"train": cycle(30), "valid": cycle(12), "test": cycle(15), part: NO_B}
    task, entry = stored_task(tmp_path, rows, prediction_type=kind)
    job, ledger = run(tmp_path, task, entry, preset=QUICK.with_head(head), seeds=1)
    ((record,),) = job.seed_records(ledger)
    details = ledger.details()[record.key]
    if part == "test":
        assert record.scores["mAP"] <= 2 / 3, "an absent class counts 0"
        assert math.isnan(record.scores["aucroc"])
        assert math.isnan(float(details["roc_auc"][1]))
        if kind == "multiclass":
            assert math.isnan(float(details["recall"][1]))
    else:
        assert 0 < record.scores["mAP"] <= 1
        assert math.isfinite(record.scores["aucroc"])


def test_an_absent_class_has_no_auc_to_select_by(tmp_path: Path) -> None:
    rows = {"train": cycle(30), "valid": NO_B, "test": cycle(15)}
    task, entry = stored_task(tmp_path, rows, evaluation=("aucroc", "top1_acc"))
    with pytest.raises(EvaluationError, match=r"stored-v1-full: aucroc of part valid is nan.*a class is in"):
        run(tmp_path, task, entry)


def test_a_class_of_one_clip_is_trained_stopped_or_tested_on(tmp_path: Path) -> None:
    rows = {f"fold0{i}": cycle(9, ("a", "c")) + ([("b",)] if i == 1 else []) for i in range(4)}
    job, ledger = run(tmp_path, *stored_task(tmp_path, rows))
    assert all(math.isfinite(score) for score in job.seed_scores(ledger))
    tested_on = {r.key.test: ledger.details()[r.key]["rows"] for r in ledger.records.values()}
    assert [tested_on[f"fold0{i}"][1] for i in range(4)] == [0, 1, 0, 0]
    few, more = run(tmp_path, job.task, job.entry, budget=1.0)
    assert all(math.isfinite(score) for score in few.seed_scores(more))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("value", [0.0, 1.0, -1e4, 1e15])
def test_constant_embeddings_are_chance(tmp_path: Path, head: Head, value: float) -> None:
    rows = {"train": cycle(31), "valid": cycle(12), "test": cycle(15)}
    x = {part: np.full((len(own), 4), value) for part, own in rows.items()}
    job, ledger = run(tmp_path, *stored_task(tmp_path, rows, x=x), preset=QUICK.with_head(head), seeds=1)
    assert job.seed_scores(ledger) == [pytest.approx(1 / 3)]
    (record,) = job.seed_records(ledger)[0]
    assert record.scores["aucroc"] == pytest.approx(0.5, abs=0.1), "rows may differ by rounding"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    rows = {"train": cycle(30), "valid": cycle(12), "test": cycle(15)}
    x = {part: np.ones((len(own), 4)) for part, own in rows.items()}
    x["valid"][7, 2] = value
    with pytest.raises(EvaluationError, match=r"embedding of valid/valid-007\.wav has NaN or infinite"):
        run(tmp_path, *stored_task(tmp_path, rows, x=x))


def test_numbers_too_large_to_train_on_are_said(tmp_path: Path) -> None:
    rows = {"train": cycle(30), "valid": cycle(12), "test": cycle(15)}
    x = {part: np.random.default_rng(0).normal(size=(len(own), 4)) * 1e38 for part, own in rows.items()}
    with pytest.raises(EvaluationError, match=r"stored-v1-full: training diverged; lower the learning rate"):
        run(tmp_path, *stored_task(tmp_path, rows, x=x))


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize(
    ("clips", "batch_size"),
    [(3, 1024), (2, 1024), (33, 16), (17, 16), (3, 2)],
    ids=["fewer than a batch", "two clips", "remainder of one", "one more than a batch", "two and one"],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_any_number_of_clips_from_two_trains(
    tmp_path: Path, clips: int, batch_size: int, layers: int, shuffle: bool
) -> None:
    rows = {"train": cycle(clips), "valid": cycle(1), "test": cycle(1)}
    preset = QUICK.changed({"batch_size": batch_size, "shuffle": shuffle, "hidden_layers": layers})
    task, entry = stored_task(tmp_path, rows, evaluation=("top1_acc",))
    check_trainable(task)
    job, ledger = run(tmp_path, task, entry, preset=preset, seeds=2)
    assert all(score in (0.0, 1.0) for score in job.seed_scores(ledger))
    assert {r.epochs for r in ledger.records.values()} <= {9}


@pytest.mark.parametrize("clips", [2, 3, 50])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e37])
def test_a_regression_takes_any_number_of_clips_and_any_scale(
    tmp_path: Path, clips: int, scale: float
) -> None:
    rows = {"train": cycle(clips), "valid": cycle(30), "test": cycle(30)}
    noise = np.random.default_rng(0)
    clean = {part: np.eye(3)[np.arange(len(own)) % 3] for part, own in rows.items()}
    x = {part: scale * (values + noise.normal(0, 0.1, values.shape)) for part, values in clean.items()}
    job, ledger = run(tmp_path, *stored_task(tmp_path, rows, x=x), preset=QUICK.with_head("linear"), seeds=1)
    (score,) = job.seed_scores(ledger)
    assert score > 0.9 if clips > 3 else score >= 1 / 3


def test_one_training_clip_is_refused(tmp_path: Path) -> None:
    rows = {"train": cycle(1), "valid": cycle(3), "test": cycle(3)}
    task, _ = stored_task(tmp_path, rows)
    with pytest.raises(EvaluationError, match=r"there are 1 training clips, .* at least 2, 1 and 1"):
        check_trainable(task)
    rows = {"train": cycle(9, ("a",)), "valid": cycle(3), "test": cycle(3)}
    with pytest.raises(EvaluationError, match=r"a budget of 1 % leaves 1 training row; raise it"):
        run(tmp_path, *stored_task(tmp_path, rows), budget=1.0)


def test_more_labels_than_clips(tmp_path: Path) -> None:
    labels = tuple(f"label {i:02}" for i in range(40))
    rows = {"train": cycle(5, labels), "valid": cycle(3, labels), "test": cycle(4, labels)}
    job, ledger = run(tmp_path, *stored_task(tmp_path, rows, labels=labels))
    assert all(0 <= score <= 1 for score in job.seed_scores(ledger))


def test_the_labels_of_these_tests_are_learned_when_nothing_is_wrong(tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing."""
    rows = {"train": cycle(90), "valid": cycle(30), "test": cycle(60)}
    job, ledger = run(tmp_path, *stored_task(tmp_path, rows))
    assert min(job.seed_scores(ledger)) > 0.8
    assert len(LABELS) == 3
    assert isinstance(job.preset.grid[0], ProbeConfig)
