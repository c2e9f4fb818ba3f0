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


def assert_equal_spectra(
    found: np.ndarray, wanted: np.ndarray, *, axis: int, roundings: float = 8, mean: float = 5e-5
) -> None:
    """Compare log powers up to the rounding of the transform; their mean difference must be small, too.

    Processors have Fourier transforms of their own, which round otherwise. Measured against arrays made on an
    AMD EPYC: 0.1 roundings there, 3.8 on an Intel Xeon, where a quiet band beside a loud one is 1.6e-3 apart
    in logarithms.

    Args:
        axis: of the bands.
        roundings: how far amplitudes may be apart, in units of 2^-23 of the frame's largest.
    """
    amplitudes = [np.exp(np.asarray(values, np.float64) / 2) for values in (found, wanted)]
    unit = np.finfo(np.float32).eps * amplitudes[1].max(axis=axis, keepdims=True)
    assert np.abs((amplitudes[0] - amplitudes[1]) / unit).max() <= roundings
    assert np.abs(found - wanted).mean() <= mean
