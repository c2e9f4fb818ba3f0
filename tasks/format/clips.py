"""From recordings to a task's clips: cut or padded, resampled, written, and what is odd about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.audio import (
    Recorded,
    check_length,
    fit_length,
    is_silent,
    naming,
    read_recording,
    write_at_rates,
)
from tasks.format.task import Clip
from tasks.work import Progress, named, run_parallel

_MAX_PEAK = 8.0
"""Times full scale, 18 dB, up to which a recording is taken to be loud and not of another scale."""


@dataclass(frozen=True)
class Recording:
    """One raw sound file, or what follows its sample `start`, and what it is labelled.

    `split` ("fold00", "train", ...) is given where the data set has its own; `name` is the clip's name
    where that is not the file's. The file need not exist: a table may name more than is there.
    """

    path: Path
    labels: tuple[str, ...]
    split: str | None = None
    name: str | None = None
    start: int = 0

    @property
    def stem(self) -> str:
        """Name of the clip, without a suffix; unique within a task."""
        return self.name or self.path.stem

    @property
    def clip(self) -> Clip:
        """The task's clip that is made of it."""
        return Clip(f"{self.stem}.wav", self.labels)


@dataclass(frozen=True)
class WrittenClip:
    """What is to be told of one clip: its recording, whether it is silent, and what else is odd."""

    path: Path
    silent: bool
    cancels: bool
    peak: float
    ends_early: str | None


def record(recording: Recording, seconds: float | None) -> Recorded:
    """As much of a recording as its clip takes; TaskError when it is bad."""
    recorded = read_recording(recording.path, recording.start, seconds)
    if recorded.peak > _MAX_PEAK:
        raise TaskError(
            f"{recording.path} has samples up to {recorded.peak:.4g}, where full scale is 1; divide it by "
            "its full scale."
        )
    return recorded


def write_clips(
    folder: Path,
    splits: Mapping[str, Sequence[Recording]],
    seconds: float | None,
    rates: Sequence[int],
    progress: Progress | None = None,
) -> list[WrittenClip]:
    """Write the clip of every recording at every rate (Hz) as `folder/<rate>/<split>/<file>`.

    Clips last `seconds`, or as long as their recordings. Raises TaskError for the first recording that is bad
    or makes a clip too long.
    """

    def one(item: tuple[str, Recording]) -> WrittenClip:
        split, recording = item
        recorded = record(recording, seconds)
        with naming(str(recording.path)):
            for rate in rates:
                check_length(seconds or len(recorded.audio) / recorded.rate, rate)
            audio = recorded.audio if seconds is None else fit_length(recorded.audio, seconds, recorded.rate)
            write_at_rates(folder, split, recording.clip.file, audio, recorded.rate, rates)
        return WrittenClip(
            recording.path, is_silent(audio), recorded.cancels, recorded.peak, recorded.ends_early
        )

    items = [(split, recording) for split, members in splits.items() for recording in members]
    return run_parallel(one, items, progress=progress)


def oddities(written: Sequence[WrittenClip]) -> list[str]:
    """A sentence for each kind of thing that whoever builds a task must know of its recordings."""
    sentences = [
        f"{one.path} {one.ends_early}; what decodes was taken, restore it and build anew for all of it"
        for one in sorted((one for one in written if one.ends_early), key=lambda one: one.path)
    ]
    silent = [one for one in written if one.silent and not one.cancels]
    if silent:
        what = f"{len(silent)} of {len(written)} clips are silent"
        sentences.append(f"{what}: the raw recordings hold no sound there")
    cancelled = [one.path.name for one in written if one.cancels]
    if cancelled:
        sentences.append(
            f"of {len(cancelled)} of {len(written)} recordings the channels cancel each other, so that their "
            f"mean has next to no sound: {named(cancelled)}; turn one channel round or give one alone"
        )
    loud = [one for one in written if one.peak > 1]
    if loud:
        most = max(loud, key=lambda one: one.peak)
        what = f"{len(loud)} of {len(written)} recordings exceed full scale and are cut off there"
        sentences.append(f"{what} ({most.path.name} has {most.peak:.3g} times full scale)")
    return sentences
