"""A metric is declared in one place: what a line of the table says is what runs, tables and checks do."""

from pathlib import Path

import numpy as np
import pytest
from stored_task import QUICK, cycle, run, stored_task

from evaluation.metrics.table import METRICS, Metric, metrics_of, shown_metric
from evaluation.report.naming import metric_name
from evaluation.results.details import scores_of_details
from evaluation.results.score_table import Column

PARTS = {"train": cycle(30), "valid": cycle(15), "test": cycle(15)}


def test_one_line_of_the_table_is_a_whole_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(target: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean(np.abs(scores.argmax(1) - target.argmax(1))))

    line = Metric(name="distance", scene=distance, percent=False, minimised=True, short="dist")
    monkeypatch.setitem(METRICS, "distance", line)
    preset = QUICK.changed({"lr": [1e-4, 1e-1]})
    job, ledger = run(
        tmp_path, *stored_task(tmp_path, PARTS, evaluation=("distance", "top1_acc")), preset=preset, seeds=2
    )
    assert job.minimised
    for seed, (chosen,) in enumerate(job.seed_records(ledger)):
        tried = [r.validation_score for key, r in ledger.records.items() if key.seed == seed]
        assert chosen.validation_score == min(tried) >= 0
        assert chosen.scores.keys() == {"distance", "top1_acc"}
    column = Column("t", "distance", "t")
    assert (column.sign, column.unit, column.scale(0.5)) == (-1, "", 0.5)
    assert metric_name(column) == "dist ↓"


def test_an_unknown_name_is_printed_as_it_is() -> None:
    column = Column("t", "of_another_version", "t")
    assert (column.sign, column.unit, column.scale(0.5)) == (1, "", 0.5)
    assert metric_name(column) == "of_another_version"


def test_every_metric_is_of_one_kind() -> None:
    scene, event = metrics_of("scene"), metrics_of("event")
    assert scene.keys() | event.keys() == METRICS.keys()
    assert not scene.keys() & event.keys()
    assert all(shown_metric(name) is metric and metric.name == name for name, metric in METRICS.items())


def test_what_details_give_is_the_score() -> None:
    """Ten rows in a confusion matrix: seven right, one more an octave (12 classes) away."""
    found = scores_of_details({"confusion": [[0, 0, 7], [0, 12, 1], [1, 5, 2]], "roc_auc": [0.5, 1.0]})
    assert found == {"top1_acc": 0.7, "pitch_acc": 0.7, "chroma_acc": 0.8, "aucroc": 0.75}
    assert scores_of_details({"confusion": "odd"}) == {}
