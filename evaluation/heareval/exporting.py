"""A run written as the original benchmark's program (heareval 2021) would have left it.

`DIR/<model>/<task>/` is the embeddings tree, on which that program can be run; `importing` reads it back. The
program keeps the scores of one run beside the embeddings, so the scores of each seed are in a folder of their
own, named as the MW-MAE authors named theirs: `DIR/<model>_r1_<seed>/<task>/` with `test.predicted-
scores.json` and `prediction-done.json`. A tree with the latter would be skipped.
"""

import glob
import hashlib
import json
import math
import pickle
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from evaluation.embedding.embed import is_embedded
from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.heareval.files import (
    METADATA,
    ROWS_AT_ONCE,
    VOCABULARY,
    Label,
    dimensions_in_tree,
    embeddings_in_tree,
    frames_in_tree,
    labels_in_tree,
    read_tree_json,
)
from evaluation.probes.config import Config, ProbeConfig
from evaluation.probes.events import event_part
from evaluation.probes.splits import row_orders
from evaluation.results.ledger import FitRecord, Ledger
from evaluation.runs.job import Job, SeededFit
from evaluation.runs.plan import Session

DONE = ".done.embeddings"
SCORES = "test.predicted-scores.json"
PREDICTED = "prediction-done.json"
LONGEST_FOLDER = 240
"""Bytes of a model's folder, to which `_r1_<seed>` is added; file systems take 255."""

_FIXED_HPARAMS = {
    "embedding_norm": repr(torch.nn.Identity),
    "hidden_norm": repr(torch.nn.BatchNorm1d),
    "norm_after_activation": False,
    "optim": repr(torch.optim.Adam),
}


def model_folder(label: str) -> str:
    """Return the model's name as a folder name: what is no letter, digit or one of `_.=-` becomes `-`.

    One that is too long for a folder ends in a hash.
    """
    name = re.sub(r"[^\w.=-]+", "-", label).strip("-.") or "model"
    if len(name.encode()) > LONGEST_FOLDER:
        name = f"{name[:60]}-{hashlib.sha256(label.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return name


def seed_folder(label: str, seed: int) -> str:
    """Return the name of the folder with one seed's scores."""
    return f"{model_folder(label)}_r1_{seed:02d}"


def seed_score_files(folder: Path) -> list[Path]:
    """Return the files with our scores, one per seed, that belong to an exported embeddings tree."""
    return sorted(folder.parents[1].glob(f"{glob.escape(folder.parent.name)}_r1_*/{folder.name}/{SCORES}"))


def export_run(session: Session, directory: Path) -> list[Path]:
    """Write every job whose embeddings are there, with the scores of every finished seed.

    Files of an earlier export are replaced. Low-data budgets, which the original does not know, are left
    out. Returns the task folders with embeddings. Raises EvaluationError when two models would share a
    folder, or a tree would be written over its own source.
    """
    labels = {job.model for job in session.jobs}
    if len({model_folder(label) for label in labels}) < len(labels):
        raise EvaluationError(f"two models would share a folder in {directory}; export one model at a time")
    written = []
    for job in session.jobs:
        if job.budget < 100 or not is_embedded(job.entry, job.task):
            continue
        folder = Path(directory) / model_folder(job.model) / job.task.name
        write_embeddings(job, folder)
        written.append(folder)
        scores = [
            write_scores(job, fit, session.ledger, Path(directory)) for fit in job.chosen(session.ledger)
        ]
        for stale in set(seed_score_files(folder)).difference(scores) if any(scores) else ():
            stale.with_name(PREDICTED).unlink(missing_ok=True)  # of a seed that this run does not have
            stale.unlink()
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
    write = _export_scenes if task.metadata.embedding_type == "scene" else _export_frames
    for split, order in row_orders({s: len(task.clips[s]) for s in task.metadata.splits}).items():
        # The task's clips have their labels as text; the tree keeps them as the JSON has them.
        entries = read_tree_json(folder / f"{split}.json")
        write(job, folder, split, order, [entries[task.clips[split][i].file] for i in order])
    (folder / DONE).touch()


def _export_scenes(job: Job, folder: Path, split: str, order: Sequence[int], entries: Sequence[list]) -> None:
    _export_rows(folder, split, job.entry.read(split), np.array(order))
    _export_labels(folder, split, entries)


def _export_frames(job: Job, folder: Path, split: str, order: Sequence[int], entries: Sequence[list]) -> None:
    frames = job.entry.read_frames(split)
    part = event_part(job.task.clips[split], frames, order, job.task.vocabulary)
    _export_rows(folder, split, frames.embeddings, part.rows)
    as_written = {str(event["label"]): event["label"] for events in entries for event in events}
    targets = part.targets()
    _export_labels(
        folder, split, [[as_written[job.task.vocabulary[i]] for i in np.flatnonzero(row)] for row in targets]
    )
    names = np.repeat(
        [f"{'/'.join(folder.parts[-2:])}/{split}/{file}" for file in part.files], np.diff(part.boundaries)
    )
    index = list(zip(names.tolist(), part.timestamps.tolist(), strict=True))
    (folder / frames_in_tree(split)).write_text(json.dumps(index, indent=4), encoding="utf-8")


def _export_rows(
    folder: Path, split: str, x: Float[np.ndarray, "stored dim"], rows: Int[np.ndarray, " rows"]
) -> None:
    """Write the stored rows in the order given."""
    (folder / dimensions_in_tree(split)).write_text(json.dumps([len(rows), x.shape[1]]), encoding="utf-8")
    with open(folder / embeddings_in_tree(split), "wb") as file:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            file.write(np.ascontiguousarray(x[rows[start : start + ROWS_AT_ONCE]], dtype="<f4").data)


def _export_labels(folder: Path, split: str, labels: Sequence[list[Label]]) -> None:
    (folder / labels_in_tree(split)).write_bytes(pickle.dumps(list(labels), protocol=4))


def write_scores(job: Job, fit: SeededFit, ledger: Ledger, directory: Path) -> Path | None:
    """Write the scores of one seed, if all its splits are finished; return their file."""
    keys = {split.test: job.key(split, fit) for split in job.splits}
    if not all(key in ledger for key in keys.values()):
        return None
    records = {test: ledger[key] for test, key in keys.items()}
    folder = directory / seed_folder(job.model, fit[0]) / job.task.name
    folder.mkdir(parents=True, exist_ok=True)
    _export_json(folder / SCORES, predicted_scores(job, fit, records))
    done = {
        "time": sum(record.seconds for record in records.values()),
        "embedding_path": f"{model_folder(job.model)}/{job.task.name}",
        "embedding_size": job.entry.identity["dim"],
        "grid_points": job.preset.n_points,
        "deterministic": True,
        "preset": job.preset.title,
        "seed": fit[0],
    }
    _export_json(folder / PREDICTED, done)
    return folder / SCORES


def predicted_scores(job: Job, fit: SeededFit, records: Mapping[str, FitRecord]) -> dict[str, Any]:
    """Return the content of `test.predicted-scores.json` for one seed; `records` by test part.

    As in the original, cross-validation adds mean and standard deviation (n - 1) over the folds, and the
    postprocessing of events is that of the first split.
    """
    parts = {test: _exported_part(job, record) for test, record in records.items()}
    content: dict[str, Any] = dict(parts)
    if job.task.metadata.split_mode != "trainvaltest":
        content["aggregated_scores"] = _aggregated_scores(list(parts.values()))
    return {
        **content,
        "hparams": _exported_hparams(fit[1]),
        "postprocessing": list(records[job.splits[0].test].postprocessing.items()),
        "score_mode": "min" if job.minimised else "max",
        "embedding_path": f"{model_folder(job.model)}/{job.task.name}",
    }


def _exported_hparams(config: Config) -> dict[str, Any]:
    fixed = _FIXED_HPARAMS if isinstance(config, ProbeConfig) else {}
    return dict(sorted({**asdict(config), **fixed}.items()))


def _exported_part(job: Job, record: FitRecord) -> dict[str, float]:
    loss = {} if record.test_loss is None else {"test_loss": record.test_loss}
    return {
        **loss,
        "test_score": record.scores[job.primary],
        **{f"test_{name}": score for name, score in record.scores.items()},
        "validation_score": record.validation_score,
        "epoch": record.epoch,
        "time_in_min": record.seconds / 60,
    }


def _aggregated_scores(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found = {}
    for name in parts[0]:
        values = np.array([part[name] for part in parts], np.float64)
        with np.errstate(invalid="ignore"):  # d' may be infinite, of either sign
            found[f"{name}_mean"] = float(values.mean())
        found[f"{name}_std"] = float(values.std(ddof=1)) if np.isfinite(values).all() else math.nan
    return found


def _export_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as the original does, infinities and NaN included."""
    write_atomically(path, json.dumps(content, indent=4))
