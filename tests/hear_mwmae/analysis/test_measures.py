"""Distances against their definitions, term by term."""

import math

import numpy as np
import pytest

from hear_mwmae.analysis.measures import log_spectral_distance, signal_to_noise


def test_log_spectral_distance() -> None:
    a, b = np.random.default_rng(0).normal(-5, 3, (2, 7, 11)).astype(np.float32)
    frames = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        squares = [
            (10 * math.log10(math.exp(p)) - 10 * math.log10(math.exp(q))) ** 2
            for p, q in zip(x, y, strict=True)
        ]
        frames.append(math.sqrt(sum(squares) / len(squares)))
    assert log_spectral_distance(a, b) == pytest.approx(sum(frames) / len(frames))
    assert log_spectral_distance(a, a) == 0
    assert log_spectral_distance(a, a + np.float32(math.log(10))) == pytest.approx(10, abs=1e-5)


def test_signal_to_noise() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    noise = sum((p - q) ** 2 for p, q in zip(x.tolist(), y.tolist(), strict=True))
    assert signal_to_noise(x, y) == pytest.approx(10 * math.log10(sum(p * p for p in x.tolist()) / noise))
    assert signal_to_noise(x, np.zeros_like(x)) == 0
    assert signal_to_noise(x, x) == math.inf
    assert math.isnan(signal_to_noise(np.zeros_like(x), y))
