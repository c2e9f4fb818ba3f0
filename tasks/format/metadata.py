"""A task's `task_metadata.json`, read and checked."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from tasks.errors import TaskError
from tasks.format.alike import name_fault, text_fault
from tasks.json_files import read_json

METADATA_FILE = "task_metadata.json"
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

MAX_METADATA_BYTES = 4 << 20
MAX_SPLIT_BYTES = 64 << 20
"""Sizes of JSON files; HEAR's largest metadata have 10 KB, its largest split 8 MB."""
MAX_SECONDS = 36000.0
"""Length that the metadata may state for all clips."""

_RESTORE = "write it anew, or unpack the task again if it was downloaded"
_SHOWN = 100


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


def read_metadata(path: Path | str) -> TaskMetadata:
    """Read and validate the `task_metadata.json` of the task directory `path`.

    Raises TaskError when the directory or the file is missing, or a field is absent or impossible.

    Example:
        >>> read_metadata(sample_tasks / "fsd50k-sample").evaluation[0]
        'mAP'
    """
    path = Path(path)
    file = path / METADATA_FILE
    if not file.is_file():
        raise TaskError(f"{path} is not a task directory: it has no {METADATA_FILE}; check the path.")
    raw = read_json_object(file, MAX_METADATA_BYTES)
    for _, fault in metadata_faults(raw):
        raise TaskError(f"{file}: {fault}")
    values = {name: value for name, value in raw.items() if name in _FIELDS}
    values["splits"], values["evaluation"] = tuple(values["splits"]), tuple(values["evaluation"])
    return TaskMetadata(**values, extra={k: v for k, v in raw.items() if k not in _FIELDS})


def _has_no_default(f: dataclasses.Field) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def read_json_object(file: Path, max_bytes: int = MAX_SPLIT_BYTES) -> dict[str, Any]:
    """Content of a JSON file that holds an object; TaskError when it does not."""
    if file.exists() and not file.is_file():
        raise TaskError(f"{file} is no file; {_RESTORE}.")
    try:
        content = read_json(file, max_bytes=max_bytes)
    except OSError as error:
        raise TaskError(f"{file} cannot be read ({error.strerror}); {_RESTORE}.") from error
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
            yield name, f"{name} is {shown(raw[name])}; it must be one of {', '.join(choices)}."
    if raw.get("embedding_type") == "event" and raw.get("prediction_type") == "multiclass":
        yield "prediction_type", "a task of events has prediction_type multilabel: any number at a time."
    for name in ("splits", "evaluation"):
        if name in raw and not _is_list_of_names(raw[name]):
            yield name, f"{name} is {shown(raw[name])}; it must be a list of distinct names."
    for name in ("task_name", "version", "mode", "default_mode"):
        if name in raw and (not isinstance(raw[name], str) or text_fault(raw[name])):
            yield name, f"{name} is {shown(raw[name])}; it must be a non-empty string on one line."
    for name in ("use_scoring_for_early_stopping", "synthetic"):
        if not isinstance(raw.get(name, False), bool):
            yield name, f"{name} is {shown(raw[name])}; it must be true or false."
    if not isinstance(raw.get("part_of"), str | None):
        yield "part_of", f"part_of is {shown(raw['part_of'])}; it must be a string."
    duration = raw.get("sample_duration")
    if duration is not None and not (is_number(duration) and 0 < duration <= MAX_SECONDS):
        what = f"it must be seconds above 0, {MAX_SECONDS:.0f} at most, or null."
        yield "sample_duration", f"sample_duration is {shown(duration)}; {what}"
    params = raw.get("evaluation_params", {})
    if not isinstance(params, dict) or not isinstance(params.get("task_specific_param_grid") or {}, dict):
        text = f"evaluation_params is {shown(params)}; it must be an object, and so must its"
        yield "evaluation_params", f"{text} task_specific_param_grid."
    if _is_list_of_names(raw.get("splits")):
        yield from _splits_faults(raw["splits"], raw.get("split_mode"), raw.get("nfolds"))


def _splits_faults(splits: Sequence[str], mode: Any, nfolds: Any) -> Iterator[tuple[str, str]]:
    if mode == "trainvaltest":
        if sorted(splits) != ["test", "train", "valid"]:
            yield "split_mode", f"splits are {shown(splits)}; trainvaltest asks for train, valid, test."
    elif len(splits) < 3:
        yield "split_mode", f"splits are {splits}; split_mode {shown(mode)} asks for at least 3 folds."
    if nfolds is not None and not (is_number(nfolds) and nfolds == len(splits)) and mode != "trainvaltest":
        yield "nfolds", f"nfolds is {shown(nfolds)} but splits names {len(splits)}; make them agree."


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value from a file is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_names(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(v, str) and not name_fault(v) for v in value) and len(set(value)) == len(value)


def shown(value: Any) -> str:
    """A value from a file, as much of it as a sentence can bear."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
