"""The sample tasks: small synthetic stand-ins of the paper's ten, so that everything runs without data.

Directory format, label kind, split rule and scores are those of the task they stand for; the sound is
synthesised, the same on every run. Their scores are not comparable with anything published.
"""

import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from tasks.errors import TaskError
from tasks.format.audio import write_at_rates
from tasks.format.task import Clip, TaskMetadata, read_metadata, read_task, write_task
from tasks.hear.folds import new_folds
from tasks.hear.info import FIVE_FOLDS
from tasks.hear.paper import PAPER_TASKS
from tasks.sample import sounds
from tasks.sample.synthesis import RATE, Sound
from tasks.work import Progress, new_directory, run_parallel

SAMPLE_RATES = (16000, 44100)
"""Sample rates (Hz) that every sample task has."""

VERSION = "synthetic-1"
"""Changes with every change of sound, so that sample tasks of an older version are made anew."""

NOTE = "Synthetic sample task: its scores are not comparable with those of the task it stands for."

Subject = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SampleTask:
    """One sample task: every subject is synthesised `takes` times by `sound`.

    `labels` picks a clip's labels from its subject. `take_splits` gives the split of each take; where it is
    empty, HEAR's rule makes new folds. Tasks with the same `seed` and subjects share their sound.
    """

    base_name: str
    seed: int
    subjects: tuple[Subject, ...]
    takes: int
    sound: Callable[[Subject, Generator], Sound]
    labels: Callable[[Subject], Subject] = tuple
    take_splits: tuple[str, ...] = ()


class _Take(NamedTuple):
    """One clip: the subject, its row among the subjects, and which of its takes this is."""

    subject: Subject
    row: int
    number: int


def _single(names: Collection[str]) -> tuple[Subject, ...]:
    return tuple((name,) for name in names)


def _mixtures(names: Sequence[str]) -> tuple[Subject, ...]:
    """For every name: alone, with one other, with two others."""
    others = [(names[i], names[i - 3], names[i - 7]) for i in range(len(names))]
    return tuple(group[:size] for group in others for size in (1, 2, 3))


_DRUM_SUBJECTS = tuple((stroke, tonic) for stroke in sounds.STROKES for tonic in sounds.TONICS)
_COMMANDS = (*sounds.WORDS, "_silence_", "_unknown_")
_PITCHES = tuple(str(pitch) for pitch in range(48, 62))

SAMPLE_TASKS = (
    SampleTask(
        base_name="beijing_opera",
        seed=1,
        subjects=_single(("bangu", "daluo", "naobo", "xiaoluo")),
        takes=20,
        sound=sounds.percussion,
    ),
    SampleTask(
        base_name="tfds_crema_d", seed=2, subjects=_single(sounds.EMOTIONS), takes=16, sound=sounds.emotion
    ),
    SampleTask(
        base_name="esc50",
        seed=3,
        subjects=_single(sounds.ESC_SOURCES),
        takes=10,
        sound=sounds.environment,
        take_splits=FIVE_FOLDS * 2,
    ),
    SampleTask(base_name="libricount", seed=4, subjects=_single("012345"), takes=16, sound=sounds.crowd),
    SampleTask(
        base_name="mridangam_stroke",
        seed=5,
        subjects=_DRUM_SUBJECTS,
        takes=2,
        sound=sounds.drum,
        labels=lambda subject: subject[:1],
    ),
    SampleTask(
        base_name="mridangam_tonic",
        seed=5,
        subjects=_DRUM_SUBJECTS,
        takes=2,
        sound=sounds.drum,
        labels=lambda subject: subject[1:],
    ),
    SampleTask(
        base_name="nsynth_pitch",
        seed=6,
        subjects=_single(_PITCHES),
        takes=10,
        sound=sounds.note,
        take_splits=("train",) * 6 + ("valid",) * 2 + ("test",) * 2,
    ),
    SampleTask(
        base_name="speech_commands",
        seed=7,
        subjects=_single(_COMMANDS),
        takes=12,
        sound=sounds.command,
        take_splits=("train",) * 7 + ("valid",) * 2 + ("test",) * 3,
    ),
    SampleTask(
        base_name="fsd50k",
        seed=8,
        subjects=_mixtures(tuple(sounds.FSD_SOURCES)),
        takes=4,
        sound=sounds.scene,
        take_splits=("train", "train", "valid", "test"),
    ),
    SampleTask(
        base_name="vox_lingua_top10",
        seed=9,
        subjects=_single(sounds.LANGUAGES),
        takes=10,
        sound=sounds.language,
    ),
)


def write_sample_tasks(
    directory: Path | str, names: Collection[str] | None = None, progress: Progress | None = None
) -> list[Path]:
    """Write the sample tasks into `directory` and return their paths, in the paper's order.

    `names` (such as "esc50-sample" or "esc50") chooses some of them. A finished one is left alone; one of
    an older version, or one that lacks a file, is made anew. `progress` is called with (clips done, clips
    in all). Raises TaskError for an unknown name or when the disk refuses.
    """
    chosen = _choose(names)
    paths = [Path(directory) / f"{sample.base_name}-sample" for sample in chosen]
    todo = [(sample, path) for sample, path in zip(chosen, paths, strict=True) if not _is_finished(path)]
    counts = [len(sample.subjects) * sample.takes for sample, _ in todo]
    for i, (sample, path) in enumerate(todo):
        _remove_older(path)
        with new_directory(path) as folder:
            _write_one(sample, folder, _offset(progress, sum(counts[:i]), sum(counts)))
    return paths


def _choose(names: Collection[str] | None) -> list[SampleTask]:
    if names is None:
        return list(SAMPLE_TASKS)
    wanted = {name.removesuffix("-sample") for name in names}
    unknown = wanted - {sample.base_name for sample in SAMPLE_TASKS}
    if unknown:
        known = ", ".join(sample.base_name for sample in SAMPLE_TASKS)
        raise TaskError(f"there is no sample task {min(unknown)!r}; there are: {known}.")
    return [sample for sample in SAMPLE_TASKS if sample.base_name in wanted]


def _is_finished(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        metadata = read_metadata(path)
    except TaskError as error:
        raise TaskError(f"{path} is damaged; delete it, and it is made again.") from error
    if not metadata.synthetic:
        raise TaskError(f"{path} is not a synthetic task; move it away or choose another folder.")
    return metadata.version == VERSION and _is_readable(path)


def _is_readable(path: Path) -> bool:
    try:
        read_task(path)
    except TaskError:
        return False
    return True


def _remove_older(path: Path) -> None:
    """Remove a damaged or older sample task; one that another process has just finished stays."""
    if path.exists() and not _is_finished(path):
        shutil.rmtree(path)


def _offset(progress: Progress | None, before: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(before + done, total)


def _write_one(sample: SampleTask, folder: Path, progress: Progress | None) -> None:
    takes = {
        f"{'-'.join(subject)}-{number:02d}": _Take(subject, row, number)
        for row, subject in enumerate(sample.subjects)
        for number in range(sample.takes)
    }
    splits = _divide(sample, takes)
    clips = {
        split: [Clip(f"{name}.wav", sample.labels(takes[name].subject)) for name in names]
        for split, names in splits.items()
    }
    write_task(folder, sample_metadata(sample), clips)

    def one(item: tuple[str, str]) -> None:
        split, name = item
        take = takes[name]
        rng = np.random.default_rng([sample.seed, take.row, take.number])
        audio = sample.sound(take.subject, rng).astype(np.float32)
        write_at_rates(folder, split, f"{name}.wav", audio, RATE, SAMPLE_RATES)

    run_parallel(one, [(split, name) for split, names in splits.items() for name in names], progress=progress)


def sample_metadata(sample: SampleTask) -> TaskMetadata:
    """The metadata of the real task, with what is different in its sample."""
    real = next(task.metadata for task in PAPER_TASKS if task.metadata.task_name == sample.base_name)
    return dataclasses.replace(
        real,
        task_name=f"{sample.base_name}-sample",
        version=VERSION,
        mode="sample",
        default_mode="sample",
        sample_duration=real.sample_duration and min(real.sample_duration, sounds.SECONDS),
        synthetic=True,
        extra={"note": NOTE},
    )


def _divide(sample: SampleTask, takes: Mapping[str, _Take]) -> dict[str, tuple[str, ...]]:
    """Split name -> names of its clips."""
    if not sample.take_splits:
        return new_folds({name: sample.labels(take.subject) for name, take in takes.items()})
    return {
        split: tuple(name for name, take in takes.items() if sample.take_splits[take.number] == split)
        for split in dict.fromkeys(sample.take_splits)
    }
