"""Sound files: clips of a task (mono 16-bit wav), raw recordings (any format), resampling."""

import io
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from tasks.errors import TaskError

_FULL_SCALE = 32768.0
_SILENT_PEAK = 3 / _FULL_SCALE


def read_clip(path: Path | str, sample_rate: int) -> Float[np.ndarray, " samples"]:
    """Read one clip of a task: float32 in [-1, 1], never empty.

    Raises TaskError when the file is missing, no sound, empty, not mono, has NaN, Inf or values outside
    [-1, 1], or another rate than `sample_rate` (Hz).
    """
    audio, rate = _read(path)
    if rate != sample_rate:
        raise TaskError(f"{path} has {rate} Hz, not the {sample_rate} Hz its folder promises; resample it.")
    if audio.shape[1] != 1:
        raise TaskError(f"{path} has {audio.shape[1]} channels; a task's clips are mono: mix it down.")
    if np.abs(audio).max() > 1:
        raise TaskError(f"{path} has samples outside [-1, 1]; scale it or write it as 16-bit PCM.")
    return audio[:, 0]


def decode(path: Path | str, start: int = 0) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decode a raw recording of any format soundfile knows: mean of its channels (float32), rate (Hz).

    What lies before the sample `start` is left out. Raises TaskError when the file is missing, no sound,
    empty, or has NaN or Inf.
    """
    audio, rate = _read(path, start)
    return audio.mean(axis=1, dtype=np.float32), rate


def write_clip(path: Path | str, audio: Float[np.ndarray, " samples"], sample_rate: int) -> None:
    """Write mono 16-bit PCM wav; what lies outside [-1, 1] is clipped. `read_clip` gives it back."""
    content = io.BytesIO()
    with wave.open(content, "wb") as out:
        out.setparams((1, 2, sample_rate, 0, "NONE", "not compressed"))
        out.writeframes(_to_int16(audio).tobytes())
    Path(path).write_bytes(content.getvalue())


def write_at_rates(
    root: Path,
    split: str,
    file: str,
    audio: Float[np.ndarray, " samples"],
    from_rate: int,
    rates: Iterable[int],
) -> None:
    """Write one clip as `root/<rate>/split/file` for every rate (Hz), made from its 16-bit original."""
    original = (_to_int16(audio) / _FULL_SCALE).astype(np.float32)
    for rate in rates:
        folder = root / str(rate) / split
        folder.mkdir(parents=True, exist_ok=True)
        write_clip(folder / file, resample(original, from_rate, rate), rate)


def is_silent(audio: Float[np.ndarray, " samples"]) -> bool:
    """Whether no sample exceeds 3 steps of 16 bits, as in archives whose makers lost the sound by a slip."""
    return not np.any(np.abs(audio) > _SILENT_PEAK)


def fit_length(
    audio: Float[np.ndarray, " samples"], seconds: float, sample_rate: int
) -> Float[np.ndarray, " fitted"]:
    """Cut `audio`, or pad it with silence at its end, to `seconds`."""
    length = round(seconds * sample_rate)
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


def resample(
    audio: Float[np.ndarray, " samples"], from_rate: int, to_rate: int
) -> Float[np.ndarray, " resampled"]:
    """Resample float32 audio with soxr's HQ recipe; rates in Hz."""
    if from_rate == to_rate:
        return audio
    return soxr.resample(audio, from_rate, to_rate, quality="HQ")


def _to_int16(audio: Float[np.ndarray, " samples"]) -> np.ndarray:
    return np.clip(np.rint(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def _read(path: Path | str, start: int = 0) -> tuple[Float[np.ndarray, "samples channels"], int]:
    if not Path(path).is_file():
        raise TaskError(f"{path} is missing; restore it.")
    try:
        audio, rate = soundfile.read(path, start=start, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise TaskError(f"{path} is not readable as sound ({error}); restore it.") from error
    if not len(audio):
        raise TaskError(f"{path} is empty (no samples); restore it.")
    if not np.isfinite(audio).all():
        raise TaskError(f"{path} has samples that are NaN or infinite; restore it.")
    return audio, rate
