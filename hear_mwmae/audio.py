"""Sound files of any rate, length and channel count as mono waveforms at the rate of a model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from hear_mwmae.errors import UserError
from hear_mwmae.files import files_below
from hear_mwmae.names import printable
from hear_mwmae.sound_stream import SoundStream, reason_of

# A few seconds: whole recordings of hours at their own rate would fill the memory.
SAMPLES_AT_ONCE = 1 << 18
# A few bytes can stand for days of silence. What is longer than the second is counted before it is kept.
LONGEST_HOURS, COUNTED_HOURS = 12, 0.5
LOWEST_RATE, HIGHEST_RATE = 100, 4_000_000
# Of the channels' mean power to that of their mean: independent channels, or a single one of 500, have more.
CANCELLED = 1e-3
# Those that cannot be decoded here are listed too, so that a folder's files are never left out in silence.
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
AUDIO_SUFFIXES |= {".caf", ".w64", ".rf64", ".m4a", ".mp4", ".aac", ".wma", ".webm"}


@dataclass(frozen=True)
class Sound:
    """What a file holds at the rate asked for."""

    samples: Float[np.ndarray, " samples"]
    remarks: tuple[str, ...]
    """What is doubtful about it, a sentence each, the file not named."""


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """List files as they are given and the sound files in folders, as `files_below` does; none twice.

    Raises:
        UserError: a path that does not exist or is no file, or a folder without sound files or that cannot be
            read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        files = [path]
        if path.is_dir():
            files = files_below(path, AUDIO_SUFFIXES)
            if not files:
                raise UserError(f"{printable(path)}: the folder holds no sound files; name another one.")
        elif not path.exists():
            raise UserError(f"{printable(path)}: there is no such file or folder; correct the path.")
        elif not path.is_file():
            raise UserError(
                f"{printable(path)}: is a pipe or a device, and files are read twice; save it first."
            )
        found |= dict.fromkeys(files)
    return list(found)


def read_sound(path: Path, sample_rate: int) -> Sound:
    """Decode a file, average its channels, and resample it with soxr's high quality, part by part.

    What decodes counts, whatever the header says. Sound that ends early, and channels that cancel each other,
    are remarked on.

    Raises:
        UserError: a file that cannot be decoded, is empty or longer than `LONGEST_HOURS`, has a rate out of
            bounds, or holds NaN or infinite samples.
    """
    decoding = _Decoding(path, sample_rate)
    parts, count = [], 0
    for part in decoding.parts():
        count += len(part)
        if count <= COUNTED_HOURS * 3600 * sample_rate:
            parts.append(part)
    if count > sum(map(len, parts)):
        parts.clear()
        samples, filled = np.empty(count, np.float32), 0
        for part in _Decoding(path, sample_rate).parts():
            samples[filled : filled + len(part)] = part[: count - filled]
            filled += len(part)
    else:
        samples = np.concatenate(parts)
    return Sound(samples, decoding.remarks)


def measure_sound(path: Path, sample_rate: int) -> tuple[int, tuple[str, ...]]:
    """Decode a file without keeping it: how many samples `read_sound` gives, and its remarks.

    Raises:
        UserError: as `read_sound` does.
    """
    decoding = _Decoding(path, sample_rate)
    return sum(map(len, decoding.parts())), decoding.remarks


def read_audio(path: Path, sample_rate: int) -> Float[np.ndarray, " samples"]:
    """Return the samples of `read_sound`.

    Raises:
        UserError: as `read_sound` does.
    """
    return read_sound(path, sample_rate).samples


class _Decoding:
    """One pass over a file; `remarks` are there after it."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._path, self._name, self._sample_rate = path, printable(path), sample_rate
        self.remarks: tuple[str, ...] = ()

    def parts(self) -> Iterator[Float[np.ndarray, " samples"]]:
        """Yield the mono waveform, resampled; at least one sample in all."""
        try:
            with SoundStream(self._path) as stream:
                yield from self._resampled(stream)
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"{self._name}: cannot be decoded as sound ({reason_of(error)}).") from None

    def _resampled(self, stream: SoundStream) -> Iterator[Float[np.ndarray, " samples"]]:
        rate, target = stream.rate, self._sample_rate
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise UserError(
                f"{self._name}: says that it has {rate} samples a second, and {LOWEST_RATE} to "
                f"{HIGHEST_RATE} are read; correct its header."
            )
        resampler = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ")
        size = min(SAMPLES_AT_ONCE, 4 * SAMPLES_AT_ONCE * rate // target) // max(1, stream.channels // 2)
        power = mono_power = 0.0
        count, first = 0, np.zeros(0, np.float32)
        for block in stream.blocks(size):
            mono = block.mean(axis=1)
            if not np.isfinite(mono).all():
                raise UserError(f"{self._name}: holds NaN or infinite samples.")
            if stream.channels > 1:
                power += float(np.vdot(block, block)) / stream.channels
                mono_power += float(np.dot(mono, mono))
            first = first if len(first) else mono[:1]
            part = resampler.resample_chunk(mono)
            count += len(part)
            if count > LONGEST_HOURS * 3600 * target:
                raise UserError(
                    f"{self._name}: is longer than {LONGEST_HOURS} hours, the most that is read of one file; "
                    "cut it into shorter ones."
                )
            yield part
        if not len(first):
            raise UserError(f"{self._name}: holds no samples.")
        last = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        # A few samples at a high rate are less than one sample at the model's.
        yield last if count + len(last) else first
        self.remarks = tuple(_remarks(stream.early, power, mono_power))


def _remarks(early: str, power: float, mono_power: float) -> Iterator[str]:
    if early:
        yield f"{early}; what there is counts."
    if mono_power < CANCELLED * power:
        yield (
            "its channels cancel each other: one is the other's negative, and their mean, which is taken, is "
            "next to silence. Turn one of them round, or keep only one."
        )
