"""A task that exists only as embeddings: for tests of the downstream half, without sound."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from evaluation.embedding.store import StoreEntry
from evaluation.probes.presets import Preset, preset_named
from evaluation.results.ledger import Ledger
from evaluation.runs.job import Job
from evaluation.runs.train_job import Resources, run_job
from tasks import Clip, Task, TaskMetadata

LABELS = ("a", "b", "c")
QUICK = preset_named("quick")


def stored_task(
    directory: Path,
    rows: Mapping[str, Sequence[tuple[str, ...]]],
    *,
    x: Mapping[str, np.ndarray] | None = None,
    labels: Sequence[str] = LABELS,
    **metadata: object,
) -> tuple[Task, StoreEntry]:
    """Return a task with these clips (the labels of each, per split) and an entry with its embeddings.

    Without `x`, a row is the sum of its labels' unit vectors plus noise.
    """
    kfold = "train" not in rows
    fields = {
        "task_name": "stored",
        "version": "v1",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "new_split_kfold" if kfold else "trainvaltest",
        "splits": tuple(rows),
        "sample_duration": 1.0,
        "evaluation": ("top1_acc", "mAP", "d_prime", "aucroc"),
    }
    clips = {
        split: tuple(Clip(f"{split}-{i:03}.wav", own) for i, own in enumerate(parts))
        for split, parts in rows.items()
    }
    path = directory / "stored-v1-full"
    task = Task(path, TaskMetadata(**{**fields, **metadata}), tuple(labels), clips, path)
    entry = StoreEntry(directory / "store", {"task": "stored"})
    generator = np.random.default_rng(0)
    with entry.writing():
        for split, parts in rows.items():
            clean = np.array([[float(label in own) for label in labels] for own in parts])
            values = clean + generator.normal(0, 0.3, clean.shape) if x is None else x[split]
            with entry.writer(split, *values.shape) as writer:
                writer.append(values)
    return task, entry


def run(
    directory: Path,
    task: Task,
    entry: StoreEntry,
    *,
    preset: Preset = QUICK,
    seeds: int = 2,
    budget: float = 100.0,
    predictions: Path | None = None,
) -> tuple[Job, Ledger]:
    """Do the whole job and return it with its ledger."""
    job = Job("model", task, entry, preset.for_task(task.metadata), range(seeds), budget)
    ledger = Ledger(directory / "ledger.jsonl")
    resources = Resources(torch.device("cpu"), 1e9, predictions)
    run_job(job, ledger, resources, lambda fits, what: None)
    return job, ledger


def cycle(count: int, labels: Sequence[str] = LABELS) -> list[tuple[str, ...]]:
    """Return one label per clip, in turn."""
    return [(labels[i % len(labels)],) for i in range(count)]
