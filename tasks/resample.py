"""A task at a sample rate that its directory lacks: resampled once, kept in a cache."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

from tasks.audio import read_clip, resample, write_clip
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
            _resample_clips(task, rate, sample_rate, folder, progress)
    return dataclasses.replace(task, audio_root=target)


def is_resampled(task: Task, sample_rate: int, cache: Path | str, digest: str) -> bool:
    """Whether `resample_task` has the clips at `sample_rate` (Hz) already; `digest` is the source's."""
    return _folder(task, sample_rate, Path(cache), digest).is_dir()


def _folder(task: Task, sample_rate: int, cache: Path, digest: str) -> Path:
    rate = source_rate(task.sample_rates, sample_rate)
    key = hashlib.sha256(f"{digest} {rate} {sample_rate} soxr HQ".encode()).hexdigest()[:16]
    return cache / f"{task.name}-{sample_rate}-{key}"


def _resample_clips(
    task: Task, from_rate: int, to_rate: int, folder: Path, progress: Progress | None
) -> None:
    out = dataclasses.replace(task, audio_root=folder)
    for split in task.clips:
        (folder / str(to_rate) / split).mkdir(parents=True)

    def one(clip: tuple[str, str]) -> None:
        audio = read_clip(task.audio_path(*clip, from_rate), from_rate)
        write_clip(out.audio_path(*clip, to_rate), resample(audio, from_rate, to_rate), to_rate)

    run_parallel(
        one, [(split, c.file) for split, clips in task.clips.items() for c in clips], progress=progress
    )
