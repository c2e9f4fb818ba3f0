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
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import TaskError

METADATA_FILE = "task_metadata.json"
VOCABULARY_FILE = "labelvocabulary.csv"
BUILD_NOTES = "build_notes"
"""Key, in a built task's metadata, of the sentences that say where it departs from the published one."""

_CHOICES = {
    "embedding_type": ("scene", "event"),
    "prediction_type": ("multiclass", "multilabel"),
    "split_mode": ("trainvaltest", "new_split_kfold", "presplit_kfold"),
}
_ASKED = {name: ", ".join(choices) for name, choices in _CHOICES.items()} | {
    "splits": "a list such as train, valid, test",
    "sample_duration": "seconds, or null",
    "evaluation": "a list of scores",
}
"""What may stand in a field, for whoever left it out."""

_RESTORE = "write it anew, or unpack the task again if it was downloaded"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class TaskMetadata:
    """The content of `task_metadata.json`; `evaluation[0]` is the primary score.

    `sample_duration` is in seconds, None where clips have their own lengths. `synthetic` marks sample
    tasks and `part_of` (a sentence) a task built from a part of its data set; both are written only
    when set. `extra` keeps every other key of the file, so that nothing is lost on writing back.
    """

    task_name: str
    version: str
    embedding_type: str
    prediction_type: str
    split_mode: str
    splits: tuple[str, ...]
    sample_duration: float | None
    evaluation: tuple[str, ...]
    nfolds: int | None = None
    mode: str = "full"
    default_mode: str = "full"
    use_scoring_for_early_stopping: bool = True
    evaluation_params: Mapping[str, Any] = field(default_factory=dict)
    synthetic: bool = False
    part_of: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base_name(self) -> str:
        """Name of the task this one is, or is a sample or a part of: `esc50` for `esc50-sample`."""
        return self.task_name.removesuffix("-sample").removesuffix("-part")

    @property
    def build_notes(self) -> tuple[str, ...]:
        """Where a task that was built departs from the published one, a sentence each."""
        notes = self.extra.get(BUILD_NOTES)
        return tuple(map(str, notes)) if isinstance(notes, list) else ()

    @property
    def is_published(self) -> bool:
        """Whether nothing says that clips or folds differ from the published task's."""
        return not (self.synthetic or self.part_of or self.build_notes)


_FIELDS = {f.name: f for f in dataclasses.fields(TaskMetadata) if f.name != "extra"}


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


def read_metadata(path: Path | str) -> TaskMetadata:
    """Read and validate the `task_metadata.json` of the task directory `path`.

    Raises TaskError when the directory or the file is missing, or a field is absent or impossible.
    """
    path = Path(path)
    file = path / METADATA_FILE
    if not file.is_file():
        raise TaskError(f"{path} is not a task directory: it has no {METADATA_FILE}; check the path.")
    raw = read_json_object(file)
    for _, fault in metadata_faults(raw):
        raise TaskError(f"{file}: {fault}")
    values = {name: value for name, value in raw.items() if name in _FIELDS}
    values["splits"], values["evaluation"] = tuple(values["splits"]), tuple(values["evaluation"])
    return TaskMetadata(**values, extra={k: v for k, v in raw.items() if k not in _FIELDS})


def read_task(path: Path | str) -> Task:
    """Read and validate a whole task directory (the sound itself is read clip by clip, later).

    Raises TaskError, naming the file, when metadata, vocabulary or a split file is impossible, a label is
    not in the vocabulary, a multiclass clip has not exactly one label, or a clip named in a split file is
    missing from a sample-rate folder.
    """
    task = read_labels(path)
    if not task.sample_rates:
        wanted = ", ".join(task.metadata.splits)
        raise TaskError(
            f"{task.path} has no sample-rate folder (such as 48000) with all its splits ({wanted})."
        )
    _check_files(task)
    return task


def read_labels(path: Path | str) -> Task:
    """Read and validate metadata, vocabulary and split files of a task of which no sound need be there.

    Raises TaskError as `read_task` does, except for sound.
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

    The sound files are written separately (`tasks.audio.write_clip`); build the whole directory inside
    `tasks.work.new_directory`, so that it appears complete or not at all. Clips are written sorted by file
    name, the vocabulary by number if all labels are numbers, else by letter.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    every = [clip for split in clips.values() for clip in split]
    vocabulary = sort_labels(label for clip in every for label in _labels(clip))
    _write_json(directory / METADATA_FILE, _metadata_as_json(metadata))
    with open(directory / VOCABULARY_FILE, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([("idx", "label"), *enumerate(vocabulary)])
    for split in metadata.splits:
        entries = {c.file: _entry(c, metadata) for c in sorted(clips[split], key=lambda c: c.file)}
        _write_json(directory / f"{split}.json", entries)
    return vocabulary


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of HEAR's vocabulary: numeric if all are numbers, else lexicographic."""
    labels = set(labels)
    if all(_NUMBER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=float))
    return tuple(sorted(labels))


def _labels(clip: Clip) -> list[str]:
    return [*clip.labels, *(event.label for event in clip.events)]


def _has_no_default(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def read_json_object(file: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object; TaskError when it does not."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"{file} cannot be read ({error.strerror}); {_RESTORE}.") from error
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{file} is not valid JSON ({error}); {_RESTORE}.") from error
    if not isinstance(content, dict):
        raise TaskError(f"{file} must hold one JSON object, not a {type(content).__name__}.")
    return content


def metadata_faults(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the content of a task_metadata.json: a field and a sentence each."""
    missing = [f.name for f in _FIELDS.values() if _has_no_default(f) and f.name not in raw]
    if missing:
        named = [f"{name} ({_ASKED[name]})" if name in _ASKED else name for name in missing]
        yield missing[0], f"it lacks {', '.join(named)}; HEAR's task format asks for them: add them."
    for name, choices in _CHOICES.items():
        if name in raw and raw[name] not in choices:
            yield name, f"{name} is {raw[name]!r}; it must be one of {', '.join(choices)}."
    if raw.get("embedding_type") == "event" and raw.get("prediction_type") == "multiclass":
        yield "prediction_type", "a task of events has prediction_type multilabel: any number at a time."
    for name in ("splits", "evaluation"):
        if name in raw and not _is_list_of_names(raw[name]):
            yield name, f"{name} is {raw[name]!r}; it must be a list of distinct names."
    for name in ("task_name", "version"):
        if name in raw and (not isinstance(raw[name], str) or not raw[name]):
            yield name, f"{name} is {raw[name]!r}; it must be a non-empty string."
    duration = raw.get("sample_duration")
    if duration is not None and (not _is_number(duration) or duration <= 0):
        yield "sample_duration", f"sample_duration is {duration!r}; it must be seconds above 0, or null."
    params = raw.get("evaluation_params", {})
    if not isinstance(params, dict) or not isinstance(params.get("task_specific_param_grid") or {}, dict):
        text = f"evaluation_params is {params!r}; it must be an object, and so must its"
        yield "evaluation_params", f"{text} task_specific_param_grid."
    if _is_list_of_names(raw.get("splits")):
        yield from _splits_faults(raw["splits"], raw.get("split_mode"), raw.get("nfolds"))


def _splits_faults(splits: Sequence[str], mode: Any, nfolds: Any) -> Iterator[tuple[str, str]]:
    if mode == "trainvaltest":
        if sorted(splits) != ["test", "train", "valid"]:
            yield "split_mode", f"splits are {splits}; trainvaltest asks for train, valid, test."
    elif len(splits) < 3:
        yield "split_mode", f"splits are {splits}; split_mode {mode} asks for at least 3 folds."
    elif nfolds is not None and nfolds != len(splits):
        yield "nfolds", f"nfolds is {nfolds} but splits names {len(splits)}; make them agree."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_names(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(v, str) and _is_plain_name(v) for v in value) and len(set(value)) == len(value)


def _is_plain_name(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "/" not in name and "\\" not in name


def read_vocabulary(file: Path) -> tuple[list[str], list[str]]:
    """The labels of a labelvocabulary.csv by index, and what is wrong with them, a sentence each.

    Raises TaskError when it is no such file at all.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as source:
            rows = [(int(row["idx"]), row["label"]) for row in csv.DictReader(source)]
    except OSError as error:
        raise TaskError(f"{file} cannot be read ({error.strerror}); {_RESTORE}.") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise TaskError(f"{file} must be a CSV file with the columns idx and label.") from error
    faults = []
    if not rows or sorted(i for i, _ in rows) != list(range(len(rows))):
        faults.append("idx must count 0, 1, 2, ... without a gap, a repeat or an empty file.")
    labels = [label for _, label in sorted(rows, key=lambda row: row[0])]
    if None in labels or len(set(labels)) != len(labels):
        faults.append("every row needs a label and no label may appear twice.")
    return labels, faults


def _read_split(file: Path, metadata: TaskMetadata, vocabulary: Iterable[str]) -> tuple[Clip, ...]:
    entries = read_json_object(file)
    if not entries:
        raise TaskError(f"{file} names no clip; a split must not be empty.")
    known = frozenset(vocabulary)
    return tuple(read_entry(file, name, entry, metadata, known) for name, entry in entries.items())


def read_entry(file: Path, name: str, entry: Any, metadata: TaskMetadata, known: frozenset[str]) -> Clip:
    """One clip of a split's JSON `file`, whose labels must be `known`; TaskError when it cannot be one."""
    if not _is_plain_name(name):
        raise TaskError(f"{file}: {name!r} is not a plain file name; clips lie directly in their folder.")
    if not isinstance(entry, list):
        raise TaskError(f"{file}: the entry of {name} must be a list, not {entry!r}.")
    events: tuple[Event, ...] = ()
    if metadata.embedding_type == "event":
        events = tuple(_read_event(file, name, item) for item in entry)
        labels = tuple(dict.fromkeys(event.label for event in events))
    else:
        labels = tuple(str(label) for label in entry)
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise TaskError(f"{file}: {name} has the label {unknown[0]!r}, which is not in {VOCABULARY_FILE}.")
    if metadata.embedding_type == "scene" and metadata.prediction_type == "multiclass" and len(labels) != 1:
        raise TaskError(f"{file}: {name} has {len(labels)} labels; a multiclass clip has exactly one.")
    return Clip(file=name, labels=labels, events=events)


def _read_event(file: Path, name: str, item: Any) -> Event:
    try:
        event = Event(label=str(item["label"]), start=float(item["start"]), end=float(item["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise TaskError(f"{file}: an event of {name} needs label, start, end (ms), not {item!r}.") from error
    if not 0 <= event.start <= event.end < math.inf:
        raise TaskError(f"{file}: an event of {name} must have 0 <= start <= end (ms), not {item!r}.")
    return event


def _sample_rates(audio_root: Path, splits: Iterable[str]) -> tuple[int, ...]:
    folders = [f for f in audio_root.iterdir() if f.name.isdecimal() and f.is_dir()]
    return tuple(sorted(int(f.name) for f in folders if all((f / split).is_dir() for split in splits)))


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
