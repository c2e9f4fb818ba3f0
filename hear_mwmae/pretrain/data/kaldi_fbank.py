"""From waveform to Kaldi's log-mel filter bank in numpy: `hear_mwmae.kaldi_fbank` without torch.

16 kHz, 128 bands from 20 to 8000 Hz, frames of 400 samples every 160 (25 ms every 10 ms) that lie in the clip
(supplement of Audio-MAE). A test holds both filter banks to each other and to torchaudio's.
"""

import functools
import math

import numpy as np
from jaxtyping import Float

SAMPLE_RATE = 16000
FRAME_LENGTH = 400
HOP_LENGTH = 160
N_FFT = 512
BANDS = 128
LOWEST_HZ = 20.0
PREEMPHASIS = 0.97
LOG_FLOOR = np.finfo(np.float32).eps
# Spectra of so many frames stay in the processor's cache.
FRAMES_AT_ONCE = 128


@functools.cache
def mel_filter_bank() -> Float[np.ndarray, "bins bands"]:
    """Triangles that are straight in mel (1127 ln(1 + Hz / 700)), peak 1, with a zero row for Nyquist.

    Rounded to float32 where the torch filter bank rounds: narrow low bands make the rounding visible.
    """
    lowest, highest = (1127 * math.log(1 + hertz / 700) for hertz in (LOWEST_HZ, SAMPLE_RATE / 2))
    step = np.float32((highest - lowest) / (BANDS + 1))
    left, centre, right = (
        np.float32(lowest) + np.arange(first, first + BANDS, dtype=np.float32) * step for first in range(3)
    )
    hertz = np.float32(SAMPLE_RATE / N_FFT) * np.arange(N_FFT // 2, dtype=np.float32)
    ratio = np.float32(1) + hertz / np.float32(700)
    mel = np.float32(1127) * np.log(ratio.astype(np.float64)).astype(np.float32)[:, None]
    triangles = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre))
    return np.pad(np.maximum(triangles, 0), ((0, 1), (0, 0)))


@functools.cache
def hann_window() -> Float[np.ndarray, " samples"]:
    """Symmetric Hann window of one frame, both ends 0."""
    return np.hanning(FRAME_LENGTH).astype(np.float32)


def fbank(audio: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "frames bands"]:
    """Return log(max(mel power, float32 epsilon)) of sound at 16 kHz, any length >= 1; one frame per 10 ms.

    A frame loses its mean and is pre-emphasised by 0.97. What is shorter than one frame is filled up with
    silence; samples behind the last whole frame are not heard.
    """
    audio = np.pad(np.asarray(audio, np.float32), (0, max(0, FRAME_LENGTH - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME_LENGTH)[::HOP_LENGTH]
    result = np.empty((len(frames), BANDS), np.float32)
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(_windowed(frames[start : start + FRAMES_AT_ONCE]), N_FFT)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        block = result[start : start + FRAMES_AT_ONCE]
        np.matmul(power, mel_filter_bank(), out=block)
        np.log(np.maximum(block, LOG_FLOOR, out=block), out=block)
    return result


def _windowed(frames: Float[np.ndarray, "frames samples"]) -> Float[np.ndarray, "frames samples"]:
    """Frames without their mean, each sample less 0.97 of the one before it (the first less its own)."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    emphasised = centred.copy()
    emphasised[:, 1:] -= np.float32(PREEMPHASIS) * centred[:, :-1]
    emphasised[:, 0] *= np.float32(1 - PREEMPHASIS)
    return emphasised * hann_window()
