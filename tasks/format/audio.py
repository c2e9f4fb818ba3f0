"""Sound files: clips of a task (mono 16-bit wav), raw recordings (any format), resampling."""

import contextlib
import hashlib
import io
import os
import wave
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float, Int16

from tasks.errors import TaskError
from tasks.format.sound_file import SoundReader

MAX_SAMPLES = 1 << 28
"""Samples that one clip may have: 93 minutes at 48 kHz, 1 GiB in float32."""
MAX_CLIP_BYTES = (1 << 30) + (1 << 20)
TASK_RATES = range(1000, 192001)
"""Sample rates (Hz) that a task's clips may have."""
RAW_RATES = range(1000, 768001)
"""Sample rates (Hz) that raw recordings may have."""

_KEPT = 1 << 24
"""Samples that are kept while it is not known how many there will be."""
_FULL_SCALE = 32768.0
_SILENT_PEAK = 3 / _FULL_SCALE
_CANCELLED = 1e-4
"""Share of its channels' energy below which a mean counts as cancelled: -40 dB, uncorrelated ones have -3."""


@dataclass(frozen=True)
class Recorded:
    """What a raw recording holds: mean of its channels (float32), rate (Hz), its largest magnitude.

    `cancels`: the channels hold sound, and their mean next to nothing of it. `ends_early` is None or how
    much is missing at the end, as `SoundReader` says it.
    """

    audio: Float[np.ndarray, " samples"]
    rate: int
    peak: float
    cancels: bool
    ends_early: str | None


def read_clip(path: Path | str, sample_rate: int) -> Float[np.ndarray, " samples"]:
    """Read one clip of a task: float32 in [-1, 1], never empty.

    Raises TaskError when the file is missing, no sound, empty, cut off, too long, not mono, has NaN, Inf or
    values outside [-1, 1], or another rate than `sample_rate` (Hz).

    Example:
        >>> import numpy as np
        >>> write_clip(folder / "tone.wav", np.sin(np.arange(1600) / 5, dtype=np.float32) / 2, 16000)
        >>> read_clip(folder / "tone.wav", 16000).shape
        (1600,)
    """
    return decode_clip(path, clip_content(path), sample_rate)


def read_clip_and_digest(path: Path | str, sample_rate: int) -> tuple[Float[np.ndarray, " samples"], str]:
    """Read a clip as `read_clip` does, and the SHA-256 (hex) of the very bytes that were decoded."""
    content = clip_content(path)
    return decode_clip(path, content, sample_rate), hashlib.sha256(content).hexdigest()


def clip_content(path: Path | str) -> bytes:
    """The bytes of a clip; TaskError when it cannot be read or has more than `MAX_CLIP_BYTES`."""
    if not Path(path).is_file():
        raise TaskError(f"{path} is missing; restore it.")
    try:
        with open(path, "rb") as file:
            content = file.read() if os.fstat(file.fileno()).st_size <= MAX_CLIP_BYTES else None
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); restore it.") from error
    if content is None:
        raise TaskError(f"{path} has more than {MAX_CLIP_BYTES} bytes, the most that a clip may have.")
    return content


def decode_clip(path: Path | str, content: bytes, sample_rate: int) -> Float[np.ndarray, " samples"]:
    """A clip from its bytes; what `read_clip` refuses is refused, and named by `path`."""
    reader = SoundReader(path, content)
    if reader.rate != sample_rate:
        raise TaskError(
            f"{path} has {reader.rate} Hz, not the {sample_rate} Hz its folder promises; resample it."
        )
    if reader.channels != 1:
        raise TaskError(f"{path} has {reader.channels} channels; a task's clips are mono: mix it down.")
    clip = _record(path, reader, lambda: SoundReader(path, content))
    if clip.peak > 1:
        raise TaskError(f"{path} has samples outside [-1, 1]; scale it or write it as 16-bit PCM.")
    if clip.ends_early:
        raise TaskError(f"{path} {clip.ends_early}; restore it.")
    return clip.audio


def decode(path: Path | str, start: int = 0) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decode a raw recording of any format soundfile knows: mean of its channels (float32), rate (Hz).

    What lies before the sample `start` is left out. Raises TaskError as `read_recording` does.

    Example:
        >>> import numpy as np, soundfile
        >>> soundfile.write(folder / "stereo.flac", np.array([[0.5, 0.0], [0.5, 0.25]]), 8000)
        >>> audio, rate = decode(folder / "stereo.flac")
        >>> audio.tolist(), rate
        ([0.25, 0.375], 8000)
    """
    recorded = read_recording(path, start)
    return recorded.audio, recorded.rate


def read_recording(path: Path | str, start: int = 0, seconds: float | None = None) -> Recorded:
    """Decode a raw recording of any format soundfile knows, from the sample `start` on, at most `seconds`.

    What decodes counts, not what the header states. Raises TaskError when the file is missing, no sound,
    empty, of a rate outside `RAW_RATES`, longer than `MAX_SAMPLES`, or has NaN or Inf.
    """
    reader = SoundReader(path)
    _check_rate(path, reader.rate)
    wanted = None if seconds is None else round(seconds * reader.rate)
    return _record(path, reader, lambda: SoundReader(path), start, wanted)


def header_rate(path: Path | str) -> int:
    """Sample rate (Hz) that a sound file's header states; TaskError when it is missing or no sound."""
    return SoundReader(path).rate


def measure(path: Path | str) -> tuple[int, int]:
    """How many samples of a raw recording decode, and its rate (Hz).

    Raises TaskError when the file is missing, no sound, empty, or of a rate outside `RAW_RATES`.
    """
    reader = SoundReader(path)
    _check_rate(path, reader.rate)
    samples = sum(len(block) for block in reader)
    if not samples:
        raise TaskError(f"{path} is empty (no samples); restore it.")
    return samples, reader.rate


def write_clip(path: Path | str, audio: Float[np.ndarray, " samples"], sample_rate: int) -> None:
    """Write mono 16-bit PCM wav; what lies outside [-1, 1] is clipped. `read_clip` gives it back.

    Example:
        >>> import numpy as np
        >>> write_clip(folder / "loud.wav", np.full(3, 1.5, np.float32), 16000)
        >>> read_clip(folder / "loud.wav", 16000).round(3).tolist()
        [1.0, 1.0, 1.0]
    """
    content = io.BytesIO()
    with wave.open(content, "wb") as out:
        out.setparams((1, 2, sample_rate, 0, "NONE", "not compressed"))
        out.writeframes(to_int16(audio).tobytes())
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
    original = (to_int16(audio) / _FULL_SCALE).astype(np.float32)
    for rate in rates:
        folder = root / str(rate) / split
        folder.mkdir(parents=True, exist_ok=True)
        with naming(file):
            made = resample(original, from_rate, rate)
        write_clip(folder / file, made, rate)


@contextlib.contextmanager
def naming(file: str) -> Iterator[None]:
    """Let errors that know no file name `file`."""
    try:
        yield
    except TaskError as error:
        raise TaskError(f"{file}: {error}") from error


def is_silent(audio: Float[np.ndarray, " samples"]) -> bool:
    """Whether no sample exceeds 3 steps of 16 bits, as in archives whose makers lost the sound by a slip."""
    return not np.any(np.abs(audio) > _SILENT_PEAK)


def check_length(seconds: float, sample_rate: int) -> None:
    """TaskError when a clip of `seconds` has more than `MAX_SAMPLES` at `sample_rate` (Hz)."""
    if seconds * sample_rate > MAX_SAMPLES:
        raise TaskError(
            f"{seconds:.6g} s have more than {MAX_SAMPLES} samples at {sample_rate} Hz, the most that a clip "
            "may have; make it shorter."
        )


def fit_length(
    audio: Float[np.ndarray, " samples"], seconds: float, sample_rate: int
) -> Float[np.ndarray, " fitted"]:
    """Cut `audio`, or pad it with silence at its end, to `seconds`; TaskError beyond `MAX_SAMPLES`."""
    length = round(seconds * sample_rate)
    check_length(seconds, sample_rate)
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


def resample(
    audio: Float[np.ndarray, " samples"], from_rate: int, to_rate: int
) -> Float[np.ndarray, " resampled"]:
    """Resample float32 audio with soxr's HQ recipe; rates in Hz. Of what is not empty one sample is left.

    Raises TaskError when that makes more than `MAX_SAMPLES`.
    """
    if from_rate == to_rate:
        return audio
    check_length(len(audio) / from_rate, to_rate)
    made = soxr.resample(audio, from_rate, to_rate, quality="HQ")
    return made if len(made) else audio[:1]


def to_int16(audio: Float[np.ndarray, "..."]) -> Int16[np.ndarray, "..."]:
    """Samples in steps of 16 bits; what lies outside [-1, 1] is clipped."""
    return np.clip(np.rint(audio * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def _record(
    path: Path | str,
    reader: SoundReader,
    again: Callable[[], SoundReader],
    start: int = 0,
    wanted: int | None = None,
) -> Recorded:
    """Read and mix a recording; one that is long is read twice, so as to know its length first."""
    kept: list[np.ndarray] = []
    samples, peak, energy, mixed_energy = 0, 0.0, 0.0, 0.0
    for block in _part(reader, start, wanted):
        if not np.isfinite(block).all():
            raise TaskError(f"{path} has samples that are NaN or infinite; restore it.")
        mixed = _mix(block)
        samples += len(mixed)
        if samples > MAX_SAMPLES:
            raise TaskError(
                f"{path} has more than {MAX_SAMPLES} samples, the most that a clip may have; cut it."
            )
        peak = max(peak, float(np.abs(mixed).max()))
        if reader.channels > 1:
            energy += float(np.mean(np.square(block, dtype=np.float64), axis=1).sum())
            mixed_energy += float(np.square(mixed, dtype=np.float64).sum())
        if samples <= _KEPT:
            kept.append(mixed)
        else:
            kept.clear()
    if not samples:
        raise TaskError(f"{path} is empty (no samples); restore it.")
    audio = np.concatenate(kept) if kept else _filled(samples, map(_mix, _part(again(), start, wanted)))
    loud = energy > samples * _SILENT_PEAK**2
    return Recorded(audio, reader.rate, peak, loud and mixed_energy < _CANCELLED * energy, reader.ends_early)


def _part(
    reader: SoundReader, start: int, wanted: int | None
) -> Iterator[Float[np.ndarray, "samples channels"]]:
    """The blocks of a recording from the sample `start` on, `wanted` samples of it at most."""
    for block in reader:
        inside = block[start:]
        start = max(0, start - len(block))
        if wanted is not None:
            inside = inside[:wanted]
            wanted -= len(inside)
        if len(inside):
            yield inside
        if wanted == 0:
            return


def _mix(block: Float[np.ndarray, "samples channels"]) -> Float[np.ndarray, " samples"]:
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def _filled(samples: int, blocks: Iterable[Float[np.ndarray, " block"]]) -> Float[np.ndarray, " samples"]:
    audio, place = np.empty(samples, np.float32), 0
    for block in blocks:
        audio[place : place + len(block)] = block[: samples - place]
        place += len(block)
    return audio[:place]


def _check_rate(path: Path | str, rate: int) -> None:
    if rate not in RAW_RATES:
        raise TaskError(
            f"{path} has {rate} Hz; recordings of {RAW_RATES[0]} to {RAW_RATES[-1]} Hz can be used: correct "
            "its header or convert it."
        )
