"""Sound files of any rate, length and channel count as mono waveforms at the rate of a model."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from hear_mwmae.errors import UserError

# A few seconds: whole recordings of hours at their own rate would fill the memory.
SAMPLES_AT_ONCE = 1 << 18
# Those that cannot be decoded here are listed too, so that a folder's files are never left out in silence.
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"}
AUDIO_SUFFIXES |= {".caf", ".w64", ".rf64", ".m4a", ".mp4", ".aac", ".wma", ".webm"}


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """List files as they are given and the sound files in folders, at any depth, in sorted order; none twice.

    Raises:
        UserError: a path that does not exist, or a folder without sound files.
    """
    found: dict[Path, None] = {}
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
            if not files:
                raise UserError(f"{path}: the folder holds no sound files; name another one.")
        elif not path.exists():
            raise UserError(f"{path}: there is no such file or folder; correct the path.")
        found |= dict.fromkeys(files)
    return list(found)


def printable(name: str | Path) -> str:
    r"""Return a file's name as text that any file can hold; bytes of it that are no UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_audio(path: Path, sample_rate: int) -> Float[np.ndarray, " samples"]:
    """Decode a file, average its channels, and resample it with soxr's high quality, part by part.

    Raises:
        UserError: a file that cannot be decoded, is empty, or holds NaN or infinite samples.
    """
    try:
        with soundfile.SoundFile(path) as file:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
            first = mono = _next_mono(file)
            parts = []
            while len(mono):
                if not np.isfinite(mono).all():
                    raise UserError(f"{path}: holds NaN or infinite samples.")
                parts.append(resampler.resample_chunk(mono))
                mono = _next_mono(file)
    except UnicodeEncodeError:
        raise UserError(f"{printable(path)}: the file's name is no UTF-8 text; rename the file.") from None
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"{path}: cannot be decoded as sound ({error}).") from None
    if len(first) == 0:
        raise UserError(f"{path}: holds no samples.")
    resampled = np.concatenate([*parts, resampler.resample_chunk(mono, last=True)])
    # A few samples at a high rate are less than one sample at the model's.
    return resampled if len(resampled) else first[:1]


def _next_mono(file: soundfile.SoundFile) -> Float[np.ndarray, " samples"]:
    return file.read(SAMPLES_AT_ONCE, dtype="float32", always_2d=True).mean(axis=1)
