"""Labelled tones that a small model can learn, and supervised runs on them."""

from pathlib import Path

import numpy as np
import sounds
from small_models import LOG_MEL, write_model

from hear_mwmae.supervised.__main__ import main

PITCHES = {"low": 150, "middle": 600, "high": 2400}
RATE = sounds.RATE


def tone(pitch: float, seed: int) -> np.ndarray:
    """0.4 s of a pitch, a little off, in noise."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(0.4 * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * pitch * generator.uniform(0.97, 1.03) * time)
    return (sound + 0.01 * generator.standard_normal(len(time))).astype(np.float32)


def write_table(folder: Path, clips: int = 48, *, folds: int = 4) -> Path:
    """Write clips of three pitches and a table of them, `clips` in all, in so many folds."""
    rows = ["filename,label,fold"]
    for number in range(clips):
        label = list(PITCHES)[number % 3]
        name = f"{number:03}.wav"
        sounds.write(folder / name, tone(PITCHES[label], number))
        rows.append(f"{name},{label},f{number // 3 % folds}")
    path = folder / "pitches.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_small_model(folder: Path) -> Path:
    """Write a model file of random weights that reads 0.4 s."""
    return write_model(folder / "small.safetensors", LOG_MEL, decoder=False)


def command(mode: str, table: Path, model: Path, workdir: Path, *options: str) -> int:
    """Run `hear-mwmae finetune` or `probe` in this process."""
    given = ["--init", str(model), "--data", str(table), "--workdir", str(workdir), "--workers", "0"]
    precision = ("--precision", "float32") if mode == "finetune" else ()
    return main([*given, *precision, "--batch-size", "8", *options], mode)
