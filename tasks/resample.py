"""A task at a sample rate that its directory lacks: resampled once, kept in a cache."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.audio import is_silent, read_clip, resample, write_clip
from tasks.digest import task_digest
from tasks.format import Task
from tasks.work import Progress, new_directory, run_parallel


def source_rate(present: Iterable[int], wanted: int) -> int:
    """The rate to make `wanted` from: itself if present, else the nearest higher, else the nearest lower."""
    present = set(present)
    higher = [rate for rate in present if rate >= wanted]
    return min(higher) if higher else max(present)


def resample_task(
    task: Task, sample_rate: int, cache: Path | str, *, progress: Progress | None = None
) -> Task:
    """Give `task` at `sample_rate` (Hz): itself when it has that rate, else resampled with soxr HQ.

    The clips go, over all cores and as 16-bit PCM, into a folder of `cache` whose name holds the digest of
    the task's content; it appears only when complete, and later calls use it as it is. Raises TaskError for
    the first clip that is bad, or when the disk refuses.
    """
    if sample_rate in task.sample_rates:
        return task
    rate, cache = source_rate(task.sample_rates, sample_rate), Path(cache)
    target = _folder(task, sample_rate, cache, task_digest(task, rate, memo=cache / "digests.json"))
    if not target.is_dir():
        with new_directory(target) as folder:
            write_rates(task, rate, {sample_rate: folder / str(sample_rate)}, progress)
    return dataclasses.replace(task, audio_root=target)


def is_resampled(task: Task, sample_rate: int, cache: Path | str, digest: str) -> bool:
    """Whether `resample_task` has the clips at `sample_rate` (Hz) already; `digest` is the source's."""
    return _folder(task, sample_rate, Path(cache), digest).is_dir()


def _folder(task: Task, sample_rate: int, cache: Path, digest: str) -> Path:
    rate = source_rate(task.sample_rates, sample_rate)
    key = hashlib.sha256(f"{digest} {rate} {sample_rate} soxr HQ".encode()).hexdigest()[:16]
    return cache / f"{task.name}-{sample_rate}-{key}"


def write_rates(task: Task, source: int, folders: Mapping[int, Path], progress: Progress | None) -> int:
    """Resample every clip from `source` Hz into the folder of each rate; return how many are silent."""
    for folder in folders.values():
        for split in task.clips:
            (folder / split).mkdir(parents=True)

    def one(clip: tuple[str, str]) -> bool:
        split, file = clip
        audio = read_clip(task.audio_path(split, file, source), source)
        for rate, folder in folders.items():
            write_clip(folder / split / file, resample(audio, source, rate), rate)
        return is_silent(audio)

    every = [(split, clip.file) for split, clips in task.clips.items() for clip in clips]
    return sum(run_parallel(one, every, progress=progress))
