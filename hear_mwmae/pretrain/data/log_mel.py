"""From waveform to log-mel spectrogram in numpy: the front end of `hear_mwmae.frontend` without torch.

16 kHz, frames of 400 samples every 160 (25 ms every 10 ms) centred on their time, 80 HTK mel bands from 50 to
8000 Hz (paper section 4.1). A test holds both front ends to each other and to the released one.
"""

import functools

import numpy as np
from jaxtyping import Float

SAMPLE_RATE = 16000
FRAME_LENGTH = 400
HOP_LENGTH = 160
HOP_MS = 1000 * HOP_LENGTH / SAMPLE_RATE
BANDS = 80
LOWEST_HZ = 50.0
LOG_OFFSET = np.finfo(np.float32).eps
STD_OFFSET = np.float32(1e-8)
# Two decades above the rounding error of a constant log-mel, four below the deviation of any audible signal.
SMALLEST_STD = np.float32(1e-5)
# Half a frame is reflected at either end, and a reflection needs one sample more than its own length.
SHORTEST_CLIP = FRAME_LENGTH // 2 + 1
# Spectra of so many frames stay in the processor's cache.
FRAMES_AT_ONCE = 128


def _float32_line(first: float, last: float, points: int) -> Float[np.ndarray, " points"]:
    """Evenly spaced float32 numbers, counted from both ends with a float32 step and rounded once."""
    start, stop = np.float32(first), np.float32(last)
    step = np.float64((stop - start) / np.float32(points - 1))
    index = np.arange(points)
    upwards, downwards = start + step * index, stop - step * (points - 1 - index)
    return np.where(index < points // 2, upwards, downwards).astype(np.float32)


@functools.cache
def mel_filter_bank() -> Float[np.ndarray, "bins bands"]:
    """Triangular filters, equally spaced and touching on the HTK mel scale, peak 1.

    Rounded to float32 where the released front end rounds, so that it is equal to the last bit: narrow low
    bands make the rounding visible (1e-4 in an embedding).
    """
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, SAMPLE_RATE / 2))
    exponents = _float32_line(lowest, highest, BANDS + 2) / np.float32(2595)
    powers = (10 ** exponents.astype(np.float64)).astype(np.float32)
    corners = np.float32(700) * (powers - np.float32(1))
    distance = corners - _float32_line(0, SAMPLE_RATE / 2, FRAME_LENGTH // 2 + 1)[:, None]
    widths = np.diff(corners)
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    return np.maximum(np.minimum(rising, falling), 0)


@functools.cache
def hann_window() -> Float[np.ndarray, " samples"]:
    """Periodic Hann window of one frame, its angle in float32 as in the released front end."""
    angle = np.arange(FRAME_LENGTH, dtype=np.float32) * np.float32(2 * np.pi / FRAME_LENGTH)
    cosine = np.cos(angle.astype(np.float64)).astype(np.float32)
    return np.float32(0.5) - np.float32(0.5) * cosine


def log_mel(audio: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "frames bands"]:
    """Return log(mel power + float32 epsilon) of a waveform at 16 kHz, any length >= 1; a frame per 10 ms.

    What is shorter than `SHORTEST_CLIP` is filled up with silence.
    """
    audio = np.pad(np.asarray(audio, np.float32), (0, max(0, SHORTEST_CLIP - len(audio))))
    padded = np.pad(audio, FRAME_LENGTH // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)[::HOP_LENGTH]
    result = np.empty((len(frames), BANDS), np.float32)
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(frames[start : start + FRAMES_AT_ONCE] * hann_window())
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        block = result[start : start + FRAMES_AT_ONCE]
        np.matmul(power, mel_filter_bank(), out=block)
        np.log(np.add(block, LOG_OFFSET, out=block), out=block)
    return result


def mean_and_std(log_mel: Float[np.ndarray, "frames bands"]) -> tuple[np.float32, np.float32]:
    """Mean and population standard deviation over all frames and bands; 0 as deviation of a constant clip."""
    mean, std = np.float32(log_mel.mean(dtype=np.float64)), np.float32(log_mel.std(dtype=np.float64))
    return mean, std if std >= SMALLEST_STD else np.float32(0)


def standardise(log_mel: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
    """Subtract a clip's mean and divide by its population standard deviation, both taken over the whole clip.

    As pre-training does (embedding divides by the unbiased one). A constant spectrogram, such as that of
    digital silence, becomes zeros.
    """
    mean, std = mean_and_std(log_mel)
    if std == 0:
        return np.zeros(log_mel.shape, np.float32)
    return (log_mel.astype(np.float32, copy=False) - mean) / (std + STD_OFFSET)
