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

from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel
from evaluation.provenance import hardware
from evaluation.store import EmbeddingTime, StoreEntry
from tasks import Clip, Task, TaskError, read_clip, resample_task, source_rate, task_digest

BATCH_SECONDS = 64.0
"""Audio per call of the model; 13 clips of 5 s fill an encoder without holding much memory."""

BATCH_TOLERANCE = 1e-3
"""Largest relative difference between a clip embedded alone and beside another that counts as rounding."""

TIME_TOLERANCE_MS = 0.1
"""The same for the times of frames, which do not depend on the sound."""

Warn = Callable[[str], None]
Advance = Callable[[int], None]


def store_entry(model: HearModel, task: Task, cache: Path) -> StoreEntry:
    """Return the place in the store for this model on this task; nothing is computed.

    EvaluationError when the task is one of events and the model has no timestamp embeddings.

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
        "dim": model.embedding_size(task.metadata.embedding_type),
        "dtype": "float32",
    }
    if model.spec.layer:
        identity["layer"] = model.spec.layer
    return StoreEntry(cache / "embeddings", identity)


def is_embedded(entry: StoreEntry, task: Task) -> bool:
    """Say whether every split of the task is in the store, whole."""
    return all(_has(entry, split, len(clips)) for split, clips in task.clips.items())


def _has(entry: StoreEntry, split: str, clips: int) -> bool:
    has = entry.has_frames if entry.identity["embedding"] == "event" else entry.has
    return has(split, clips, entry.identity["dim"])


def embed_task(
    model: HearModel, task: Task, entries: Sequence[StoreEntry], cache: Path, *, advance: Advance, warn: Warn
) -> None:
    """Embed the splits that the store lacks, for all layers that have one of the `entries` in one pass.

    `advance` is told the number of clips done, `warn` gets a sentence when the module could not be called
    with whole batches. Raises TaskError for a bad clip and EvaluationError for a bad embedding; finished
    splits stay in the store, each with the wall time that reading and embedding it took, for all layers
    together. Of a task of events every frame is embedded, of others every clip.
    """
    source = resample_task(task, model.sample_rate, cache / "audio")
    entries = sorted(entries, key=lambda entry: entry.key)  # two processes must not wait for each other
    kind = _FrameCaller if task.metadata.embedding_type == "event" else _Caller
    caller = kind(model, entries, warn)
    with contextlib.ExitStack() as held:
        for entry in entries:
            held.enter_context(entry.writing())
        for split, clips in task.clips.items():
            if all(_has(entry, split, len(clips)) for entry in entries):
                advance(len(clips))
                continue
            start, samples = time.perf_counter(), 0
            with contextlib.ExitStack() as written:
                writers = [
                    written.enter_context(caller.writer(entry, split, len(clips))) for entry in entries
                ]
                for batch, audio in _batches(source, split, clips, model.sample_rate):
                    for found in caller.embed(batch, audio):
                        for append, arrays in zip(writers, found, strict=True):
                            append(*arrays)
                    advance(len(batch))
                    samples += audio.size
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


Arrays = tuple[Float[np.ndarray, "clips *rest"], ...]
"""What one call gives for one layer: the embeddings, and for frames their times."""


class _Caller:
    """Calls the module for scene embeddings, with batches as large as it bears, down to single clips."""

    function = "get_scene_embeddings"

    def __init__(self, model: HearModel, entries: Sequence[StoreEntry], warn: Warn):
        self._model = model
        self._layers = [entry.identity.get("layer", "") for entry in entries]
        self._sizes = [entry.identity["dim"] for entry in entries]
        self._warn = warn
        self._largest: int | None = None
        self._clip: Float[np.ndarray, "one samples"] | None = None
        self._counted: dict[int, float | None] = {}
        self._first: dict[int, np.ndarray] = {}
        self._constant = [True] * len(entries)

    def warn_of_constants(self, task: Task) -> None:
        """Warn of every layer whose embeddings, of all that was embedded here, are one and the same."""
        for number, layer in enumerate(self._layers):
            if self._constant[number] and number in self._first:
                what = "zero" if not self._first[number].any() else "one and the same"
                name = f"{self._model.spec.module}[layer={layer}]" if layer else self._model.spec.module
                self._warn(
                    f"warning: {name}: the embeddings of all clips of {task.name} are {what}; they say "
                    "nothing about the sound, so check the module and its weights"
                )

    def _note_constants(self, number: int, embeddings: Float[np.ndarray, "clips *rest"]) -> None:
        rows = embeddings.reshape(-1, embeddings.shape[-1])
        first = self._first.setdefault(number, rows[0].copy())
        self._constant[number] = self._constant[number] and bool((rows == first).all())

    def flops(self, samples: int) -> float | None:
        """Return the operations of embedding so many samples of sound, counted in the clip called last.

        Clips of one length are counted once.
        """
        if self._clip is None:
            return None
        length = self._clip.size
        if length not in self._counted:
            self._counted[length] = self._model.flops(self.function, self._clip, self._layers)
        counted = self._counted[length]
        return None if counted is None else counted / length * samples

    @contextlib.contextmanager
    def writer(self, entry: StoreEntry, split: str, clips: int) -> Iterator[Callable[..., None]]:
        with entry.writer(split, clips, entry.identity["dim"]) as writer:
            yield writer.append

    def embed(
        self, clips: Sequence[Clip], audio: Float[np.ndarray, "clips samples"]
    ) -> Iterator[list[Arrays]]:
        """Yield, for some clips after others, what each layer gives."""
        self._clip = audio[-1:]
        if len(clips) > 1 and self._largest is None:
            self._largest = len(clips) if self._batches_work(clips[:2], audio[:2]) else 1
        start = 0
        while start < len(clips):
            stop = min(len(clips), start + (self._largest or 1))
            try:
                found = self._checked(clips[start:stop], audio[start:stop])
            except _CallError as error:
                if stop - start == 1:
                    raise
                self._largest = (stop - start) // 2
                self._warn(f"{error}; going on with batches of {self._largest}")
            else:
                yield found
                start = stop

    def _batches_work(self, clips: Sequence[Clip], audio: Float[np.ndarray, "two samples"]) -> bool:
        """Embed two clips together and alone; batches are used only if that makes no difference."""
        name = self._model.spec.module
        single = [self._checked([clip], audio[i : i + 1]) for i, clip in enumerate(clips)]
        try:
            together = self._call(clips, audio)
        except _CallError as error:
            self._warn(f"{error}; going clip by clip")
            return False
        for first, second, both in zip(*single, together, strict=True):
            alone = tuple(map(np.concatenate, zip(first, second, strict=True)))
            tolerances = (BATCH_TOLERANCE * np.abs(alone[0]).max(), TIME_TOLERANCE_MS)
            for a, b, tolerance in zip(alone, both, tolerances, strict=False):
                if a.shape != b.shape or np.abs(a - b).max() > tolerance:
                    self._warn(f"{name} embeds a clip differently beside others; going clip by clip")
                    return False
        return True

    def _call(self, clips: Sequence[Clip], audio: Float[np.ndarray, "clips samples"]) -> list[Arrays]:
        try:
            return self._arrays(audio)
        except EvaluationError:
            raise
        except Exception as error:
            beside = f" and {len(clips) - 1} more" if len(clips) > 1 else ""
            raise _CallError(
                f"{self._model.spec.module}: {self.function} failed on {clips[0].file}{beside} "
                f"({audio.shape[1]} samples): {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error

    def _arrays(self, audio: Float[np.ndarray, "clips samples"]) -> list[Arrays]:
        return [(x,) for x in self._model.layer_scene_embeddings(audio, self._layers)]

    def _checked(self, clips: Sequence[Clip], audio: Float[np.ndarray, "clips samples"]) -> list[Arrays]:
        found = self._call(clips, audio)
        for number, (arrays, size) in enumerate(zip(found, self._sizes, strict=True)):
            self._check_shapes(clips, size, *arrays)
            finite = np.isfinite(arrays[0]).all(axis=tuple(range(1, arrays[0].ndim)))
            if not finite.all():
                culprit = clips[int(np.argmin(finite))].file
                raise EvaluationError(
                    f"{self._model.spec.module}: the embedding of {culprit} has NaN or infinite values; "
                    "mend the module for it"
                )
            if self._constant[number]:
                self._note_constants(number, arrays[0])
        return found

    def _check_shapes(self, clips: Sequence[Clip], size: int, embeddings: Float[np.ndarray, "..."]) -> None:
        wanted = (len(clips), size)
        if embeddings.shape != wanted:
            raise EvaluationError(
                f"{self._model.spec.module}: the embeddings of {clips[0].file} have shape {embeddings.shape} "
                f"where the HEAR API wants {wanted}; correct scene_embedding_size or get_scene_embeddings"
            )


class _FrameCaller(_Caller):
    """The same for timestamp embeddings."""

    function = "get_timestamp_embeddings"

    @contextlib.contextmanager
    def writer(self, entry: StoreEntry, split: str, clips: int) -> Iterator[Callable[..., None]]:
        with entry.frame_writer(split, entry.identity["dim"]) as writer:
            yield writer.append_clips

    def _arrays(self, audio: Float[np.ndarray, "clips samples"]) -> list[Arrays]:
        return self._model.layer_timestamp_embeddings(audio, self._layers)

    def _check_shapes(
        self,
        clips: Sequence[Clip],
        size: int,
        embeddings: Float[np.ndarray, "..."],
        times: Float[np.ndarray, "..."],
    ) -> None:
        where = f"{self._model.spec.module}: of {clips[0].file}"
        frames = embeddings.shape[1] if embeddings.ndim == 3 else 0
        if (
            not frames
            or embeddings.shape != (len(clips), frames, size)
            or times.shape != (len(clips), frames)
        ):
            raise EvaluationError(
                f"{where} the timestamp embeddings have shape {embeddings.shape} and their times "
                f"{times.shape} where the HEAR API wants ({len(clips)}, t, {size}) and ({len(clips)}, t), "
                "t at least 1; correct timestamp_embedding_size or get_timestamp_embeddings"
            )
        if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise EvaluationError(
                f"{where} the timestamps (ms) do not ascend; correct get_timestamp_embeddings"
            )


class _CallError(EvaluationError):
    """The module raised an exception, perhaps only for a batch of this size."""


def _batches(
    task: Task, split: str, clips: Sequence[Clip], sample_rate: int
) -> Iterator[tuple[list[Clip], Float[np.ndarray, "clips samples"]]]:
    """Read clips ahead of the model and yield runs of equal length, at most BATCH_SECONDS each."""
    batch: list[Clip] = []
    waveforms: list[np.ndarray] = []
    paths = [task.audio_path(split, clip.file, sample_rate) for clip in clips]
    read = functools.partial(_read, made=task.audio_root != task.path, sample_rate=sample_rate)
    for clip, audio in zip(clips, _read_ahead(read, paths), strict=True):
        full = sum(map(len, waveforms)) + len(audio) > BATCH_SECONDS * sample_rate
        if batch and (full or len(audio) != len(waveforms[0])):
            yield batch, np.stack(waveforms)
            batch, waveforms = [], []
        batch.append(clip)
        waveforms.append(audio)
    if batch:
        yield batch, np.stack(waveforms)


def _read(path: Path, *, made: bool, sample_rate: int) -> Float[np.ndarray, "samples"]:
    """Read one clip; `made` says that it was resampled into the cache and can be made again."""
    try:
        return read_clip(path, sample_rate)
    except TaskError as error:
        if not made:
            raise
        folder = path.parents[2]
        raise TaskError(f"{path} in the cache is damaged; delete {folder}, and it is made again.") from error


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
