"""A task of one's own: a CSV table names recordings, their labels and how they are divided."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.build.pipeline import Plan, Splits, check_folder, in_order
from tasks.errors import TaskError
from tasks.format.alike import look, name_fault, text_fault
from tasks.format.audio import measure
from tasks.format.clips import Recording
from tasks.format.labels import sort_labels
from tasks.format.metadata import MAX_SECONDS, TaskMetadata
from tasks.format.tables import Row, check_look_alikes, read_header, read_rows
from tasks.hear.folds import fold_name, grouped_folds
from tasks.hear.info import MULTICLASS_SCORES, MULTILABEL_SCORES, TRAIN_VALID_TEST, TaskInfo
from tasks.hear.paper import HEAR19_TASKS
from tasks.names import printable
from tasks.work import named, run_parallel

DEFAULT_FOLDS = 5
"""How many folds are made of groups unless told otherwise."""

_RESERVED = {"all", "paper", "hear19"}
"""What stands for several tasks where tasks are named."""

_MODES = {"split": "trainvaltest", "fold": "presplit_kfold", "group": "new_split_kfold"}
"""The columns of which a table has one -> how the task is then divided."""


def plan_own_task(
    table: Path,
    raw: Path,
    *,
    seconds: float | None = None,
    nfolds: int | None = None,
    note: str | None = None,
) -> Plan:
    """Read and divide the recordings in the folder `raw` that `table` names; the task is named as the table.

    `seconds` is every clip's length, by default that of the longest recording; `nfolds` how many folds are
    made of groups, by default 5; `note` is kept in the metadata and stands under every table of scores.
    Raises TaskError when the table, a recording or a label is not as it must be.
    """
    name = _task_name(table)
    check_folder(raw)
    if fault := note and text_fault(note):
        raise TaskError(f"the note {fault}; give it as one line.")
    rows, column = _read_table(table)
    if nfolds is not None and column != "group":
        raise TaskError(f"--folds is for a table with the column group; {table} has {column}.")
    recordings = in_order([_recording(table, raw, row, column) for row in rows])
    _check_alike(table, rows, column)
    labels = {label for r in recordings for label in r.labels}
    if len(labels) < 2:
        raise TaskError(f"{table} has the label {min(labels)!r} only; a task needs two at least.")
    values = _fold_values(recordings) if column == "fold" else {}
    if column == "group":
        splits = _in_groups(recordings, nfolds or DEFAULT_FOLDS)
    else:
        names = values or {split: split for split in TRAIN_VALID_TEST}
        splits = {s: tuple(r for r in recordings if r.split == value) for s, value in names.items()}
    _check_labels(splits, values, labels)
    lengths = _lengths(recordings)
    clip_seconds = seconds or math.ceil(max(lengths) * 1000) / 1000
    if clip_seconds > MAX_SECONDS:
        longest = recordings[lengths.index(max(lengths))].path
        raise TaskError(f"{longest} lasts {clip_seconds:g} s, and clips would, too; set --duration.")
    metadata = _metadata(name, splits, _MODES[column], values, clip_seconds)
    info = _info(metadata, len(recordings), len(labels))
    remarks = (*_named_folds(values), _length_remark(lengths, seconds, clip_seconds))
    return Plan(info, splits, is_part=False, notes=(note,) if note else (), remarks=remarks, is_own=True)


def _task_name(table: Path) -> str:
    """The name of the table without `.csv`, which must not be taken for one of HEAR's tasks."""
    name = table.stem
    if fault := name_fault(name):
        raise TaskError(f"a task is named as its table, and '{printable(name)}' {fault}; rename {table}.")
    if name.removesuffix("-part").removesuffix("-sample") in {i.metadata.task_name for i in HEAR19_TASKS}:
        raise TaskError(f"{name} is the name of one of HEAR's tasks; name {table} otherwise.")
    if name in _RESERVED:
        raise TaskError(f"{name} stands for several tasks in commands; name {table} otherwise.")
    return name


def _read_table(table: Path) -> tuple[list[Row], str]:
    """Rows with a value in every column that matters, and the one column that divides them."""
    if not table.is_file():
        raise TaskError(f"the table {table} does not exist; check its path.")
    columns = [name for name in read_header(table) if name]
    for wanted in ("filename", "label"):
        if wanted not in columns:
            there = ", ".join(map(repr, columns))
            raise TaskError(f"{table} has no column {wanted}, only {there}; separate columns by commas.")
    dividing = [name for name in _MODES if name in columns]
    if len(dividing) != 1:
        found = f"{' and '.join(dividing)}; keep" if dividing else "none; add"
        raise TaskError(f"of the columns split, fold and group {table} has {found} one.")
    rows = read_rows(table, ("filename", "label", dividing[0]))
    if not rows:
        raise TaskError(f"{table} has no row; add a line for every recording.")
    lines: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        lines[row["filename"]].append(row.line)
    for file, several in lines.items():
        if len(several) > 1:
            where = " and ".join(map(str, several[:2]))
            raise TaskError(
                f"{table} has {len(several)} lines for {file} ({where}); make them one, with labels as a;b."
            )
    return rows, dividing[0]


def _labels(row: Row) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for part in row["label"].split(";") if (label := part.strip())))


def _recording(table: Path, raw: Path, row: Row, column: str) -> Recording:
    """One row; a clip in a sub-folder is named `folder_file`, and `split` has what divides the recordings."""
    file, value, labels = Path(row["filename"]), row[column].strip(), _labels(row)
    where = f"{table}: line {row.line}"
    if file.is_absolute() or ".." in file.parts:
        raise TaskError(f"{where}: {file} must be a path from {raw}, the folder that --raw names.")
    if not (raw / file).is_file():
        raise TaskError(f"{where} names {file}, which is not in {raw}{_likeness(raw / file)}.")
    if not labels or not value:
        raise TaskError(f"{where}: {file} has no {column if labels else 'label'}; add it.")
    if column == "split" and value not in TRAIN_VALID_TEST:
        raise TaskError(f"{where}: the split of {file} is {value!r}; it must be train, valid or test.")
    recording = Recording(raw / file, labels, value, "_".join(file.with_suffix("").parts))
    for label in labels:
        if fault := text_fault(label):
            raise TaskError(f"{where}: the label '{label[:40]}...' {fault}; give it another.")
    if fault := name_fault(recording.clip.file):
        raise TaskError(f"{where}: the clip's name '{recording.clip.file}' {fault}; rename {file}.")
    return recording


def _likeness(path: Path) -> str:
    """What to do about a file that is not there, where perhaps its name is only written otherwise."""
    if path.parent.is_dir():
        for other in sorted(path.parent.iterdir()):
            if look(other.name) == look(path.name):
                return f", where {other.name!r} looks like it; write its name as it is"
    return "; add the file or remove its line"


def _check_alike(table: Path, rows: Sequence[Row], column: str) -> None:
    """TaskError for two files, labels, folds or groups that look alike, with the line of each."""
    kinds: dict[str, dict[str, int]] = {name: {} for name in ("filename", "label", column)}
    for row in rows:
        for name, values in (
            ("filename", [row["filename"]]),
            ("label", _labels(row)),
            (column, [row[column]]),
        ):
            for value in values:
                kinds[name].setdefault(value.strip(), row.line)
    for name, lines in kinds.items():
        check_look_alikes(table, name, lines)


def _fold_values(recordings: Sequence[Recording]) -> dict[str, str]:
    """Fold -> what the table calls it, in the order of numbers or of letters."""
    found = sort_labels(r.split or "" for r in recordings)
    if len(found) < 3:
        raise TaskError(
            f"the column fold has only {' and '.join(found)}; there must be three folds at least."
        )
    return {fold_name(i): value for i, value in enumerate(found)}


def _in_groups(recordings: Sequence[Recording], nfolds: int) -> Splits:
    """Fold -> recordings, none of a group in two folds."""
    by_stem = {r.stem: r for r in recordings}
    labels = {stem: r.labels for stem, r in by_stem.items()}
    folds = grouped_folds(labels, {stem: r.split or "" for stem, r in by_stem.items()}, nfolds)
    return {fold: tuple(by_stem[stem] for stem in stems) for fold, stems in folds.items()}


def _check_labels(splits: Splits, values: Mapping[str, str], labels: set[str]) -> None:
    """TaskError for a split without recordings or without one of the labels."""
    for split, members in splits.items():
        missing = labels.difference(*(r.labels for r in members))
        where = f"{split} ({values[split]})" if split in values else split
        if not members:
            raise TaskError(f"{where} has no recording; add some to the table.")
        if missing:
            raise TaskError(
                f"{where} has no recording with the label {named(missing)}; scores need every label in every "
                "split: add recordings, leave the label out, or divide otherwise."
            )


def _lengths(recordings: Sequence[Recording]) -> list[float]:
    """Seconds that decode of every recording; 0 for one that cannot be read, named when its clip is made."""

    def length(recording: Recording) -> float:
        try:
            samples, rate = measure(recording.path)
        except TaskError:
            return 0.0
        return samples / rate

    return run_parallel(length, recordings)


def _metadata(
    name: str, splits: Splits, mode: str, values: Mapping[str, str], seconds: float
) -> TaskMetadata:
    several = any(len(r.labels) > 1 for members in splits.values() for r in members)
    return TaskMetadata(
        task_name=name,
        version="v1",
        embedding_type="scene",
        prediction_type="multilabel" if several else "multiclass",
        split_mode=mode,
        splits=tuple(splits),
        nfolds=None if mode == "trainvaltest" else len(splits),
        sample_duration=seconds,
        evaluation=MULTILABEL_SCORES if several else MULTICLASS_SCORES,
        extra={"fold_values": dict(values)} if values else {},
    )


def _info(metadata: TaskMetadata, clips: int, classes: int) -> TaskInfo:
    return TaskInfo(
        short_name=metadata.task_name,
        metadata=metadata,
        clips=clips,
        hours=clips * (metadata.sample_duration or 0) / 3600,
        classes=classes,
        description="",
        citation="",
        licence="",
    )


def _named_folds(values: Mapping[str, str]) -> list[str]:
    return [", ".join(f"{fold} is {value}" for fold, value in values.items())] if values else []


def _length_remark(lengths: Sequence[float], wanted: float | None, seconds: float) -> str:
    if wanted is None:
        median = statistics.median(lengths)
        return (
            f"clips last {seconds:g} s, as the longest recording (half of them last {median:.3g} s or less); "
            "--duration sets another length"
        )
    cut, padded = sum(n > wanted for n in lengths), sum(n < wanted for n in lengths)
    return f"clips last {seconds:g} s: {cut} recordings are cut and {padded} padded with silence"
