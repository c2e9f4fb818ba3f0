"""Models with a decoder so small that a test can build them, and sounds for them to reconstruct."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from scipy.signal import chirp as swept

from hear_mwmae.analysis.trained import TrainedModel
from hear_mwmae.config import AUDIO_MAE_B, ModelConfig
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.training.export import export_model

RATE = 16000
LOG_MEL = ModelConfig(
    input_size=(40, 80),
    width=16,
    depth=1,
    heads=2,
    class_token=True,
    decoder_width=24,
    decoder_depth=1,
    decoder_heads=4,
)
"""Pieces of 0.4 s, a column of 40 ms, 10 x 5 patches."""
KALDI = dataclasses.replace(
    AUDIO_MAE_B,
    input_size=(64, 128),
    width=16,
    depth=1,
    heads=2,
    decoder_width=16,
    decoder_depth=2,
    decoder_heads=4,
)
"""An Audio-MAE: pieces of 0.64 s, a column of 160 ms, 4 x 8 patches, a local decoder."""
CONFIGS = {"log_mel_80": LOG_MEL, "fbank_128": KALDI}


def trained(config: ModelConfig) -> TrainedModel:
    """A model that has learnt nothing."""
    return TrainedModel("small", config, init_params(config, jax.random.key(0)))


def write_model(path: Path, config: ModelConfig, *, decoder: bool = True) -> Path:
    """Write its file."""
    params = init_params(config, jax.random.key(0))
    export_model(path, params, config, provenance={"step": 1}, decoder=decoder)
    return path


def chirp(seconds: float) -> np.ndarray:
    """A tone that rises from 100 to 7000 Hz."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * swept(time, 100, seconds, 7000)).astype(np.float32)


def voice(seconds: float) -> np.ndarray:
    """Harmonics of a wavering pitch, four syllables a second, a little noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    turns = 120 * time + 8 / (6 * np.pi) * np.sin(6 * np.pi * time)
    sound = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 30))
    sound = 0.1 * sound * (0.55 + 0.45 * np.sin(8 * np.pi * time))
    return (sound + 0.002 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)
