"""The clips that are hardest for all models, from saved predictions, with their sound where it is at hand."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from evaluation.results.predictions import prediction_path, read_predictions
from evaluation.results.score_table import ScoreTable

AUDIO_BYTES = 3_000_000
"""Sound on one page, as MP3 but before base64, which adds a third."""

CLIPS_PER_TASK = 5
CLIP_SECONDS = 10.0
MOST_RATE = 192_000
"""Hz; that of a clip with a higher one is a mistake of its header."""

Name = tuple[str, str]
"""Part and file name of a clip."""


@dataclass(frozen=True)
class HardClip:
    """One clip: its true labels, what every model answers in words, and its sound as a data URI.

    Without sound `remark` says why; with it, whether it was cut.
    """

    file: str
    truth: Sequence[str]
    loss: float
    answers: Sequence[str]
    audio: str
    remark: str


@dataclass(frozen=True)
class TaskClips:
    """The hardest clips of one task; `answers` of a clip are in the order of `models`."""

    task: str
    models: Sequence[str]
    clips: Sequence[HardClip]


@dataclass
class _Seen:
    """What the fits of one model say of one clip: sums over seeds."""

    target: Float[np.ndarray, " labels"]
    loss: float = 0.0
    right: int = 0
    fits: int = 0
    scores: Any = 0.0


def hardest_clips(
    results: ScoreTable,
    run_directories: Sequence[Path],
    jobs: Sequence[Mapping[str, Any]],
    *,
    audio_bytes: int = AUDIO_BYTES,
) -> list[TaskClips]:
    """Return, for every task with saved predictions, the clips with the largest loss.

    The loss of a clip is the cross-entropy of the predicted probabilities (of several labels, or of frames,
    their mean), averaged over seeds and then over models. `jobs` are those of run.json, which say where a
    task's sound is; each task may use the same share of `audio_bytes`.
    """
    found = {
        column.task: _read_clip_predictions(results, run_directories, column.task)
        for column in results.columns
    }
    found = {task: models for task, models in found.items() if models}
    allowed = audio_bytes // max(1, len(found))
    where = {job["label"]: (Path(job["directory"]), job.get("source_rate")) for job in jobs}
    unknown = (Path(), None)
    return [_task_clips(task, models, *where.get(task, unknown), allowed) for task, models in found.items()]


def _read_clip_predictions(
    results: ScoreTable, run_directories: Sequence[Path], task: str
) -> dict[str, tuple[tuple[str, ...], dict[Name, _Seen]]]:
    """Return, per model with predictions of this task, the labels and what it says of every clip."""
    models: dict[str, tuple[tuple[str, ...], dict[Name, _Seen]]] = {}
    for fits in results.fits:
        for key in (fold.key for fold in fits.folds if fits.task == task):
            paths = (prediction_path(directory, fits.model, task, key) for directory in run_directories)
            if path := next((path for path in paths if path.exists()), None):
                arrays = read_predictions(path)
                labels = tuple(map(str, arrays["labels"]))
                _, clips = models.setdefault(fits.model, (labels, {}))
                _add_fit_of_clips(clips, key.test, arrays)
    return models


def _add_fit_of_clips(clips: dict[Name, _Seen], part: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Add what one fit says of every clip of its test part."""
    scores, target = arrays["scores"].astype(np.float64), arrays["target"].astype(np.float64)
    multiclass = bool((target.sum(1) == 1).all() and np.allclose(scores.sum(1), 1, atol=1e-3))
    certain = np.clip(scores, 1e-7, 1 - 1e-7)
    if multiclass:
        loss = -np.log((certain * target).sum(1))
    else:
        loss = -(target * np.log(certain) + (1 - target) * np.log(1 - certain)).mean(1)
    if "boundaries" in arrays:
        first, last = arrays["boundaries"][:-1], arrays["boundaries"][1:]
        spans = [slice(a, b) for a, b in zip(first, last, strict=True)]
        loss = np.array([loss[span].mean() for span in spans])
        scores, target = (np.array([values[span].max(0) for span in spans]) for values in (scores, target))
    right = (scores.argmax(1) == target.argmax(1)) if multiclass else np.zeros(len(loss), bool)
    for row, file in enumerate(arrays["files"]):
        seen = clips.setdefault((part, str(file)), _Seen(target[row]))
        seen.loss, seen.right, seen.fits = seen.loss + loss[row], seen.right + right[row], seen.fits + 1
        seen.scores = seen.scores + scores[row]


def _task_clips(
    task: str,
    models: Mapping[str, tuple[tuple[str, ...], dict[Name, _Seen]]],
    directory: Path,
    rate: int | None,
    allowed: int,
) -> TaskClips:
    common = set.intersection(*(set(clips) for _, clips in models.values()))
    losses = {
        name: float(np.mean([clips[name].loss / clips[name].fits for _, clips in models.values()]))
        for name in common
    }
    hardest = sorted(common, key=lambda name: (-losses[name], name))[:CLIPS_PER_TASK]
    shown = []
    for part, file in hardest:
        seen = [(labels, clips[part, file]) for labels, clips in models.values()]
        labels, first = seen[0]
        audio, remark = _sound_of_clip(directory / str(rate) / part / file, allowed)
        allowed -= len(audio)
        truth = [label for label, true in zip(labels, first.target, strict=True) if true]
        uri = f"data:audio/mpeg;base64,{base64.b64encode(audio).decode()}" if audio else ""
        answers = [_answer_for_clip(labels, item) for labels, item in seen]
        shown.append(HardClip(f"{part}/{file}", truth, losses[part, file], answers, uri, remark))
    return TaskClips(task, list(models), shown)


def _answer_for_clip(labels: Sequence[str], seen: _Seen) -> str:
    """Return "says dog 62 %; truth 3 %; right 1 of 10", means over seeds."""
    scores = 100 * seen.scores / seen.fits
    top = int(scores.argmax())
    true = np.flatnonzero(seen.target)
    if len(true) != 1:
        ranked = [int(i) for i in np.argsort(-scores)[:3]]
        return "says " + ", ".join(f"{labels[i]} {scores[i]:.0f} %" for i in ranked)
    said = f"says {labels[top]} {scores[top]:.0f} %"
    truth = "" if top == true[0] else f", truth {scores[true[0]]:.0f} %"
    return f"{said}{truth}; right {seen.right} of {seen.fits}"


def _sound_of_clip(path: Path, allowed: int) -> tuple[bytes, str]:
    """Return a clip as MP3, cut to its first seconds, or nothing; and what must be said of it."""
    if not path.is_file():
        return b"", "sound not at hand"
    content = io.BytesIO()
    try:
        with soundfile.SoundFile(path) as file:
            rate, samples = file.samplerate, math.ceil(CLIP_SECONDS * min(file.samplerate, MOST_RATE))
            audio = file.read(samples + 1, dtype="float32")  # no more, whatever the header claims
        soundfile.write(content, audio[:samples], rate, format="MP3")
    except (OSError, soundfile.LibsndfileError) as error:
        return b"", f"sound cannot be shown: {error}"
    if len(content.getvalue()) > allowed:
        return b"", "sound left out: the page has no room for more"
    return content.getvalue(), f"first {CLIP_SECONDS:g} s" if len(audio) > samples else ""
