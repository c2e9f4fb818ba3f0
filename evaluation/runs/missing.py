"""What of a run is not there yet, and how large it is."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.embedding.embed import is_embedded
from evaluation.runs.job import Job
from tasks import is_resampled

FRAMES_PER_SECOND = 25
"""Timestamp embeddings as dense as modules usually have them: one every 40 or 50 ms."""

BYTES_PER_SAMPLE = 2
"""Clips of task directories are mono and of 16 bits."""


def waiting_by_task(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Return what is not embedded yet: per task one job for each model and layer."""
    waiting: dict[str, list[Job]] = {}
    for job in _waiting_for_embedding(jobs):
        waiting.setdefault(job.task.name, []).append(job)
    return waiting


def _waiting_for_embedding(jobs: Sequence[Job]) -> list[Job]:
    """Return one job for each task, model and layer that is not embedded yet."""
    distinct = {job.entry.key: job for job in jobs}.values()
    return [job for job in distinct if not is_embedded(job.entry, job.task)]


def bytes_needed(jobs: Sequence[Job], cache: Path) -> float:
    """Return how many bytes the embeddings and resampled clips take that `cache` does not hold yet."""
    waiting = _waiting_for_embedding(jobs)
    audio = {(job.task.name, job.entry.identity["sample_rate"]): _new_audio(job, cache) for job in waiting}
    return sum(map(_new_embeddings, waiting)) + sum(audio.values())


def _new_embeddings(job: Job) -> float:
    """Return the bytes of the task's embeddings; of frames, as many as is usual for clips so long."""
    identity = job.entry.identity
    rows: float = sum(len(part) for part in job.task.clips.values())
    if identity["embedding"] == "event":
        seconds = _audio_bytes(job) / (BYTES_PER_SAMPLE * identity["source_rate"])
        rows = max(rows, FRAMES_PER_SECOND * seconds)
    return 4 * identity["dim"] * rows


def _new_audio(job: Job, cache: Path) -> float:
    """Return the bytes of the task's clips at a rate that neither its directory nor the cache has."""
    rate, source = job.entry.identity["sample_rate"], job.entry.identity["source_rate"]
    there = rate == source or is_resampled(job.task, rate, cache / "audio", job.entry.identity["task_digest"])
    return 0 if there else _audio_bytes(job) * rate / source


def _audio_bytes(job: Job) -> int:
    """Return the bytes of the task's clips at the rate that is read."""
    rate = job.entry.identity["source_rate"]
    paths = (
        job.task.audio_path(split, clip.file, rate)
        for split, clips in job.task.clips.items()
        for clip in clips
    )
    return sum(path.stat().st_size for path in paths)
