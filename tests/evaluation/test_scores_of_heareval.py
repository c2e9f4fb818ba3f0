"""The paper's preset on a real task, against the scores that the original runner gave for three seeds."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_heareval import golden_rows

from evaluation.embedding.store import StoreEntry
from evaluation.probes.config import ProbeConfig
from evaluation.probes.data import task_data
from evaluation.probes.presets import preset_named
from evaluation.probes.splits import fit_seed, row_orders
from evaluation.probes.train import Fit, train_stack
from evaluation.results.ledger import Ledger
from evaluation.runs.job import Job
from evaluation.runs.train_job import Resources, run_job
from evaluation.statistics.intervals import Interval, t_interval
from tasks import Clip, Task
from tasks.format.task import read_metadata

SEEDS = 3


def golden_task(tree: Path) -> Task:
    """Read the task that an embeddings tree of the original runner describes (it holds no sound)."""
    metadata = read_metadata(tree)
    vocabulary = tuple(line.split(",")[1] for line in (tree / "labelvocabulary.csv").read_text().split()[1:])
    clips = {}
    for split in metadata.splits:
        entries = json.loads((tree / f"{split}.json").read_text())
        clips[split] = tuple(Clip(file, tuple(map(str, labels))) for file, labels in entries.items())
    return Task(path=tree, metadata=metadata, vocabulary=vocabulary, clips=clips, audio_root=tree)


def test_our_row_order_is_the_originals(shared: Path) -> None:
    tree = shared / "golden_heareval" / "spoken_digit"
    task = golden_task(tree)
    orders = row_orders({split: len(task.clips[split]) for split in task.metadata.splits})
    for split, order in orders.items():
        expected = golden_rows(tree, split)[1]
        assert [task.clips[split][i].labels[0] for i in order] == expected


def golden_job(tree: Path, directory: Path, preset: str, seeds: int) -> Job:
    """Put the golden embeddings into a store, in the JSON's order, and return the job on them."""
    task, entry = golden_task(tree), StoreEntry(directory, {"golden": "spoken_digit"})
    orders = row_orders({split: len(task.clips[split]) for split in task.metadata.splits})
    for split, order in orders.items():
        x, _ = golden_rows(tree, split)
        with entry.writing(), entry.writer(split, *x.shape) as writer:
            writer.append(x[np.argsort(order)])
    return Job("golden", task, entry, preset_named(preset), range(seeds))


def our_scores(job: Job, directory: Path) -> Interval:
    ledger = Ledger(directory / "ledger.jsonl")
    run_job(job, ledger, Resources(torch.device("cpu"), 1.5e9), lambda fits, what: None)
    return t_interval(job.seed_scores(ledger))


def their_score(shared: Path, name: str) -> float:
    content = json.loads((shared / "golden_heareval" / "scores" / f"{name}.json").read_text())
    return content["aggregated_scores"]["test_score_mean"]


@pytest.mark.slow
def test_scores_agree_with_the_original_runners(shared: Path, tmp_path: Path) -> None:
    job = golden_job(shared / "golden_heareval" / "spoken_digit", tmp_path, "mwmae", SEEDS)
    ours = our_scores(job, tmp_path)
    theirs = t_interval([their_score(shared, f"vendored_seed{seed}") for seed in range(3)])
    assert theirs.mean == pytest.approx(0.9436, abs=1e-3)
    difference = abs(ours.mean - theirs.mean)
    assert difference <= math.hypot(ours.half_width, theirs.half_width)
    assert difference < 0.01, (
        "an interval over three seeds may be wide; the means are not to profit from that"
    )


@pytest.mark.slow
def test_the_benchmarks_grid_scores_as_the_original_did(shared: Path, tmp_path: Path) -> None:
    """One seed of the original, 42, is there, and one of ours; each drew its own 8 of the 16 points."""
    job = golden_job(shared / "golden_heareval" / "spoken_digit", tmp_path, "hear2021", 1)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    run_job(job, ledger, Resources(torch.device("cpu"), 1.5e9), lambda fits, what: None)
    assert their_score(shared, "upstream_seed42") == pytest.approx(0.96)
    # Measured: 0.958. Three seeds gave 0.954 with a standard deviation of 0.006, which theirs will have too.
    assert job.seed_scores(ledger) == [pytest.approx(0.96, abs=0.015)]


def original_curve(shared: Path, version: str) -> list[dict[str, str]]:
    """Return the rows of one original network's log that are validation checks."""
    path = shared / "golden_heareval" / "curves" / f"{version}.csv"
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if row["val_loss"]]


@pytest.mark.slow
def test_every_grid_point_validates_as_the_originals_did(shared: Path, tmp_path: Path) -> None:
    """Layers, learning rates and initial weights, on split 0, in the order of the original's seed 42."""
    job = golden_job(shared / "golden_heareval" / "spoken_digit", tmp_path, "hear2021", 1)
    data, split = task_data(job.task, job.entry, job.budget, torch.device("cpu")), job.splits[0]
    rows = [data.train_rows(split), data.part_rows(split.valid), data.part_rows(split.test)]
    configs, found = job.preset.order(42), {}
    for layers in (1, 2):
        fits = [Fit(c, fit_seed(42, split, c)) for c in configs if c.hidden_layers == layers]
        results = train_stack(fits, *rows, len(job.task.vocabulary), data.validation_score(split.valid))
        found |= {fit.config: result.validation_score for fit, result in zip(fits, results, strict=True)}
    theirs = [
        max(float(row["val_score"]) for row in original_curve(shared, f"upstream_seed42_version_{version}"))
        for version in range(8)
    ]
    differences = np.array([found[config] for config in configs]) - theirs
    calm = np.array([config.lr < 3e-3 for config in configs])
    # Measured: 0.015, 0.005 and 0.050; at the highest rate validation jumps by 0.05 from check to check.
    assert np.abs(differences[calm]).max() < 0.03
    assert abs(differences[calm].mean()) < 0.015
    assert np.abs(differences).max() < 0.1


CHECKS = 87
"""Validation checks that all the original's networks with dropout 0.1 lived to see: 261 epochs."""


def their_curves(shared: Path) -> np.ndarray:
    """Return accuracy and loss on the validation part, [splits, checks, 2], of seed 0 with dropout 0.1."""
    curves = []
    for version in (0, 2, 3, 4, 5):  # 1 is the other grid point on the first split
        rows = original_curve(shared, f"vendored_seed0_version_{version}")[:CHECKS]
        assert [int(row["epoch"]) for row in rows] == list(range(2, 3 * CHECKS, 3))
        curves.append([(float(row["val_top1_acc"]), float(row["val_loss"])) for row in rows])
    return np.array(curves)


@pytest.mark.slow
def test_the_learning_curves_look_alike(shared: Path, tmp_path: Path) -> None:
    """Check by check, mean over the five splits: accuracy and loss on the validation part."""
    job = golden_job(shared / "golden_heareval" / "spoken_digit", tmp_path, "mwmae", 1)
    data, config = (
        task_data(job.task, job.entry, job.budget, torch.device("cpu")),
        ProbeConfig(dropout=0.1, max_epochs=3 * CHECKS),
    )
    ours = []
    for split in job.splits:
        curve: list[tuple[float, float]] = []

        def score(logits: np.ndarray, part: str = split.valid, curve: list = curve) -> float:
            curve.append((data.validation_score(part)(logits), data.loss(part, logits)))
            return curve[-1][0]

        rows = [data.train_rows(split), data.part_rows(split.valid), data.part_rows(split.test)]
        train_stack([Fit(config, fit_seed(0, split, config))], *rows, len(job.task.vocabulary), score)
        ours.append(curve[:CHECKS])
    mine, theirs = np.mean(ours, axis=0), their_curves(shared).mean(0)
    accuracy, loss = np.abs(mine - theirs)[:, 0], np.abs(mine / theirs - 1)[:, 1]
    # Measured, the largest of three seeds of ours: 0.072, 0.025, 0.064; seeds differ most on the early slope.
    assert accuracy.max() < 0.15
    assert accuracy[20:].max() < 0.04
    assert loss.max() < 0.15
