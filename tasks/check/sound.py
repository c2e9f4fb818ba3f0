"""The sound files of a task directory against what its other files promise."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.check.finding import Finding
from tasks.errors import TaskError
from tasks.format.alike import look
from tasks.format.audio import MAX_SAMPLES, TASK_RATES, is_silent, to_int16
from tasks.format.folders import is_system
from tasks.format.metadata import TaskMetadata
from tasks.format.sound_file import SoundReader
from tasks.format.task import rate_folders
from tasks.work import Progress, named, run_parallel

_LENGTH_TOLERANCE = 0.001
"""Seconds by which a clip may miss the task's length: resamplers differ by a sample or two."""


@dataclass(frozen=True)
class Place:
    """One clip at one sample rate (Hz)."""

    rate: int
    split: str
    file: str


@dataclass(frozen=True)
class Sound:
    """What one sound file is; `digest` is of its samples in 16 bits, `peak` their largest magnitude."""

    rate: int
    channels: int
    subtype: str
    samples: int
    silent: bool
    peak: float
    digest: bytes
    ends_early: str | None


def check_sound(
    path: Path,
    metadata: TaskMetadata,
    files: Mapping[str, Iterable[str] | None],
    *,
    rate: int | None = None,
    inherited: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Compare the sound at all sample rates, or at `rate` Hz only, with `files` (split -> names in its JSON).

    The folder of a split of which `files` has None, because its JSON cannot be read, is passed over.
    `inherited`: silent and repeated clips come from the data set and are remarks, unless most are silent.
    """
    folders, others = rate_folders(path)
    rates = [r for r in folders if rate in (None, r)]
    limits = f"{TASK_RATES[0]} to {TASK_RATES[-1]} Hz"
    wrong = [Finding(name, f"is no sample rate of {limits}; rename or remove it") for name in others]
    if not rates:
        wanted = f"no folder {rate}" if rate else "no sample-rate folder, such as 48000"
        what = f"there is {wanted}; make it, or unpack the task again if it was downloaded"
        return [*wrong, Finding(".", what)]
    findings, places = _compare_names(path, files, rates)
    findings = [*wrong, *findings]
    sounds = run_parallel(lambda place: _inspect(path, place), places, progress=progress)
    good = {p: s for p, s in zip(places, sounds, strict=True) if isinstance(s, Sound)}
    findings += _grouped({p: s.ends_early for p, s in good.items() if s.ends_early}, "are cut off")
    unreadable = {p: s for p, s in zip(places, sounds, strict=True) if isinstance(s, str)}
    findings += _grouped(unreadable, "cannot be read")
    findings += _format_findings(good, metadata.sample_duration)
    findings += _silence_findings(good, inherited)
    findings += _repeat_findings({p: s for p, s in good.items() if p.rate == rates[0]}, inherited)
    return findings


def _compare_names(
    path: Path, files: Mapping[str, Iterable[str] | None], rates: Iterable[int]
) -> tuple[list[Finding], list[Place]]:
    """Findings where folders and JSON files disagree, and the clips that both have."""
    findings: list[Finding] = []
    places: list[Place] = []
    for rate in rates:
        folders = {f.name for f in (path / str(rate)).iterdir() if f.is_dir() and not is_system(f.name)}
        for extra in sorted(folders - set(files)):
            findings.append(Finding(f"{rate}/{extra}", "is no split of the task; remove or rename it"))
        for split, names in files.items():
            if names is None:
                continue
            where, listed = f"{rate}/{split}", set(names)
            if split not in folders:
                findings.append(Finding(where, "is missing; add it, or correct splits in the metadata"))
                continue
            present = {f.name for f in (path / where).iterdir() if not is_system(f.name)}
            lacking, more = listed - present, present - listed
            if lacking:
                findings.append(Finding(where, f"lacks what {split}.json names: {named(lacking)}"))
            if more:
                findings.append(Finding(where, f"has what {split}.json does not name: {named(more)}"))
            alike = {look(name) for name in lacking} & {look(name) for name in more}
            if alike:
                what = f"{len(alike)} of these only look alike: make {split}.json name them as the files are"
                findings.append(Finding(where, what))
            places += [Place(rate, split, name) for name in sorted(listed & present)]
    return findings, places


def _inspect(path: Path, place: Place) -> Sound | str:
    """What the file is, or why it cannot be read."""
    samples, peak, digest = 0, 0.0, hashlib.sha256()
    try:
        reader = SoundReader(path / str(place.rate) / place.split / place.file)
        for block in reader:
            samples += len(block)
            if samples > MAX_SAMPLES:
                return f"more than {MAX_SAMPLES} samples"
            if not np.isfinite(block).all():
                return "NaN or infinite samples"
            peak = max(peak, float(np.abs(block).max()))
            digest.update(to_int16(block).tobytes())
    except TaskError:
        return "no sound"
    if not samples:
        return "empty"
    return Sound(
        rate=reader.rate,
        channels=reader.channels,
        subtype=reader.subtype,
        samples=samples,
        silent=is_silent(np.array([peak])),
        peak=peak,
        digest=digest.digest(),
        ends_early=reader.ends_early,
    )


def _grouped(values: Mapping[Place, str], what: str) -> Iterator[Finding]:
    """A finding per folder, that names each clip with its value."""
    folders: dict[str, list[str]] = defaultdict(list)
    for place, value in values.items():
        folders[f"{place.rate}/{place.split}"].append(f"{place.file} ({value})")
    for where, clips in folders.items():
        yield Finding(where, f"{len(clips)} clips {what}: {named(clips)}")


def _format_findings(sounds: Mapping[Place, Sound], seconds: float | None) -> Iterator[Finding]:
    rates = {p: f"{s.rate} Hz" for p, s in sounds.items() if s.rate != p.rate}
    channels = {p: f"{s.channels} channels" for p, s in sounds.items() if s.channels != 1}
    subtypes = {p: s.subtype for p, s in sounds.items() if s.subtype != "PCM_16"}
    yield from _grouped(rates, "have another rate than their folder")
    yield from _grouped(channels, "are not mono")
    yield from _grouped(subtypes, "are not 16-bit PCM")
    loud = {p: f"{s.peak:.4g}" for p, s in sounds.items() if s.peak > 1}
    yield from _grouped(loud, "have samples outside [-1, 1]")
    if seconds is not None:
        lengths = {p: s.samples / s.rate for p, s in sounds.items()}
        wrong = {
            p: f"{length:.3f} s" for p, length in lengths.items() if abs(length - seconds) > _LENGTH_TOLERANCE
        }
        yield from _grouped(wrong, f"are not {seconds} s long")


def _silence_findings(sounds: Mapping[Place, Sound], inherited: bool) -> Iterator[Finding]:
    members: dict[str, list[Place]] = defaultdict(list)
    for place in sounds:
        members[f"{place.rate}/{place.split}"].append(place)
    for where, places in members.items():
        silent = [place.file for place in places if sounds[place].silent]
        most = 2 * len(silent) > len(places)
        if silent:
            what = f"{len(silent)} of {len(places)} clips are silent (at most 3 of 32768): {named(silent)}"
            yield Finding(where, what, remark=inherited and not most)


def _repeat_findings(sounds: Mapping[Place, Sound], inherited: bool) -> Iterator[Finding]:
    """Clips of the same samples in two splits; silent ones are told of elsewhere."""
    same: dict[bytes, list[Place]] = defaultdict(list)
    for place, sound in sounds.items():
        if not sound.silent:
            same[sound.digest].append(place)
    for places in same.values():
        if len({place.split for place in places}) > 1:
            where = ", ".join(f"{place.split}/{place.file}" for place in places)
            yield Finding(
                str(places[0].rate), f"the same sound is in several splits: {where}", remark=inherited
            )
