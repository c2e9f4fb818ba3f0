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

from evaluation.content import CheckedClips, Known, planned_files
from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel
from evaluation.loading import in_words, names_of
from evaluation.opened import OWN_THREAD
from evaluation.provenance import hardware
from evaluation.store import EmbeddingTime, StoreEntry
from tasks import Clip, Task, resample_task, source_rate
from tasks.digest import digest_of_files

BATCH_SECONDS = 64.0
"""Audio per call of the model; 13 clips of 5 s fill an encoder without holding much memory."""

BATCH_TOLERANCE = 1e-3
"""Largest relative difference between a clip embedded alone and beside another that counts as rounding."""

TIME_TOLERANCE_MS = 0.1
"""The same for the times of frames, which do not depend on the sound."""

COVERED = 0.75
"""Share of a clip that its frames reach at least, or it is said: windows that are not filled up cost some."""

Warn = Callable[[str], None]
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
    return all(_has(entry, split, len(clips)) for split, clips in task.clips.items())


def _has(entry: StoreEntry, split: str, clips: int) -> bool:
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
                for batch, audio in _batches(checked, source, split, clips, model.sample_rate):
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
        self._repeats: bool | None = None

    def warn_of_doubts(self) -> None:
        """Say what the module did that makes its answers doubtful."""
        name = self._model.spec.module
        if weight := self._model.changed_weight():
            self._warn(
                f"warning: {name} changes its own weights while it embeds ({weight}), so what it gives "
                "depends on what it was given before; set them fast in get_scene_embeddings, or in load_model"
            )
        if self._model.writes_input:
            self._warn(
                f"warning: {name} writes into the sound that it is given; here that is a copy, but other "
                "programs will get other embeddings of it"
            )
        if later := list(self._model.read_later):
            self._warn(
                f"warning: {name} reads {names_of(later)} while it embeds; what is read after loading is not "
                "hashed, so a change of it would not be noticed: read it in load_model, or name it in "
                "WEIGHT_FILES"
            )
            self._model.read_later.clear()

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
        if self._repeats is None:
            self._repeats = self._answers_repeat(clips[:1], audio[:1])
        if len(clips) > 1 and self._largest is None:
            self._largest = len(clips) if self._repeats and self._batches_work(clips[:2], audio[:2]) else 1
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

    def _answers_repeat(self, clips: Sequence[Clip], audio: Float[np.ndarray, "one samples"]) -> bool:
        """Embed one clip twice, and say it when that makes a difference; no two answers are alike then."""
        first, second = (self._checked(clips, audio) for _ in range(2))
        if self._differ(first, second):
            self._warn(
                f"warning: {self._model.spec.module} answers differently when it is given the same clip "
                f"twice ({clips[0].file}): it is random (dropout left on, a random crop?) or remembers what "
                "came before, so its scores hold for these embeddings alone; going clip by clip"
            )
            return False
        return True

    def _differ(self, one: Sequence[Arrays], two: Sequence[Arrays]) -> bool:
        """Whether two answers are further apart than rounding takes them."""
        for a, b in zip(one, two, strict=True):
            tolerances = (BATCH_TOLERANCE * np.abs(a[0]).max(), TIME_TOLERANCE_MS)
            for x, y, tolerance in zip(a, b, tolerances, strict=False):
                if x.shape != y.shape or np.abs(x - y).max() > tolerance:
                    return True
        return False

    def _batches_work(self, clips: Sequence[Clip], audio: Float[np.ndarray, "two samples"]) -> bool:
        """Embed two clips together and alone; batches are used only if that makes no difference."""
        name = self._model.spec.module
        single = [self._checked([clip], audio[i : i + 1]) for i, clip in enumerate(clips)]
        try:
            together = self._call(clips, audio)
        except _CallError as error:
            self._warn(f"{error}; going clip by clip")
            return False
        alone = [
            tuple(map(np.concatenate, zip(first, second, strict=True)))
            for first, second in zip(*single, strict=True)
        ]
        if self._differ(alone, together):
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
                f"({audio.shape[1]} samples): {in_words(error)}"
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
        self._warn_of_times(clips[0].file, times)

    def _warn_of_times(self, file: str, times: Float[np.ndarray, "clips frames"]) -> None:
        """Say once that the times do not cover a clip, or go beyond it: they are not in ms, most likely."""
        length = 1000 * self._clip.shape[1] / self._model.sample_rate
        first, last = float(times.min()), float(times.max())
        hop = float(np.diff(times, axis=1).max()) if times.shape[1] > 1 else length
        beyond = last > length + hop or first < -hop
        short = last + hop < COVERED * length or first - hop > (1 - COVERED) * length
        if (beyond or short) and not self._told_of_times:
            self._told_of_times = True
            self._warn(
                f"warning: {self._model.spec.module}: the timestamps of {file} go from {first:.6g} to "
                f"{last:.6g} ms, but the clip is {length:.6g} ms long, so events will be looked for in the "
                "wrong places; HEAR wants milliseconds from the clip's beginning"
            )

    _told_of_times = False


class _CallError(EvaluationError):
    """The module raised an exception, perhaps only for a batch of this size."""


def _batches(
    checked: CheckedClips, task: Task, split: str, clips: Sequence[Clip], sample_rate: int
) -> Iterator[tuple[list[Clip], Float[np.ndarray, "clips samples"]]]:
    """Read clips ahead of the model and yield runs of equal length, at most BATCH_SECONDS each."""
    batch: list[Clip] = []
    waveforms: list[np.ndarray] = []
    # Absolute: the reading thread goes on while the module may be in another working directory.
    places = [(split, clip, task.audio_path(split, clip.file, sample_rate).absolute()) for clip in clips]
    read = functools.partial(checked.read, sample_rate=sample_rate)
    for clip, audio in zip(clips, _read_ahead(read, places), strict=True):
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
