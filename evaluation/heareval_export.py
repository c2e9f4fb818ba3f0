"""A run written as the original benchmark's program (heareval 2021) would have left it.

`DIR/<model>/<task>/` is the embeddings tree, on which that program can be run; `evaluation.heareval_tree`
reads it back. The program keeps the scores of one run beside the embeddings, so the scores of each seed are
in a folder of their own, named as the MW-MAE authors named theirs: `DIR/<model>_r1_<seed>/<task>/` with
`test.predicted-scores.json` and `prediction-done.json`. A tree with the latter would be skipped.
"""

import glob
import json
import math
import pickle
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from evaluation.downstream import Job, SeededFit
from evaluation.embed import is_embedded
from evaluation.errors import EvaluationError
from evaluation.heareval_tree import (
    METADATA,
    ROWS_PER_READ,
    VOCABULARY,
    dimensions_file,
    embeddings_file,
    labels_file,
)
from evaluation.ledger import FitRecord, Ledger
from evaluation.plan import Session
from evaluation.protocol import row_orders

DONE = ".done.embeddings"
SCORES = "test.predicted-scores.json"
PREDICTED = "prediction-done.json"

_FIXED_HPARAMS = {
    "embedding_norm": repr(torch.nn.Identity),
    "hidden_norm": repr(torch.nn.BatchNorm1d),
    "norm_after_activation": False,
    "optim": repr(torch.optim.Adam),
}


def model_folder(label: str) -> str:
    """Return the model's name as a folder name: what is no letter, digit or one of `_.=-` becomes `-`."""
    return re.sub(r"[^\w.=-]+", "-", label).strip("-.")


def seed_folder(label: str, seed: int) -> str:
    """Return the name of the folder with one seed's scores."""
    return f"{model_folder(label)}_r1_{seed:02d}"


def seed_score_files(folder: Path) -> list[Path]:
    """Return the files with our scores, one per seed, that belong to an exported embeddings tree."""
    return sorted(folder.parents[1].glob(f"{glob.escape(folder.parent.name)}_r1_*/{folder.name}/{SCORES}"))


def export_run(session: Session, directory: Path) -> list[Path]:
    """Write every job whose embeddings are there, with the scores of every finished seed.

    Files of an earlier export are replaced. Returns the task folders with embeddings. Raises
    EvaluationError when two models would share a folder, or a tree would be written over its own source.
    """
    labels = {job.model for job in session.jobs}
    if len({model_folder(label) for label in labels}) < len(labels):
        raise EvaluationError(f"two models would share one folder in {directory}; export one model at a time")
    written = []
    for job in session.jobs:
        if not is_embedded(job.entry, job.task):
            continue
        folder = Path(directory) / model_folder(job.model) / job.task.name
        write_embeddings(job, folder)
        written.append(folder)
        for fit in job.chosen(session.ledger):
            write_scores(job, fit, session.ledger, Path(directory))
    return written


def write_embeddings(job: Job, folder: Path) -> None:
    """Write one embeddings tree; its mark of completeness comes last.

    Raises EvaluationError when `folder` is where the task was read from.
    """
    task = job.task
    if folder.resolve() == task.path.resolve():
        raise EvaluationError(f"{folder} is the tree that was imported; export to another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    for name in (METADATA, VOCABULARY, *(f"{split}.json" for split in task.metadata.splits)):
        shutil.copyfile(task.path / name, folder / name)
    orders = row_orders({split: len(task.clips[split]) for split in task.metadata.splits})
    for split, order in orders.items():
        x = job.entry.read(split)
        (folder / dimensions_file(split)).write_text(json.dumps(x.shape), encoding="utf-8")
        with open(folder / embeddings_file(split), "wb") as file:
            _write_rows(file, x, order)
        # The clips of the task have their labels as text; the tree keeps them as the JSON has them.
        labels = list(json.loads((folder / f"{split}.json").read_bytes()).values())
        (folder / labels_file(split)).write_bytes(pickle.dumps([labels[i] for i in order], protocol=4))
    (folder / DONE).touch()


def _write_rows(file: BinaryIO, x: np.ndarray, order: Sequence[int]) -> None:
    for start in range(0, len(order), ROWS_PER_READ):
        file.write(np.ascontiguousarray(x[order[start : start + ROWS_PER_READ]], dtype="<f4").data)


def write_scores(job: Job, fit: SeededFit, ledger: Ledger, directory: Path) -> None:
    """Write the scores of one seed, if all its splits are finished."""
    keys = {split.test: job.key(split, fit) for split in job.splits}
    if not all(key in ledger for key in keys.values()):
        return
    records = {test: ledger[key] for test, key in keys.items()}
    folder = directory / seed_folder(job.model, fit[0]) / job.task.name
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / SCORES, predicted_scores(job, fit, records))
    done = {
        "time": 60 * sum(_minutes(record) for record in records.values()),
        "embedding_path": f"{model_folder(job.model)}/{job.task.name}",
        "embedding_size": job.entry.identity["dim"],
        "grid_points": len(job.preset.grid),
        "deterministic": True,
        "preset": job.preset.name,
        "seed": fit[0],
    }
    _write_json(folder / PREDICTED, done)


def predicted_scores(job: Job, fit: SeededFit, records: Mapping[str, FitRecord]) -> dict[str, Any]:
    """Return the content of `test.predicted-scores.json` for one seed; `records` by test part.

    As in the original, cross-validation adds mean and standard deviation (n - 1) over the folds.
    """
    parts = {test: _part(job, record) for test, record in records.items()}
    content: dict[str, Any] = dict(parts)
    if job.task.metadata.split_mode != "trainvaltest":
        content["aggregated_scores"] = _aggregated(list(parts.values()))
    return {
        **content,
        "hparams": dict(sorted({**asdict(fit[1]), **_FIXED_HPARAMS}.items())),
        "postprocessing": [],
        "score_mode": "max",
        "embedding_path": f"{model_folder(job.model)}/{job.task.name}",
    }


def _part(job: Job, record: FitRecord) -> dict[str, float]:
    return {
        "test_score": record.scores[job.primary],
        **{f"test_{name}": score for name, score in record.scores.items()},
        "validation_score": record.validation_score,
        "epoch": record.epoch,
        "time_in_min": _minutes(record),
    }


def _minutes(record: FitRecord) -> float:
    """Return one network's share of the time that its stack took."""
    return record.stack_seconds / record.stack_size / 60


def _aggregated(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found = {}
    for name in parts[0]:
        values = np.array([part[name] for part in parts], np.float64)
        with np.errstate(invalid="ignore"):  # infinite d' has no deviation
            found[f"{name}_mean"] = float(values.mean())
            found[f"{name}_std"] = float(values.std(ddof=1)) if math.isfinite(values.sum()) else math.nan
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as the original does, infinities and NaN included."""
    path.write_text(json.dumps(content, indent=4), encoding="utf-8")
