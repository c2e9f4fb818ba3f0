"""A task at a sample rate that its directory lacks: resampled once, kept in a cache."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.audio import is_silent, naming, read_clip_and_digest, resample, write_clip
from tasks.format.digest import ClipDigests, file_sha256, task_digest
from tasks.format.task import Task
from tasks.json_files import read_json
from tasks.work import Progress, new_directory, run_parallel

DIGESTS_FILE = "sha256.json"
"""In a folder of resampled clips: the SHA-256 of each as it was written."""


def source_rate(present: Iterable[int], wanted: int) -> int:
    """The rate to make `wanted` from: itself if present, else the nearest higher, else the nearest lower.

    Example:
        >>> source_rate([16000, 44100], 32000), source_rate([16000, 44100], 48000)
        (44100, 44100)
    """
    present = set(present)
    higher = [rate for rate in present if rate >= wanted]
    return min(higher) if higher else max(present)


def resample_task(
    task: Task, sample_rate: int, cache: Path | str, *, progress: Progress | None = None
) -> Task:
    """Give `task` at `sample_rate` (Hz): itself when it has that rate, else resampled with soxr HQ.

    The clips go, over all cores and as 16-bit PCM, into a folder of `cache` whose name holds the digest of
    the task's content; it appears only when complete, and later calls use it as it is. Raises TaskError for
    the first clip that is bad, when the disk refuses, or when a clip's bytes changed meanwhile.

    Example:
        >>> from tasks import read_task
        >>> task = read_task(sample_tasks / "beijing_opera-sample")
        >>> resample_task(task, 8000, folder / "cache").sample_rates
        (8000,)
    """
    if sample_rate in task.sample_rates:
        return task
    rate, cache = source_rate(task.sample_rates, sample_rate), Path(cache)
    digest = task_digest(task, rate, memo=cache / "digests.json")
    target = _folder(task, sample_rate, cache, digest)
    if not target.is_dir():
        with new_directory(target) as folder:
            _, read = _write(task, rate, {sample_rate: folder / str(sample_rate)}, progress)
            if task_digest(task, rate, clips=read) != digest:
                raise TaskError(f"{task.path} changed while it was being resampled; run again.")
            _write_digests(task, folder, sample_rate)
    return dataclasses.replace(task, audio_root=target)


def made_digests(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of the resampled clips in a folder, by `split/file`; {} when they are not known."""
    try:
        found = read_json(folder / DIGESTS_FILE)
    except (OSError, TaskError):
        return {}
    return found if isinstance(found, dict) else {}


def is_resampled(task: Task, sample_rate: int, cache: Path | str, digest: str) -> bool:
    """Whether `resample_task` has the clips at `sample_rate` (Hz) already; `digest` is the source's.

    Example:
        >>> from tasks import read_task, task_digest
        >>> task = read_task(sample_tasks / "beijing_opera-sample")
        >>> is_resampled(task, 22050, folder / "cache", task_digest(task, 44100))
        False
    """
    return _folder(task, sample_rate, Path(cache), digest).is_dir()


def _folder(task: Task, sample_rate: int, cache: Path, digest: str) -> Path:
    rate = source_rate(task.sample_rates, sample_rate)
    key = hashlib.sha256(f"{digest} {rate} {sample_rate} soxr HQ, hashed".encode()).hexdigest()[:16]
    return cache / f"{task.name}-{sample_rate}-{key}"


def _write_digests(task: Task, folder: Path, rate: int) -> None:
    every = [f"{split}/{clip.file}" for split, clips in task.clips.items() for clip in clips]
    digests = run_parallel(file_sha256, [folder / str(rate) / name for name in every])
    content = json.dumps(dict(zip(every, digests, strict=True)))
    (folder / DIGESTS_FILE).write_text(content, encoding="utf-8")


def write_rates(task: Task, source: int, folders: Mapping[int, Path], progress: Progress | None) -> int:
    """Resample every clip from `source` Hz into the folder of each rate; return how many are silent."""
    return _write(task, source, folders, progress)[0]


def _write(
    task: Task, source: int, folders: Mapping[int, Path], progress: Progress | None
) -> tuple[int, ClipDigests]:
    """The same; also the digest of what was read of each clip."""
    for folder in folders.values():
        for split in task.clips:
            (folder / split).mkdir(parents=True)

    def one(clip: tuple[str, str]) -> tuple[bool, str]:
        split, file = clip
        path = task.audio_path(split, file, source)
        audio, digest = read_clip_and_digest(path, source)
        for rate, folder in folders.items():
            with naming(str(path)):
                made = resample(audio, source, rate)
            write_clip(folder / split / file, made, rate)
        return is_silent(audio), digest

    every = [(split, clip.file) for split, clips in task.clips.items() for clip in clips]
    done = run_parallel(one, every, progress=progress)
    return sum(silent for silent, _ in done), dict(zip(every, (d for _, d in done), strict=True))
