"""The command that says everything that is wrong with HEAR task directories, a user's own too."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.check.finding import Finding
from tasks.check.sound import check_sound
from tasks.errors import TaskError
from tasks.find import stands_for
from tasks.format.alike import look_alikes
from tasks.format.folders import is_system
from tasks.format.labels import read_vocabulary, sort_labels
from tasks.format.metadata import (
    MAX_METADATA_BYTES,
    METADATA_FILE,
    TaskMetadata,
    metadata_faults,
    read_json_object,
)
from tasks.format.task import VOCABULARY_FILE, Clip, read_entry
from tasks.hear.info import SCORES, TaskInfo
from tasks.hear.paper import HEAR19_TASKS
from tasks.names import printable
from tasks.work import Progress, named

_STAND_INS: Mapping[str, Any] = {
    "task_name": "?",
    "version": "?",
    "embedding_type": "scene",
    "prediction_type": "multilabel",
    "split_mode": "?",
    "sample_duration": None,
    "evaluation": (),
    "mode": "?",
    "part_of": None,
    "synthetic": False,
}
"""What stands for a field that is missing or wrong, so that the rest of the task can be looked at."""

_ENTRIES_TOLD = 10


def check_task(
    path: Path | str, *, rate: int | None = None, progress: Progress | None = None
) -> list[Finding]:
    """Everything that is wrong with the task directory `path`, and what is worth a remark.

    `rate` (Hz) limits the look at the sound to one sample rate. Remarks are what a builder of the task
    cannot change: a few silent clips, clips in several splits and labels that a split lacks, in HEAR's own
    tasks, their parts and samples; in a task of one's own they are wrong. Raises TaskError when there is no
    such directory.
    """
    path = Path(path)
    if not path.is_dir():
        raise TaskError(f"{path} is no directory; check the path.")
    try:
        raw = read_json_object(path / METADATA_FILE, MAX_METADATA_BYTES)
    except TaskError as error:
        return [_finding(path, METADATA_FILE, error)]
    findings = [Finding(METADATA_FILE, sentence) for _, sentence in metadata_faults(raw)]
    metadata = _usable(raw)
    if metadata is None:
        return [*findings, _nothing_else(METADATA_FILE)]
    infos = [info for info in HEAR19_TASKS if stands_for(metadata, info)]
    inherited = bool(infos or metadata.part_of or metadata.synthetic)
    findings += _check_scores(metadata)
    vocabulary, faults = _check_vocabulary(path)
    findings += faults
    if not vocabulary:
        return [*findings, _nothing_else(VOCABULARY_FILE)]
    splits, more = _check_splits(path, metadata, vocabulary)
    findings += [
        *more,
        *_check_names(path, metadata.splits, splits),
        *_check_alike(vocabulary, splits, inherited),
    ]
    findings += _check_labels(metadata, vocabulary, splits, inherited)
    findings += _check_count(metadata, splits, infos)
    files = {s: [clip.file for clip in splits[s]] if s in splits else None for s in metadata.splits}
    return findings + check_sound(path, metadata, files, rate=rate, inherited=inherited, progress=progress)


def _nothing_else(file: str) -> Finding:
    return Finding(".", f"nothing else was looked at: repair {file} first")


def _finding(path: Path, where: str, error: TaskError) -> Finding:
    """An error as a finding, without the path that its sentence begins with."""
    sentence = str(error)
    for shown in (str(path / where), printable(path / where)):
        sentence = sentence.removeprefix(shown).removeprefix(":").strip()
    return Finding(where, sentence)


def _usable(raw: Mapping[str, Any]) -> TaskMetadata | None:
    """Metadata to go on with, whatever else is wrong with them; None where the splits are not known."""
    wrong = {field for field, _ in metadata_faults(raw)}
    if "splits" in wrong or "splits" not in raw:
        return None
    values = {
        name: raw[name] if name in raw and name not in wrong else stand_in
        for name, stand_in in _STAND_INS.items()
    }
    return TaskMetadata(**values, splits=tuple(raw["splits"]))


def _check_scores(metadata: TaskMetadata) -> Iterator[Finding]:
    known = SCORES[metadata.embedding_type]
    for name in metadata.evaluation:
        if name not in known:
            what = f"evaluation names {name!r}, which is no score of {metadata.embedding_type} tasks"
            yield Finding(METADATA_FILE, f"{what}; there are {', '.join(known)}.")


def _check_vocabulary(path: Path) -> tuple[list[str], list[Finding]]:
    try:
        labels, faults = read_vocabulary(path / VOCABULARY_FILE)
    except TaskError as error:
        return [], [_finding(path, VOCABULARY_FILE, error)]
    if not faults and tuple(labels) != sort_labels(labels):
        faults = ["the labels are not sorted (by number if all are numbers, else by letter)."]
    return labels, [Finding(VOCABULARY_FILE, fault) for fault in faults[:_ENTRIES_TOLD]]


def _check_splits(
    path: Path, metadata: TaskMetadata, vocabulary: Collection[str]
) -> tuple[dict[str, list[Clip]], list[Finding]]:
    """The entries of every split that can be read, without labels where they are wrong, and what is wrong."""
    splits: dict[str, list[Clip]] = {}
    findings: list[Finding] = []
    for split in metadata.splits:
        file = path / f"{split}.json"
        try:
            entries = read_json_object(file)
        except TaskError as error:
            findings.append(_finding(path, file.name, error))
            continue
        splits[split] = []
        if not entries:
            findings.append(Finding(file.name, "names no clip; a split must not be empty."))
        faults = []
        for name, entry in entries.items():
            try:
                splits[split].append(read_entry(file, name, entry, metadata, frozenset(vocabulary)))
            except TaskError as error:
                faults.append(_finding(path, file.name, error))
                splits[split].append(Clip(name, ()))
        findings += faults[:_ENTRIES_TOLD]
        if faults[_ENTRIES_TOLD:]:
            findings.append(Finding(file.name, f"{len(faults[_ENTRIES_TOLD:])} more entries are wrong."))
    return splits, findings


def _check_names(
    path: Path, names: Collection[str], splits: Mapping[str, Sequence[Clip]]
) -> Iterator[Finding]:
    """JSON files of no split, and clips of the same name in two splits."""
    there = {f.name for f in path.glob("*.json") if not is_system(f.name)}
    extra = there - {METADATA_FILE} - {f"{split}.json" for split in names}
    if extra:
        yield Finding(METADATA_FILE, f"splits do not name what is there: {named(extra)}.")
    where = defaultdict(list)
    for split, clips in splits.items():
        for clip in clips:
            where[clip.file].append(split)
    for file, several in where.items():
        if len(several) > 1:
            yield Finding(".", f"{file} is in {' and '.join(several)}; a clip belongs to one split.")


def _check_alike(
    vocabulary: Collection[str], splits: Mapping[str, Sequence[Clip]], inherited: bool
) -> Iterator[Finding]:
    """Labels, and names of clips, that only look alike."""
    places = {VOCABULARY_FILE: ("labels", vocabulary)}
    places |= {f"{s}.json": ("clips", [clip.file for clip in clips]) for s, clips in splits.items()}
    for where, (kind, names) in places.items():
        pairs = [f"{first!a} and {other!a}" for first, other in look_alikes(names)]
        if pairs:
            what = f"the names of {2 * len(pairs)} {kind} look alike: {named(pairs)}; rename or unite them"
            yield Finding(where, what, remark=inherited)


def _check_labels(
    metadata: TaskMetadata, vocabulary: Collection[str], splits: Mapping[str, Sequence[Clip]], inherited: bool
) -> Iterator[Finding]:
    """Labels that no clip has, and labels that some split lacks, which HEAR allows in event tasks only."""
    held = {split: {label for clip in clips for label in clip.labels} for split, clips in splits.items()}
    used = set().union(*held.values())
    if set(vocabulary) - used and set(splits) == set(metadata.splits):
        yield Finding(VOCABULARY_FILE, f"no clip has the labels {named(set(vocabulary) - used)}.")
    if metadata.embedding_type == "event":
        return
    for split, labels in held.items():
        if used - labels:
            what = f"no clip has the labels {named(used - labels)}; scores per class need each in every split"
            yield Finding(f"{split}.json", what, remark=inherited)


def _check_count(
    metadata: TaskMetadata, splits: Mapping[str, Sequence[Clip]], infos: Sequence[TaskInfo]
) -> Iterator[Finding]:
    """How many clips one of HEAR's tasks has, where that is not what the benchmark's page says."""
    count = sum(len(clips) for clips in splits.values())
    if metadata.part_of or metadata.synthetic or len(splits) < len(metadata.splits):
        return
    for info in infos:
        if count != info.clips:
            what = f"{count} clips, where HEAR states {info.clips} for {info.directory}"
            yield Finding(".", what, remark=True)
