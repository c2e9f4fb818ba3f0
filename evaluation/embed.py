"""From a HEAR model and a task to embeddings in the store."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel
from evaluation.store import StoreEntry
from tasks import Clip, Task, read_clip, resample_task, source_rate, task_digest

BATCH_SECONDS = 64.0
"""Audio per call of the model; 13 clips of 5 s fill an encoder without holding much memory."""

BATCH_TOLERANCE = 1e-3
"""Largest relative difference between a clip embedded alone and beside another that counts as rounding."""

Warn = Callable[[str], None]
Advance = Callable[[int], None]


def store_entry(model: HearModel, task: Task, cache: Path) -> StoreEntry:
    """Return the place in the store for this model on this task; nothing is computed.

    The task's content is that of the clips on disk; where the model's rate is missing the rate they are
    resampled from is part of the identity.
    """
    rate = source_rate(task.sample_rates, model.sample_rate)
    identity = {
        "module": model.spec.module,
        "model_fingerprint": model.fingerprint,
        "task": task.name,
        "task_digest": task_digest(task, rate, memo=cache / "digests.json"),
        "source_rate": rate,
        "sample_rate": model.sample_rate,
        "embedding": task.metadata.embedding_type,
        "dim": model.scene_embedding_size,
        "dtype": "float32",
    }
    return StoreEntry(cache / "embeddings", identity)


def is_embedded(entry: StoreEntry, task: Task) -> bool:
    """Say whether every split of the task is in the store."""
    return all(entry.has(split) for split in task.clips)


def embed_task(
    model: HearModel, task: Task, entry: StoreEntry, cache: Path, *, advance: Advance, warn: Warn
) -> None:
    """Embed the splits that the store lacks.

    `advance` is told the number of clips done, `warn` gets a sentence when the module had to be called
    clip by clip. Raises TaskError for a bad clip and EvaluationError for a bad embedding; finished splits
    stay in the store.
    """
    task = resample_task(task, model.sample_rate, cache / "audio")
    caller = _Caller(model, warn)
    for split, clips in task.clips.items():
        if entry.has(split):
            advance(len(clips))
            continue
        pending = entry.create(split, len(clips), model.scene_embedding_size)
        try:
            row = 0
            for batch, audio in _batches(task, split, clips, model.sample_rate):
                pending.rows[row : row + len(batch)] = caller.embed(batch, audio)
                row += len(batch)
                advance(len(batch))
            pending.commit()
        except BaseException:
            pending.discard()
            raise


class _Caller:
    """Calls the module with batches, or clip by clip once batches turned out not to work."""

    def __init__(self, model: HearModel, warn: Warn):
        self._model = model
        self._warn = warn
        self._batches_work: bool | None = None

    def embed(
        self, clips: Sequence[Clip], audio: Float[np.ndarray, "clips samples"]
    ) -> Float[np.ndarray, "clips dim"]:
        if len(clips) > 1 and self._batches_work is None:
            self._batches_work = self._try_batch(clips[:2], audio[:2])
        if len(clips) > 1 and self._batches_work:
            return self._checked(clips, audio)
        rows = [self._checked([clip], audio[i : i + 1]) for i, clip in enumerate(clips)]
        return np.concatenate(rows)

    def _try_batch(self, clips: Sequence[Clip], audio: Float[np.ndarray, "two samples"]) -> bool:
        """Embed two clips together and alone; batches are used only if that makes no difference."""
        name = self._model.spec.module
        alone = np.concatenate([self._checked([clip], audio[i : i + 1]) for i, clip in enumerate(clips)])
        try:
            together = self._model.scene_embeddings(audio)
        except Exception as error:
            self._warn(f"{name} fails on a batch of two clips ({type(error).__name__}); going clip by clip")
            return False
        scale = np.abs(alone).max()
        if together.shape != alone.shape or np.abs(together - alone).max() > BATCH_TOLERANCE * scale:
            self._warn(f"{name} embeds a clip differently beside others; going clip by clip")
            return False
        return True

    def _checked(
        self, clips: Sequence[Clip], audio: Float[np.ndarray, "clips samples"]
    ) -> Float[np.ndarray, "clips dim"]:
        name, first = self._model.spec.module, clips[0].file
        try:
            embeddings = self._model.scene_embeddings(audio)
        except Exception as error:
            text = " ".join(str(error).split())
            raise EvaluationError(
                f"{name}: get_scene_embeddings failed on {first} ({audio.shape[1]} samples): "
                f"{type(error).__name__}: {text}"
            ) from error
        wanted = (len(clips), self._model.scene_embedding_size)
        if embeddings.shape != wanted:
            raise EvaluationError(
                f"{name}: the embeddings of {first} have shape {embeddings.shape} where the HEAR API wants "
                f"{wanted}; correct scene_embedding_size or get_scene_embeddings"
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            culprit = clips[int(np.argmin(finite))].file
            raise EvaluationError(
                f"{name}: the embedding of {culprit} has NaN or infinite values; mend the module for it"
            )
        return embeddings


def _batches(
    task: Task, split: str, clips: Sequence[Clip], sample_rate: int
) -> Iterator[tuple[list[Clip], Float[np.ndarray, "clips samples"]]]:
    """Read clips ahead of the model and yield runs of equal length, at most BATCH_SECONDS each."""
    batch: list[Clip] = []
    waveforms: list[np.ndarray] = []
    paths = [task.audio_path(split, clip.file, sample_rate) for clip in clips]
    for clip, audio in zip(clips, _read_ahead(lambda path: read_clip(path, sample_rate), paths), strict=True):
        full = sum(map(len, waveforms)) + len(audio) > BATCH_SECONDS * sample_rate
        if batch and (full or len(audio) != len(waveforms[0])):
            yield batch, np.stack(waveforms)
            batch, waveforms = [], []
        batch.append(clip)
        waveforms.append(audio)
    if batch:
        yield batch, np.stack(waveforms)


def _read_ahead(function: Callable[[Any], Any], items: Iterable[Any], depth: int = 64) -> Iterator[Any]:
    """Apply `function` in one background thread, at most `depth` items ahead of the consumer."""
    with ThreadPoolExecutor(1) as pool:
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
