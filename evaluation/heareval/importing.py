"""Embeddings trees of the original benchmark's program (heareval 2021) brought into the store as they stand.

Rows of a tree are the clips of `<split>.json` in the order of `protocol.row_orders`; of a task of events the
clips are in that order and each has its frames in time order. On import they go back to the order of the JSON
and are from then on embeddings like any others; neither model nor sound is needed. The labels stored beside
the rows must be those that the order gives them.
"""

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from evaluation.embedding.embed import is_embedded
from evaluation.embedding.store import Imported, StoreEntry
from evaluation.errors import EvaluationError
from evaluation.heareval.files import (
    ROWS_AT_ONCE,
    dimensions_in_tree,
    embeddings_in_tree,
    find_trees,
    frames_in_tree,
    labels_in_tree,
    read_embeddings,
    read_frame_index,
    read_label_lists,
    tree_files,
)
from evaluation.models.marks import FileState, states_of, touched_file
from evaluation.probes.events import frame_targets
from evaluation.probes.splits import row_orders
from evaluation.progress import progress_bar
from tasks import Clip, Task, read_labels, read_metadata


def import_tree(directory: Path, cache: Path, tasks: Collection[str] | None = None) -> list[Imported]:
    """Bring every task folder at, in, or two levels below `directory` into the store below `cache`.

    `tasks` are the names of the folders that are wanted, None for all. What the store has already is
    checked but not written again. Raises EvaluationError or TaskError, naming
    the file, when nothing is found, or something is missing, damaged or does not belong together.
    """
    folders = [folder for folder in find_trees(directory) if tasks is None or folder.name in tasks]
    bar = progress_bar(iterable=folders, desc="import", unit="task", delay=1)
    imported = [_import_task(folder, cache / "embeddings") for folder in bar]
    first: dict[str, Task] = {}
    for task in (item.task for item in imported):
        known = first.setdefault(task.name, task)
        if (known.vocabulary, known.clips) != (task.vocabulary, task.clips):
            raise EvaluationError(
                f"{known.path} and {task.path} have one name but other clips or labels; "
                "import them one by one"
            )
    return imported


@dataclass(frozen=True)
class _Part:
    """One split of a tree. The clip at place p of the shuffled order has the rows from boundaries[p] on."""

    file: Path
    embeddings: Float[np.ndarray, "rows dim"]
    order: Sequence[int]
    boundaries: Int[np.ndarray, " clips_and_1"]
    timestamps: Float[np.ndarray, " frames"] | None

    def spans(self) -> list[tuple[int, int]]:
        """First row and end of every clip, in the order of the JSON."""
        return [(self.boundaries[p], self.boundaries[p + 1]) for p in np.argsort(self.order)]

    def rows(self, which: Int[np.ndarray, " some"] | slice) -> Float[np.ndarray, "some dim"]:
        """Return some rows; raise EvaluationError when a number is not finite."""
        found = self.embeddings[which]
        if not np.isfinite(found).all():
            raise EvaluationError(
                f"{self.file} has NaN or infinite values, which cannot be trained on; embed again"
            )
        return found


def _import_task(folder: Path, store: Path) -> Imported:
    """Check one task folder and write its embeddings into the store where they are missing.

    Raises EvaluationError, naming it, for a file that changes while it is read.
    """
    states = states_of(folder / name for name in tree_files(read_metadata(folder)))
    task = read_labels(folder)
    orders = row_orders({split: len(task.clips[split]) for split in task.metadata.splits})
    read = _scene_part if task.metadata.embedding_type == "scene" else _event_part
    parts = {split: read(folder, task, split, order) for split, order in orders.items()}
    dims = sorted({part.embeddings.shape[1] for part in parts.values()})
    if len(dims) > 1:
        raise EvaluationError(f"{folder}: its splits have embeddings of {dims} dimensions; embed again")
    entry = StoreEntry(store, _imported_identity(folder, task, dims[0]))
    _refuse_touched_import(states)
    if not is_embedded(entry, task):
        with entry.writing():
            for split, part in parts.items():
                _write_imported(entry, split, part, states)
    return Imported(folder.parent.name, task, entry)


def _imported_identity(folder: Path, task: Task, dim: int) -> dict[str, Any]:
    """Return what the entry's values depend on: the content of the files, no model and no sound."""
    digest = hashlib.sha256()
    for name in tree_files(task.metadata):
        with open(folder / name, "rb") as file:
            digest.update(f"{name}\n".encode() + hashlib.file_digest(file, "sha256").digest())
    return {
        "heareval_tree": folder.parent.name,
        "content": digest.hexdigest(),
        "task": task.name,
        "source_rate": None,
        "sample_rate": None,
        "embedding": task.metadata.embedding_type,
        "dim": dim,
        "dtype": "float32",
    }


def _scene_part(folder: Path, task: Task, split: str, order: Sequence[int]) -> _Part:
    x, stored = read_embeddings(folder, split), read_label_lists(folder / labels_in_tree(split))
    if len(x) != len(order):
        raise EvaluationError(
            f"{folder / dimensions_in_tree(split)} speaks of {len(x)} rows but {split}.json of {len(order)} "
            "clips; they do not belong together: embed the task again"
        )
    if [tuple(map(str, labels)) for labels in stored] != [task.clips[split][i].labels for i in order]:
        raise _labels_differ_from_task(folder, split)
    return _Part(folder / embeddings_in_tree(split), x, order, np.arange(len(order) + 1), None)


def _labels_differ_from_task(folder: Path, split: str) -> EvaluationError:
    return EvaluationError(
        f"{folder / labels_in_tree(split)} does not list the labels of {split}.json in the order in which "
        "heareval shuffles them; the files do not belong together: embed the task again"
    )


def _event_part(folder: Path, task: Task, split: str, order: Sequence[int]) -> _Part:
    x, clips = read_embeddings(folder, split), [task.clips[split][i] for i in order]
    file = folder / frames_in_tree(split)
    names, times = read_frame_index(file)
    lengths = [(name, len(list(group))) for name, group in itertools.groupby(names)]
    if [name for name, _ in lengths] != [clip.file for clip in clips]:
        raise EvaluationError(
            f"{file} does not name the clips of {split}.json in the order in which heareval shuffles them; "
            "the files do not belong together: embed the task again"
        )
    part = _Part(
        folder / embeddings_in_tree(split), x, order, np.cumsum([0, *(n for _, n in lengths)]), times
    )
    stored = read_label_lists(folder / labels_in_tree(split))
    if not len(x) == len(times) == len(stored):
        raise EvaluationError(
            f"{folder}: {split} has {len(x)} embeddings, {len(times)} times and {len(stored)} lists of "
            "labels; embed the task again"
        )
    _check_imported_frames(folder, task, split, part, clips, stored)
    return part


def _check_imported_frames(
    folder: Path, task: Task, split: str, part: _Part, clips: Sequence[Clip], stored: Sequence[Sequence]
) -> None:
    """Make sure that times ascend and that every frame has the labels of the events that cover it."""
    assert part.timestamps is not None  # a part of frames
    for clip, (first, last) in zip(clips, itertools.pairwise(part.boundaries), strict=True):
        times = part.timestamps[first:last]
        if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise EvaluationError(
                f"{folder / frames_in_tree(split)}: the times of {clip.file} do not ascend; embed the task "
                "again"
            )
        targets = frame_targets(times, clip.events, task.vocabulary)
        for labels, target in zip(stored[first:last], targets, strict=True):
            if set(map(str, labels)) != {task.vocabulary[i] for i in np.flatnonzero(target)}:
                raise _labels_differ_from_task(folder, split)


def _refuse_touched_import(states: Mapping[Path, FileState | None]) -> None:
    if path := touched_file(states):
        raise EvaluationError(f"{path} changed while it was imported; run the command again")


def _write_imported(
    entry: StoreEntry, split: str, part: _Part, states: Mapping[Path, FileState | None]
) -> None:
    """Copy a split into the store in the order of its JSON."""
    if part.timestamps is not None:
        with entry.frame_writer(split, part.embeddings.shape[1]) as writer:
            for first, last in part.spans():
                writer.append_clips(part.rows(slice(first, last))[None], part.timestamps[None, first:last])
            _refuse_touched_import(states)
        return
    row_of_clip = np.argsort(part.order)
    with entry.writer(split, *part.embeddings.shape) as writer:
        for start in range(0, len(row_of_clip), ROWS_AT_ONCE):
            writer.append(part.rows(row_of_clip[start : start + ROWS_AT_ONCE]))
        _refuse_touched_import(states)
