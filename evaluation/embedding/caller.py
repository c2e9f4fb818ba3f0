"""One model asked for one batch: its answers checked, halved where memory ends."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.loading import file_names, in_words
from tasks import Clip, Task

BATCH_TOLERANCE = 1e-3
"""Largest relative difference between a clip embedded alone and beside another that counts as rounding."""

TIME_TOLERANCE_MS = 0.1
"""The same for the times of frames, which do not depend on the sound."""

COVERED = 0.75
"""Share of a clip that its frames reach at least, or it is said: windows that are not filled up cost some."""

Warn = Callable[[str], None]

Arrays = tuple[Float[np.ndarray, "..."], ...]
"""What one call gives for one layer: the embeddings, and for frames their times."""


class Caller:
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
                f"warning: {name} reads {file_names(later)} while it embeds; what is read after loading is "
                "not hashed, so a change of it would not be noticed: read it in load_model, or name it in "
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

    def _note_constants(self, number: int, embeddings: Float[np.ndarray, " clips *rest"]) -> None:
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
            self._check_shapes(clips, size, arrays)
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

    def _check_shapes(self, clips: Sequence[Clip], size: int, arrays: Arrays) -> None:
        (embeddings,), wanted = arrays, (len(clips), size)
        if embeddings.shape != wanted:
            raise EvaluationError(
                f"{self._model.spec.module}: the embeddings of {clips[0].file} have shape {embeddings.shape} "
                f"where the HEAR API wants {wanted}; correct scene_embedding_size or get_scene_embeddings"
            )


class FrameCaller(Caller):
    """The same for timestamp embeddings."""

    function = "get_timestamp_embeddings"

    @contextlib.contextmanager
    def writer(self, entry: StoreEntry, split: str, clips: int) -> Iterator[Callable[..., None]]:
        with entry.frame_writer(split, entry.identity["dim"]) as writer:
            yield writer.append_clips

    def _arrays(self, audio: Float[np.ndarray, "clips samples"]) -> list[Arrays]:
        return list(self._model.layer_timestamp_embeddings(audio, self._layers))

    def _check_shapes(self, clips: Sequence[Clip], size: int, arrays: Arrays) -> None:
        embeddings, times = arrays
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
        assert self._clip is not None  # these are its times
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
