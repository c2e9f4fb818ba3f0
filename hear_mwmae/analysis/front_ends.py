"""Both front ends of sound as something that can be run and undone: frames, window, filters, logarithm."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from hear_mwmae.pretrain.data import kaldi_fbank, log_mel

SAMPLE_RATE = log_mel.SAMPLE_RATE
FRAME_LENGTH = log_mel.FRAME_LENGTH
HOP_LENGTH = log_mel.HOP_LENGTH


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Log-mel power of frames of 400 samples every 160, at 16 kHz."""

    analyse: Callable[[Float[np.ndarray, " samples"]], Float[np.ndarray, "frames bands"]]
    filters: Float[np.ndarray, "bins bands"]
    window: Float[np.ndarray, " samples"]
    n_fft: int
    first_sample: int
    """Where frame 0 begins: 0, or half a frame before the sound where frames are centred on their time."""
    lowest_hz: float
    pre_emphasis: float
    """How much of its predecessor each sample loses before the spectrum is taken."""
    log_offset: float
    """What is added to the power before its logarithm."""
    shortest: int
    """Samples that a clip needs, so that one frame is not filled up."""

    @property
    def bands(self) -> int:
        """Mel bands."""
        return self.filters.shape[1]

    @property
    def centres_hz(self) -> Float[np.ndarray, " bands"]:
        """Middle of every band; the bands are spaced evenly on the mel scale 1127 ln(1 + Hz / 700)."""
        lowest, highest = (1127 * math.log1p(hertz / 700) for hertz in (self.lowest_hz, SAMPLE_RATE / 2))
        return 700 * np.expm1(np.linspace(lowest, highest, self.bands + 2)[1:-1] / 1127)

    def frames(self, samples: int) -> int:
        """Frames of a sound of at least `shortest` samples."""
        return 1 + (samples - FRAME_LENGTH - 2 * self.first_sample) // HOP_LENGTH

    def mel_power(self, log_mel: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
        """Undo the logarithm, in float64."""
        return np.maximum(np.exp(log_mel.astype(np.float64)) - self.log_offset, 0)

    def touched(self, marked: Bool[np.ndarray, " samples"], frames: int) -> Bool[np.ndarray, " frames"]:
        """Which frames have a marked sample in them."""
        before = np.concatenate([[0], np.cumsum(marked)])
        starts = self.first_sample + HOP_LENGTH * np.arange(frames)
        first, last = (np.clip(edge, 0, len(marked)) for edge in (starts, starts + FRAME_LENGTH))
        return before[last] > before[first]

    def covered(self, marked: Bool[np.ndarray, " frames"], samples: int) -> Bool[np.ndarray, " samples"]:
        """Which samples lie in a marked frame."""
        starts = self.first_sample + HOP_LENGTH * np.flatnonzero(marked)
        steps = np.zeros(samples + 1, np.int64)
        np.add.at(steps, np.clip(starts, 0, samples), 1)
        np.add.at(steps, np.clip(starts + FRAME_LENGTH, 0, samples), -1)
        return np.cumsum(steps)[:-1] > 0


@functools.cache
def front_end(name: str) -> FrontEnd:
    """Return a front end of sound by its name in `ModelConfig.front_end`."""
    if name == "fbank_128":
        return FrontEnd(
            analyse=kaldi_fbank.fbank,
            filters=kaldi_fbank.mel_filter_bank(),
            window=kaldi_fbank.hann_window(),
            n_fft=kaldi_fbank.N_FFT,
            first_sample=0,
            lowest_hz=kaldi_fbank.LOWEST_HZ,
            pre_emphasis=kaldi_fbank.PREEMPHASIS,
            log_offset=0.0,
            shortest=FRAME_LENGTH,
        )
    return FrontEnd(
        analyse=log_mel.log_mel,
        filters=log_mel.mel_filter_bank(),
        window=log_mel.hann_window(),
        n_fft=FRAME_LENGTH,
        first_sample=-(FRAME_LENGTH // 2),
        lowest_hz=log_mel.LOWEST_HZ,
        pre_emphasis=0.0,
        log_offset=float(log_mel.LOG_OFFSET),
        shortest=log_mel.SHORTEST_CLIP,
    )
