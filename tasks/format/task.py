"""The HEAR task directory, read and written.

`<tasks-dir>/<task_name>-<version>-<mode>/` holds `task_metadata.json`, `labelvocabulary.csv`, one
`<split>.json` per split and the clips as `<sample_rate>/<split>/<file>.wav`. Source: the HEAR 2021
protocol (Turian et al. 2022), whose archives must be read as they are.
"""

import csv
import dataclasses
import functools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import TaskError
from tasks.format.alike import look, name_fault, text_fault
from tasks.format.audio import TASK_RATES
from tasks.format.labels import read_vocabulary, sort_labels
from tasks.format.metadata import (
    METADATA_FILE,
    TaskMetadata,
    is_number,
    read_json_object,
    read_metadata,
    shown,
)
from tasks.names import printable

VOCABULARY_FILE = "labelvocabulary.csv"


@dataclass(frozen=True)
class Event:
    """A labelled stretch of a clip; `start` and `end` in milliseconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Clip:
    """One sound file of a split: `file` is its name with `.wav`, `events` only in event tasks."""

    file: str
    labels: tuple[str, ...]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Task:
    """A validated task directory; `clips` maps each split to its clips in the order of the JSON file.

    `audio_root` holds the sample-rate folders: the task directory itself, or a cache of resampled clips.
    """

    path: Path
    metadata: TaskMetadata
    vocabulary: tuple[str, ...]
    clips: Mapping[str, tuple[Clip, ...]]
    audio_root: Path

    @property
    def name(self) -> str:
        """Name of the task directory."""
        return self.path.name

    @functools.cached_property
    def sample_rates(self) -> tuple[int, ...]:
        """Sample rates (Hz, ascending) whose folder has every split."""
        return _sample_rates(self.audio_root, self.metadata.splits)

    def audio_path(self, split: str, file: str, sample_rate: int) -> Path:
        """Path of one clip at one sample rate (Hz)."""
        return self.audio_root / str(sample_rate) / split / file


def read_task(path: Path | str) -> Task:
    """Read and validate a whole task directory (the sound itself is read clip by clip, later).

    Raises TaskError, naming the file, when metadata, vocabulary or a split file is impossible, a label is
    not in the vocabulary, a multiclass clip has not exactly one label, or a clip named in a split file is
    missing from a sample-rate folder.

    Example:
        >>> task = read_task(sample_tasks / "esc50-sample")
        >>> task.metadata.splits[0], len(task.clips["fold00"]), task.sample_rates
        ('fold00', 20, (16000, 44100))
    """
    task = read_labels(path)
    if not task.sample_rates:
        wanted = ", ".join(task.metadata.splits)
        others = "".join(f"; {name} is no rate that is used" for name in rate_folders(task.audio_root)[1][:3])
        raise TaskError(
            f"{task.path} has no sample-rate folder (such as 48000; {TASK_RATES[0]} to {TASK_RATES[-1]} Hz) "
            f"with all its splits ({wanted}){others}."
        )
    _check_files(task)
    return task


def read_labels(path: Path | str) -> Task:
    """Read and validate metadata, vocabulary and split files of a task of which no sound need be there.

    Raises TaskError as `read_task` does, except for sound.

    Example:
        >>> task = read_labels(sample_tasks / "beijing_opera-sample")
        >>> len(task.vocabulary)
        4
    """
    path = Path(path)
    metadata = read_metadata(path)
    vocabulary, faults = read_vocabulary(path / VOCABULARY_FILE)
    for fault in faults:
        raise TaskError(f"{path / VOCABULARY_FILE}: {fault}")
    clips = {split: _read_split(path / f"{split}.json", metadata, vocabulary) for split in metadata.splits}
    return Task(path=path, metadata=metadata, vocabulary=tuple(vocabulary), clips=clips, audio_root=path)


def write_task(
    directory: Path | str, metadata: TaskMetadata, clips: Mapping[str, Sequence[Clip]]
) -> tuple[str, ...]:
    """Write metadata, vocabulary and split files into `directory`; return the vocabulary.

    The sound files are written separately (`tasks.format.audio.write_clip`); build the whole directory inside
    `tasks.work.new_directory`, so that it appears complete or not at all. Clips are written sorted by file
    name, the vocabulary by number if all labels are numbers, else by letter.

    Example:
        >>> task = read_labels(sample_tasks / "libricount-sample")
        >>> vocabulary = write_task(folder / "copy", task.metadata, task.clips)
        >>> vocabulary == task.vocabulary
        True
    """
    directory = Path(directory)
    every = [clip for split in clips.values() for clip in split]
    for clip in every:
        if fault := clip_fault(clip):
            raise TaskError(f"the clip {fault}; it could not be read again: rename it.")
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = sort_labels(label for clip in every for label in _labels(clip))
    _write_json(directory / METADATA_FILE, _metadata_as_json(metadata))
    with open(directory / VOCABULARY_FILE, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([("idx", "label"), *enumerate(vocabulary)])
    for split in metadata.splits:
        entries = {c.file: _entry(c, metadata) for c in sorted(clips[split], key=lambda c: c.file)}
        _write_json(directory / f"{split}.json", entries)
    return vocabulary


def clip_fault(clip: Clip) -> str | None:
    """Why the name or a label of a clip could not be read back from a task; None when they can."""
    name = f"'{printable(clip.file)}'"
    if fault := name_fault(clip.file):
        return f"{name} {fault}"
    return next((f"{name} has a label that {f}" for f in map(text_fault, _labels(clip)) if f), None)


def _labels(clip: Clip) -> list[str]:
    return [*clip.labels, *(event.label for event in clip.events)]


def _read_split(file: Path, metadata: TaskMetadata, vocabulary: Iterable[str]) -> tuple[Clip, ...]:
    entries = read_json_object(file)
    if not entries:
        raise TaskError(f"{file} names no clip; a split must not be empty.")
    known = frozenset(vocabulary)
    return tuple(read_entry(file, name, entry, metadata, known) for name, entry in entries.items())


def read_entry(file: Path, name: str, entry: Any, metadata: TaskMetadata, known: frozenset[str]) -> Clip:
    """One clip of a split's JSON `file`, whose labels must be `known`; TaskError when it cannot be one."""
    if fault := name_fault(name):
        raise TaskError(
            f"{file}: '{printable(name)}' {fault}; rename it: clips lie directly in their folder."
        )
    if not isinstance(entry, list):
        raise TaskError(f"{file}: the entry of {name} must be a list, not {shown(entry)}.")
    events: tuple[Event, ...] = ()
    if metadata.embedding_type == "event":
        events = tuple(_read_event(file, name, item) for item in entry)
        labels = tuple(dict.fromkeys(event.label for event in events))
    else:
        labels = tuple(_label(label) for label in entry)
    unknown = [label for label in labels if label not in known]
    if unknown:
        what = f"{name} has the label {shown(unknown[0])}, which is not in {VOCABULARY_FILE}"
        alike = sorted(label for label in known if look(label) == look(unknown[0]))
        raise TaskError(f"{file}: {what}{f', where {alike[0]!r} looks like it' if alike else ''}.")
    if metadata.embedding_type == "scene" and metadata.prediction_type == "multiclass" and len(labels) != 1:
        raise TaskError(f"{file}: {name} has {len(labels)} labels; a multiclass clip has exactly one.")
    return Clip(file=name, labels=labels, events=events)


def _label(value: Any) -> str:
    """A label as it stands in the vocabulary: HEAR's numbers are numbers in JSON."""
    return str(value) if isinstance(value, str | int | float) else shown(value)


def _read_event(file: Path, name: str, item: Any) -> Event:
    values = item if isinstance(item, dict) else {}
    start, end = values.get("start"), values.get("end")
    if "label" not in values or not is_number(start) or not is_number(end):
        raise TaskError(f"{file}: an event of {name} needs label, start, end (ms), not {shown(item)}.")
    if not 0 <= start <= end < math.inf:
        raise TaskError(f"{file}: an event of {name} must have 0 <= start <= end (ms), not {shown(item)}.")
    return Event(label=_label(values["label"]), start=float(start), end=float(end))


def rate_folders(audio_root: Path) -> tuple[dict[int, Path], list[str]]:
    """Sample rate (Hz) -> its folder, ascending, and the names of folders whose number can be no rate."""
    names = [f.name for f in audio_root.iterdir() if f.name.isdecimal() and f.is_dir()]
    rates = {name: int(name) for name in names if len(name) < 8}
    good = {
        rate: audio_root / name for name, rate in rates.items() if rate in TASK_RATES and name == str(rate)
    }
    return dict(sorted(good.items())), sorted(set(names) - {str(rate) for rate in good})


def _sample_rates(audio_root: Path, splits: Iterable[str]) -> tuple[int, ...]:
    folders, _ = rate_folders(audio_root)
    return tuple(rate for rate, f in folders.items() if all((f / split).is_dir() for split in splits))


def _check_files(task: Task) -> None:
    for rate in task.sample_rates:
        for split, clips in task.clips.items():
            present = set(os.listdir(task.audio_root / str(rate) / split))
            missing = [clip.file for clip in clips if clip.file not in present]
            if missing:
                absent = task.audio_path(split, missing[0], rate)
                raise TaskError(
                    f"{task.path / split}.json names {missing[0]}, but {absent} "
                    f"is missing ({len(missing)} missing there in all); add it, unpack the task again if "
                    f"it was downloaded, or remove the folder {rate} if another rate is complete."
                )


def _metadata_as_json(metadata: TaskMetadata) -> dict[str, Any]:
    content = {f.name: getattr(metadata, f.name) for f in dataclasses.fields(metadata) if f.name != "extra"}
    for name in ("nfolds", "part_of"):
        if content[name] is None:
            del content[name]
    for name in ("synthetic", "evaluation_params"):
        if not content[name]:
            del content[name]
    return {**content, **metadata.extra}


def _entry(clip: Clip, metadata: TaskMetadata) -> list[Any]:
    if metadata.embedding_type == "event":
        return [dataclasses.asdict(event) for event in clip.events]
    return list(clip.labels)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
