"""A task's files, hashed when a run is planned, beside the bytes that are decoded when it is embedded."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.errors import EvaluationError
from tasks import Clip, Task, TaskError, read_labels
from tasks.format.audio import read_clip_and_digest
from tasks.format.digest import digest_of_files, list_files, task_file_digests
from tasks.format.resample import made_digests

Known = dict[tuple[Path, int], Mapping[str, str]]
"""(task's folder, sample rate in Hz) -> SHA-256 of its files by name: hashed once for all models of a run."""


def planned_files(task: Task, rate: int, cache: Path, known: Known | None = None) -> Mapping[str, str]:
    """Return the SHA-256 (hex) of every file of a task at a sample rate (Hz) that it has.

    Raises TaskError when a file cannot be read, EvaluationError when the lists are others than those in
    `task`, which was read before.
    """
    known = {} if known is None else known
    if (found := known.get((task.path, rate))) is None:
        found = task_file_digests(task, rate, memo=cache / "digests.json")
        again = read_labels(task.path)
        if (again.vocabulary, again.clips) != (task.vocabulary, task.clips):
            raise EvaluationError(_sound_changed(task.path, "read"))
        known[task.path, rate] = found
    return found


class CheckedClips:
    """Reads the clips of a task for one model: only bytes that have the digest of the plan become sound.

    `source` is the task with its clips at the model's rate, `files` what the plan knows of the task's own; of
    clips that were resampled the cache knows what was made from these.
    """

    def __init__(self, task: Task, source: Task, files: Mapping[str, str], digest: str):
        self._task, self._files = task, files
        self._made = source.audio_root != task.audio_root
        self._wanted = made_digests(source.audio_root) if self._made else files
        if digest_of_files(files) != digest:
            raise EvaluationError(_sound_changed(task.path, "planned"))

    def read(self, place: tuple[str, Clip, Path], sample_rate: int) -> Float[np.ndarray, " samples"]:
        """Return one clip of a split; TaskError when it is bad or, naming it, not what was planned."""
        split, clip, path = place
        try:
            audio, digest = read_clip_and_digest(path, sample_rate)
        except TaskError as error:
            if self._made and self._is_damaged(split, clip, path):
                raise TaskError(_sound_damaged(path)) from error
            raise
        if digest != self._wanted.get(f"{split}/{clip.file}"):
            raise TaskError(_sound_damaged(path) if self._made else _sound_changed(path, "planned"))
        return audio

    def _is_damaged(self, split: str, clip: Clip, path: Path) -> bool:
        """Whether a resampled clip is not what was made: else its source is what cannot be used."""
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return True
        return digest != self._wanted.get(f"{split}/{clip.file}")

    def check_lists(self) -> None:
        """Raise EvaluationError, naming it, when a list of clips or labels is another than in the plan."""
        for name, path in list_files(self._task).items():
            try:
                now = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                now = ""
            if now != self._files[name]:
                raise EvaluationError(_sound_changed(path, "planned"))


def _sound_changed(path: Path, when: str) -> str:
    return (
        f"{path} has changed since it was {when} for this run; run the command again when it stays as it is"
    )


def _sound_damaged(path: Path) -> str:
    return f"{path} in the cache is damaged; delete {path.parents[2]}, and it is made again."
