"""Kaldi's log-mel filter bank, 128 bands of 25 ms every 10 ms: what Audio-MAE, SSaST and BEATs read."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

SAMPLE_RATE = 16000
FRAME_LENGTH = 400
HOP_LENGTH = 160
N_FFT = 512
BANDS = 128
LOWEST_HZ = 20.0
PREEMPHASIS = 0.97
LOG_FLOOR = torch.finfo(torch.float32).eps


def kaldi_mel_filters(
    *, bands: int, n_fft: int, sample_rate: int, lowest_hz: float, highest_hz: float
) -> Float[Tensor, "bins bands"]:
    """Return triangles that are straight in mel (1127 ln(1 + Hz / 700)), with a zero row for Nyquist.

    In float32 throughout, as the models saw them in training: narrow low bands make the rounding visible.
    """
    lowest, highest = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (lowest_hz, highest_hz))
    step = (highest - lowest) / (bands + 1)
    band = torch.arange(bands)
    left, centre, right = (lowest + (band + offset) * step for offset in (0.0, 1.0, 2.0))
    mel = 1127.0 * (1.0 + sample_rate / n_fft * torch.arange(n_fft // 2) / 700.0).log()[:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    filters = torch.minimum(rising, falling).clamp_min(0)
    return torch.cat([filters, torch.zeros(1, bands)])


class KaldiFbank(nn.Module):
    """log(max(mel power, float32 epsilon)) of frames without their mean, pre-emphasised by 0.97.

    `window` is the Hann window ("hanning") or its power 0.85, Kaldi's own ("povey").
    """

    window: Tensor
    filters: Tensor

    def __init__(self, window: Literal["hanning", "povey"]) -> None:
        super().__init__()
        hann = torch.hann_window(FRAME_LENGTH, periodic=False)
        filters = kaldi_mel_filters(
            bands=BANDS,
            n_fft=N_FFT,
            sample_rate=SAMPLE_RATE,
            lowest_hz=LOWEST_HZ,
            highest_hz=SAMPLE_RATE / 2,
        )
        self.register_buffer("window", hann if window == "hanning" else hann**0.85, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips frames bands"]:
        """Return the frames that lie in the clips, which must be at least one frame long."""
        frames = audio.unfold(1, FRAME_LENGTH, HOP_LENGTH)
        frames = frames - frames.mean(dim=2, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - PREEMPHASIS * previous) * self.window, n=N_FFT)
        return torch.log((spectrum.abs().square() @ self.filters).clamp_min(LOG_FLOOR))
