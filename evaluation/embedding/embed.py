"""From a HEAR model and a task to embeddings in the store."""

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evaluation.embedding.caller import Caller, FrameCaller, Warn
from evaluation.embedding.content import CheckedClips, Known, planned_files
from evaluation.embedding.store import EmbeddingTime, StoreEntry
from evaluation.environment import hardware
from evaluation.models.hear_model import HearModel
from evaluation.models.opened import OWN_THREAD
from tasks import Clip, Task, resample_task, source_rate
from tasks.format.digest import digest_of_files

BATCH_SECONDS = 64.0
"""Audio per call of the model; 13 clips of 5 s fill an encoder without holding much memory."""

Advance = Callable[[int], None]


def store_entry(model: HearModel, task: Task, cache: Path, known: Known | None = None) -> StoreEntry:
    """Return the place in the store for this model on this task; nothing is computed.

    EvaluationError when the task is one of events and the model has no timestamp embeddings, or when the
    task's lists have changed since it was read.

    The task's content is that of the clips on disk; where the model's rate is missing the rate they are
    resampled from is part of the identity. `known` keeps what was hashed for another model.
    """
    rate = source_rate(task.sample_rates, model.sample_rate)
    files = planned_files(task, rate, cache, known)
    identity = {
        "module": model.spec.module,
        "model_fingerprint": model.fingerprint,
        "task": task.name,
        "task_digest": digest_of_files(files),
        "source_rate": rate,
        "sample_rate": model.sample_rate,
        "embedding": task.metadata.embedding_type,
        "dim": model.embedding_size(task.metadata.embedding_type),
        "dtype": "float32",
    }
    if model.spec.layer:
        identity["layer"] = model.spec.layer
    return StoreEntry(cache / "embeddings", identity, files)


def is_embedded(entry: StoreEntry, task: Task) -> bool:
    """Say whether every split of the task is in the store, whole."""
    return all(_has_embeddings(entry, split, len(clips)) for split, clips in task.clips.items())


def _has_embeddings(entry: StoreEntry, split: str, clips: int) -> bool:
    has = entry.has_frames if entry.identity["embedding"] == "event" else entry.has
    return has(split, clips, entry.identity["dim"])


def embed_task(
    model: HearModel, task: Task, entries: Sequence[StoreEntry], cache: Path, *, advance: Advance, warn: Warn
) -> None:
    """Embed the splits that the store lacks, for all layers that have one of the `entries` in one pass.

    `advance` is told the number of clips done, `warn` gets a sentence when the module could not be called
    with whole batches or its answers are doubtful. Raises TaskError for a bad clip and EvaluationError for a
    bad embedding, and either for a file that is not any more what the entries' keys say; finished splits stay
    in the store, each with the wall time that reading and embedding it took, for all layers together. Of a
    task of events every frame is embedded, of others every clip.
    """
    source = resample_task(task, model.sample_rate, cache / "audio")
    entries = sorted(entries, key=lambda entry: entry.key)  # two processes must not wait for each other
    identity = entries[0].identity
    files = entries[0].files or planned_files(task, identity["source_rate"], cache)
    checked = CheckedClips(task, source, files, identity["task_digest"])
    kind = FrameCaller if task.metadata.embedding_type == "event" else Caller
    caller = kind(model, entries, warn)
    with contextlib.ExitStack() as held:
        for entry in entries:
            held.enter_context(entry.writing())
        for split, clips in task.clips.items():
            if all(_has_embeddings(entry, split, len(clips)) for entry in entries):
                advance(len(clips))
                continue
            start, samples = time.perf_counter(), 0
            with contextlib.ExitStack() as written:
                writers = [
                    written.enter_context(caller.writer(entry, split, len(clips))) for entry in entries
                ]
                for batch, audio in _clip_batches(checked, source, split, clips, model.sample_rate):
                    for found in caller.embed(batch, audio):
                        for append, arrays in zip(writers, found, strict=True):
                            append(*arrays)
                    advance(len(batch))
                    samples += audio.size
                model.check_unchanged()
                checked.check_lists()
            seconds = time.perf_counter() - start
            taken = EmbeddingTime(
                clips=len(clips),
                seconds=seconds,
                hardware=[hardware(model.device)],
                sound=samples / model.sample_rate,
                flops=caller.flops(samples),
            )
            for entry in entries:
                entry.note_time(split, taken)
        caller.warn_of_constants(task)
        caller.warn_of_doubts()


def _clip_batches(
    checked: CheckedClips, task: Task, split: str, clips: Sequence[Clip], sample_rate: int
) -> Iterator[tuple[list[Clip], Float[np.ndarray, "clips samples"]]]:
    """Read clips ahead of the model and yield runs of equal length, at most BATCH_SECONDS each."""
    batch: list[Clip] = []
    waveforms: list[np.ndarray] = []
    # Absolute: the reading thread goes on while the module may be in another working directory.
    places = [(split, clip, task.audio_path(split, clip.file, sample_rate).absolute()) for clip in clips]
    read = functools.partial(checked.read, sample_rate=sample_rate)
    for clip, audio in zip(clips, _read_clips_ahead(read, places), strict=True):
        full = sum(map(len, waveforms)) + len(audio) > BATCH_SECONDS * sample_rate
        if batch and (full or len(audio) != len(waveforms[0])):
            yield batch, np.stack(waveforms)
            batch, waveforms = [], []
        batch.append(clip)
        waveforms.append(audio)
    if batch:
        yield batch, np.stack(waveforms)


def _read_clips_ahead(function: Callable[[Any], Any], items: Iterable[Any], depth: int = 64) -> Iterator[Any]:
    """Apply `function` in one background thread, at most `depth` items ahead of the consumer."""
    with ThreadPoolExecutor(1, thread_name_prefix=OWN_THREAD) as pool:
        pending: deque = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
