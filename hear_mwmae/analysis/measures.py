"""How far a sound is from another: log-spectral distance and signal-to-noise ratio, both in dB."""

import math

import numpy as np
from jaxtyping import Float

DB_PER_NEPER = 10 / math.log(10)
"""Of log power: ln to 10 log10."""


def log_spectral_distance(
    reference: Float[np.ndarray, "frames bands"], estimate: Float[np.ndarray, "frames bands"]
) -> float:
    """Mean over frames of sqrt(mean over bands of (difference in dB)^2), of log-mels (natural logarithms)."""
    difference = DB_PER_NEPER * (reference.astype(np.float64) - estimate)
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())


def signal_to_noise(
    reference: Float[np.ndarray, " samples"], estimate: Float[np.ndarray, " samples"]
) -> float:
    """10 log10(sum x^2 / sum (x - y)^2): 0 dB for silence y, NaN where x itself is silent."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(reference.astype(np.float64) - estimate).sum())
    if signal == 0:
        return math.nan
    return 10 * math.log10(signal / noise) if noise else math.inf
