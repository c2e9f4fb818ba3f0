"""Small sound files and folders of prepared data for the tests of pre-training."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def tone(seconds: float, *, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A decaying chord in noise, [samples] or [samples, channels]."""
    generator = np.random.default_rng(seed)
    time = np.arange(max(1, round(seconds * rate))) / rate
    pitch = generator.uniform(80, 800)
    sound = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3)) * np.exp(-time)
    sound = 0.2 * sound[:, None] + 0.01 * generator.standard_normal((len(time), channels))
    return (sound[:, 0] if channels == 1 else sound).astype(np.float32)


def write(path: Path, sound: np.ndarray, rate: int = RATE, **options: str) -> Path:
    """Write a sound file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **options)
    return path


def write_tones(folder: Path, seconds: list[float]) -> Path:
    """Write wav files of these lengths."""
    for number, length in enumerate(seconds):
        write(folder / f"{number:03}.wav", tone(length, seed=number))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
