"""What the released MW-MAE code computed on fixed inputs: a compact part here, all where it is at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from paths import DATA, SHARED

from hear_mwmae import EmbeddingModel, from_checkpoint

COMPACT = DATA / "golden"
FULL = SHARED / "golden"
HEADS = 4
NAMES = ("mwmae_small_float32", "mae_small_float32")

needs_full = pytest.mark.skipif(not FULL.is_dir(), reason=f"the full golden set is not at {FULL}")


def compact() -> dict[str, np.ndarray]:
    """All arrays of the compact part."""
    with np.load(COMPACT / "golden.npz") as arrays:
        return dict(arrays)


def audio(int16: np.ndarray) -> torch.Tensor:
    """Waveforms in [-1, 1]."""
    return torch.from_numpy(int16.astype(np.float32) / 32768)


def model(name: str, folder: Path = COMPACT, **options: str) -> EmbeddingModel:
    """One of the small models, read from its checkpoint directory."""
    return from_checkpoint.load_model(str(folder / f"ckpt_{name}"), heads=HEADS, **options)
