"""What every builder shares: list -> divide -> cut or pad -> resample -> write, by HEAR's rules.

A clip is cut or padded to the task's length at its own sample rate and in 16 bits before it is resampled,
as HEAR's preprocessing does.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.audio import header_rate
from tasks.format.clips import Recording, WrittenClip, oddities, record, write_clips
from tasks.format.metadata import BUILD_NOTES, TaskMetadata
from tasks.format.task import Clip, clip_fault, read_task, write_task
from tasks.hear.folds import new_folds, subsampled
from tasks.hear.info import MAX_SECONDS, TaskInfo
from tasks.work import Progress, Say, new_directory, run_parallel

DEFAULT_RATES = (16000, 44100)
"""Sample rates (Hz) that are written unless others are asked for, where recordings have as much."""

Splits = Mapping[str, tuple[Recording, ...]]

ListRecordings = Callable[[Path, Say], list[Recording]]
"""Lists what a folder of raw recordings holds; tells what a reader of the task must know of it."""


@dataclass(frozen=True)
class Builder:
    """How one task is built: what is known of it, and how its raw recordings are listed."""

    info: TaskInfo
    list_recordings: ListRecordings


@dataclass(frozen=True)
class Plan:
    """What will be built: recordings by split, whether they are the whole task, what is to be told.

    `notes` are kept in the metadata, `remarks` only told. A task `is_own` that is none of HEAR's: its
    directory has the task's bare name.
    """

    info: TaskInfo
    splits: Splits
    is_part: bool
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    is_own: bool = False

    @property
    def metadata(self) -> TaskMetadata:
        """The built task's metadata; a part is named so and says of what."""
        metadata = self.info.metadata
        if self.notes:
            metadata = dataclasses.replace(metadata, extra={**metadata.extra, BUILD_NOTES: list(self.notes)})
        if not self.is_part:
            return metadata
        kept = self.recordings
        classes = len({label for r in kept for label in r.labels})
        counts = f"{len(kept)} of {self.info.clips} clips, {classes} of {self.info.classes} classes"
        drawn = ", drawn from a part of the recordings" if len(kept) >= self.info.clips else ""
        return dataclasses.replace(
            metadata,
            task_name=f"{metadata.task_name}-part",
            mode="part",
            default_mode="part",
            part_of=f"{counts}{drawn}",
        )

    @property
    def directory(self) -> str:
        """Name of the built task's directory."""
        return self.metadata.task_name if self.is_part or self.is_own else self.info.directory

    @property
    def clips(self) -> dict[str, list[Clip]]:
        """Split -> clips."""
        return {split: [r.clip for r in members] for split, members in self.splits.items()}

    @property
    def recordings(self) -> list[Recording]:
        """All recordings, split by split."""
        return [recording for members in self.splits.values() for recording in members]

    def without(self, bad: Sequence[Path]) -> "Plan":
        """The part that is left without the sound files `bad`; the others keep their splits."""
        splits = {s: tuple(r for r in members if r.path not in bad) for s, members in self.splits.items()}
        empty = [split for split, members in splits.items() if not members]
        if empty:
            raise TaskError(f"without the bad recordings {empty[0]} is empty; restore them.")
        notes = [*self.notes, f"left out {len(bad)} recordings that could not be read"]
        _note_lacking(splits, notes.append)
        lost = [(s, label) for s in splits for label in sorted(_labels(self.splits[s]) - _labels(splits[s]))]
        if self.is_own and lost:
            split, label = lost[0]
            raise TaskError(
                f"without the bad recordings {split} has none with the label {label!r}; restore them."
            )
        return dataclasses.replace(self, splits=splits, is_part=True, notes=tuple(dict.fromkeys(notes)))


def build_plan(
    plan: Plan,
    out: Path,
    *,
    sample_rates: Sequence[int] | None,
    skip_bad: int = 0,
    say: Say = print,
    reading: Progress | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write what is planned into a directory in `out`, and return it; what is there already is left alone.

    The parameters and errors are those of `tasks.build.builders.build_task`.
    """
    there = _already_built(plan, out, sample_rates or (), skip_bad)
    if there is not None:
        say(f"{there} is already built; nothing to do")
        return there
    if skip_bad:
        plan = _without_bad(plan, skip_bad, say, reading)
    for recording in plan.recordings:
        if fault := clip_fault(recording.clip):
            raise TaskError(f"{recording.path}: the clip {fault}; rename it.")
    for sentence in (*plan.notes, *plan.remarks):
        say(sentence)
    rates = sample_rates or _real_rates(plan)
    target = out / plan.directory
    with new_directory(target) as folder:
        write_task(folder, plan.metadata, plan.clips)
        written = write_clips(folder, plan.splits, plan.metadata.sample_duration, rates, progress)
    _report(target, plan, rates, written, say)
    return target


def _real_rates(plan: Plan) -> list[int]:
    """The usual rates (Hz), or the recordings' own where that is lower: what lies above it is no sound."""

    def rate(path: Path) -> int:
        try:
            return header_rate(path)
        except TaskError:
            return 0  # named when its clip is made

    highest = max(run_parallel(rate, sorted({r.path for r in plan.recordings})))
    return sorted({min(rate, highest) for rate in DEFAULT_RATES if highest}) or list(DEFAULT_RATES)


def make_plan(builder: Builder, raw: Path) -> Plan:
    """List and divide the recordings in `raw`; TaskError when they are missing, misnamed or cannot be."""
    check_folder(raw)
    notes: list[str] = []
    listed = builder.list_recordings(raw, notes.append)
    present = _present(listed, notes.append)
    expected = builder.info.recordings or builder.info.clips
    is_part = len(present) < max(expected, len(listed))
    splits = divide(builder.info.metadata, present, is_part=is_part, note=notes.append)
    kept = sum(len(members) for members in splits.values())
    return Plan(builder.info, splits, is_part or kept < builder.info.clips, tuple(notes))


def check_folder(raw: Path) -> None:
    """TaskError when the folder of recordings is none."""
    if raw.is_dir():
        return
    if raw.exists():
        raise TaskError(f"{raw} is a file; unpack it and give the folder with what it holds as --raw.")
    raise TaskError(f"the folder of recordings {raw} does not exist; check --raw.")


def _present(listed: Sequence[Recording], note: Say) -> list[Recording]:
    """The recordings whose sound is there, sorted by name."""
    present = [r for r in listed if r.path.is_file()]
    if not present:
        such = f", such as {listed[0].path}" if listed else ""
        raise TaskError(
            f"none of {len(listed)} listed recordings is there{such}; unpack them or check --raw."
        )
    if len(present) < len(listed):
        note(f"left out {len(listed) - len(present)} of {len(listed)} recordings whose sound is missing")
    return in_order(present)


def in_order(recordings: Sequence[Recording]) -> list[Recording]:
    """Recordings sorted by their clips' names; TaskError when two have the same."""
    by_stem: dict[str, Recording] = {}
    for recording in recordings:
        other = by_stem.setdefault(recording.stem, recording)
        if other is not recording:
            raise TaskError(f"{recording.path} and {other.path} have the same name; remove one of them.")
    return [recording for _, recording in sorted(by_stem.items())]


def divide(metadata: TaskMetadata, recordings: Sequence[Recording], *, is_part: bool, note: Say) -> Splits:
    """Split name -> recordings: the data set's own splits where it has some, else HEAR's rule for new folds.

    In a part, where not every fold can have every label, that is not asked for, as in HEAR's small mode.
    """
    if metadata.split_mode == "new_split_kfold":
        return _new_folds(metadata, recordings, is_part=is_part, note=note)
    given = {split: tuple(r for r in recordings if r.split == split) for split in metadata.splits}
    empty = [split for split, members in given.items() if not members]
    if empty:
        raise TaskError(f"{empty[0]} has no recording; add the recordings of every split.")
    if metadata.split_mode == "presplit_kfold":
        return _with_common_labels(given, note)
    _note_lacking(given, note)
    return _within_limits(metadata, given)


def _new_folds(
    metadata: TaskMetadata, recordings: Sequence[Recording], *, is_part: bool, note: Say
) -> Splits:
    by_stem = {r.stem: r for r in recordings}
    labels = {stem: r.labels for stem, r in by_stem.items()}
    try:
        folds = new_folds(labels, len(metadata.splits))
    except TaskError:
        if not is_part:
            raise
        folds = new_folds(labels, len(metadata.splits), every_label=False)
        note("not every fold has every label: there are too few clips for that")
    return {fold: tuple(by_stem[stem] for stem in stems) for fold, stems in folds.items()}


def _with_common_labels(given: Splits, note: Say) -> Splits:
    """The given folds without the labels that some fold lacks, for HEAR wants every label in every split."""
    held = {fold: _labels(members) for fold, members in given.items()}
    common = set.intersection(*held.values())
    if not common:
        note("kept all clips although no class occurs in all folds")
        return given
    dropped = [r for members in given.values() for r in members if not common.issuperset(r.labels)]
    if dropped:
        classes = len(set.union(*held.values()) - common)
        note(f"left out {len(dropped)} clips of {classes} classes that do not occur in all folds")
    return {fold: tuple(r for r in rs if common.issuperset(r.labels)) for fold, rs in given.items()}


def _labels(recordings: Iterable[Recording]) -> set[str]:
    return {label for r in recordings for label in r.labels}


def _note_lacking(given: Splits, note: Say) -> None:
    held = {split: _labels(members) for split, members in given.items()}
    every = set.union(*held.values())
    for split, labels in held.items():
        if every - labels:
            note(f"{split} has no clip of {len(every - labels)} of {len(every)} classes")


def _within_limits(metadata: TaskMetadata, given: Splits) -> Splits:
    limits, kept = metadata.extra.get(MAX_SECONDS, {}), dict(given)
    for split, seconds in limits.items():
        by_stem = {r.stem: r for r in given[split]}
        chosen = subsampled(by_stem, split, int(seconds / metadata.sample_duration))
        kept[split] = tuple(by_stem[stem] for stem in chosen)
    return kept


def _already_built(plan: Plan, out: Path, sample_rates: Sequence[int], skip_bad: int) -> Path | None:
    """The finished task of `plan`, less `skip_bad` clips at most; TaskError when another is in the way."""
    as_part = dataclasses.replace(plan, is_part=True)
    for target in {out / p.directory: None for p in ((plan, as_part) if skip_bad else (plan,))}:
        if target.exists():
            _check_same(target, plan, sample_rates, skip_bad)
            return target
    return None


def _check_same(target: Path, plan: Plan, sample_rates: Sequence[int], skip_bad: int) -> None:
    there, metadata = read_task(target), plan.metadata
    built = {(split, clip) for split, members in there.clips.items() for clip in members}
    planned = {(split, clip) for split, members in plan.clips.items() for clip in members}
    if built - planned or len(planned - built) > skip_bad:
        raise TaskError(f"{target} was built from other recordings; remove it or choose another --out.")
    if there.metadata.sample_duration != metadata.sample_duration:
        raise TaskError(
            f"{target} has clips of {there.metadata.sample_duration} s, not {metadata.sample_duration} s; "
            "remove it or choose another --out."
        )
    if not set(metadata.build_notes) <= set(there.metadata.build_notes):
        raise TaskError(f"{target} was built with other notes; remove it or choose another --out.")
    absent = [str(rate) for rate in sample_rates if rate not in there.sample_rates]
    if absent:
        raise TaskError(f"{target} is there without {', '.join(absent)} Hz; remove it to build it anew.")


def _without_bad(plan: Plan, limit: int, say: Say, progress: Progress | None) -> Plan:
    """Read every recording once and leave out those that are bad, `limit` at most; each is named."""
    seconds = plan.info.metadata.sample_duration
    members: dict[Path, list[Recording]] = {}
    for recording in plan.recordings:
        members.setdefault(recording.path, []).append(recording)

    def fault(path: Path) -> str | None:
        try:
            for recording in members[path]:
                if what := clip_fault(recording.clip):
                    return f"{path}: the clip {what}"
                record(recording, seconds)
        except TaskError as error:
            return str(error)
        return None

    paths = sorted(members)
    found = run_parallel(fault, paths, progress=progress)
    faults = {p: f for p, f in zip(paths, found, strict=True) if f}
    for sentence in faults.values():
        say(sentence)
    if len(faults) > limit:
        raise TaskError(
            f"{len(faults)} of {len(paths)} recordings are bad, more than --skip-bad {limit} allows."
        )
    return plan.without(list(faults)) if faults else plan


def _report(target: Path, plan: Plan, rates: Sequence[int], written: Sequence[WrittenClip], say: Say) -> None:
    count = len(plan.recordings)
    parts = "splits" if plan.info.metadata.split_mode == "trainvaltest" else "folds"
    hertz = ", ".join(str(rate) for rate in rates)
    say(f"built {target}: {count} clips in {len(plan.splits)} {parts} at {hertz} Hz")
    for sentence in oddities(written):
        say(sentence)
    if plan.is_part:
        say(f"this is a part of the task: {plan.metadata.part_of}; its scores are not those of the whole")
