"""Labelled clips decoded: waveforms at 16 kHz or pictures, kept in memory as far as there is room."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.audio import read_sound
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.images import FRONT_END as PICTURES
from hear_mwmae.pretrain.data.images import read_image
from hear_mwmae.pretrain.data.log_mel import SAMPLE_RATE
from hear_mwmae.supervised.data.augment import centred
from hear_mwmae.supervised.data.labels import LabelledClip

MOST_BYTES = 1 << 30
# Full scale is 1. The square of a spectrum of louder samples leaves float32.
LOUDEST = 1e12

Decoded = Float[np.ndarray, " samples"] | Float[np.ndarray, "rows columns"]


class ClipReader:
    """Decodes clips, from any thread, and keeps the first ones that fit into so many bytes.

    So a small data set is decoded once. Every process keeps its own: a pickled reader is empty.
    """

    def __init__(self, front_end: str, *, most_bytes: int = MOST_BYTES) -> None:
        """Take the front end of the model, "rgb_224" for pictures, and the memory to use."""
        self._pictures, self._most_bytes = front_end == PICTURES, most_bytes
        self._begin()

    def _begin(self) -> None:
        self._kept: dict[Path, Decoded] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[bool, int]:
        return self._pictures, self._most_bytes

    def __setstate__(self, state: tuple[bool, int]) -> None:
        self._pictures, self._most_bytes = state
        self._begin()

    def read(self, clip: LabelledClip) -> Decoded:
        """Return a clip's waveform at 16 kHz without its mean, or its picture; the array is read-only.

        Raises:
            UserError: it cannot be decoded.
        """
        kept = self._kept.get(clip.path)
        if kept is not None:
            return kept
        try:
            decoded = read_image(clip.path) if self._pictures else _waveform(clip.path)
        except UserError as error:
            raise UserError(
                f"{str(error).removesuffix('.')}; repair it, or list it in --leave-out."
            ) from None
        decoded.flags.writeable = False
        with self._lock:
            if clip.path not in self._kept and self._bytes + decoded.nbytes <= self._most_bytes:
                self._kept[clip.path] = decoded
                self._bytes += decoded.nbytes
        return decoded


def _waveform(path: Path) -> Float[np.ndarray, " samples"]:
    samples = read_sound(path, SAMPLE_RATE).samples
    if np.abs(samples).max() > LOUDEST:
        raise UserError(f"{printable(path)}: holds samples beyond {LOUDEST:g}, and full scale is 1.")
    return centred(samples)


def targets_of(labels: Iterable[int], classes: int) -> Float[np.ndarray, " classes"]:
    """Return 1 for the classes that a clip has and 0 for the others."""
    targets = np.zeros(classes, np.float32)
    targets[list(labels)] = 1
    return targets


def multi_hot(clips: Sequence[LabelledClip], classes: int) -> Float[np.ndarray, "clips classes"]:
    """Return the targets of clips, row by row."""
    return np.stack([targets_of(clip.labels, classes) for clip in clips])
