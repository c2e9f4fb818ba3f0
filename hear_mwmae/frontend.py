"""From waveform to standardised log-mel spectrogram: the front end of MAE and MW-MAE (paper section 4.1).

16 kHz, frames of 400 samples every 160 (25 ms every 10 ms) centred on their time, 80 HTK mel bands from 50 to
8000 Hz.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

FRONT_END = "log_mel_80"
SAMPLE_RATE = 16000
FRAME_LENGTH = 400
HOP_LENGTH = 160
HOP_MS = 1000 * HOP_LENGTH / SAMPLE_RATE
BANDS = 80
LOWEST_HZ = 50.0
LOG_OFFSET = torch.finfo(torch.float32).eps
STD_OFFSET = 1e-8
# Two decades above the rounding error of a constant log-mel, four below the deviation of any audible signal.
SMALLEST_STD = 1e-5
# Half a frame is reflected at either end, and a reflection needs one sample more than its own length.
SHORTEST_CLIP = FRAME_LENGTH // 2 + 1
FRAMES_AT_ONCE = 32768


def frame_count(samples: int) -> int:
    """Frames of a clip of `samples` samples; shorter clips are filled up to `SHORTEST_CLIP` with silence."""
    return 1 + max(samples, SHORTEST_CLIP) // HOP_LENGTH


def mel_filter_bank() -> Float[Tensor, "bins bands"]:
    """Triangular filters, equally spaced and touching on the HTK mel scale, peak 1.

    In float32 throughout, as the models saw it in training: narrow low bands make the rounding visible
    (1e-4 in an embedding).
    """
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, SAMPLE_RATE / 2))
    corners = 700 * (10 ** (torch.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    distance = corners - torch.linspace(0, SAMPLE_RATE / 2, FRAME_LENGTH // 2 + 1)[:, None]
    widths = corners.diff()
    rising = -distance[:, :-2] / widths[:-1]
    falling = distance[:, 2:] / widths[1:]
    return torch.minimum(rising, falling).clamp_min(0)


class LogMel(nn.Module):
    """log(mel power + float32 epsilon) of waveforms at 16 kHz."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME_LENGTH), persistent=False)
        self.register_buffer("filters", mel_filter_bank(), persistent=False)

    def forward(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips frames bands"]:
        """Return the log-mel spectrogram, one frame per 10 ms, of clips of one length (any length >= 1)."""
        audio = F.pad(audio, (0, max(0, SHORTEST_CLIP - audio.shape[1])))
        frames = frame_count(audio.shape[1])
        padded = F.pad(audio, (FRAME_LENGTH // 2, FRAME_LENGTH // 2), mode="reflect")
        # In blocks, so that neither an hour of sound nor a thousand clips need all their spectra at once.
        step = max(1, FRAMES_AT_ONCE // len(audio))
        blocks = [self._block(padded, start, min(start + step, frames)) for start in range(0, frames, step)]
        return torch.cat(blocks, dim=1)

    def _block(
        self, padded: Float[Tensor, "clips padded"], start: int, stop: int
    ) -> Float[Tensor, "clips block bands"]:
        samples = padded[:, start * HOP_LENGTH : (stop - 1) * HOP_LENGTH + FRAME_LENGTH]
        spectrum = torch.stft(
            samples, FRAME_LENGTH, HOP_LENGTH, window=self.window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(power.transpose(1, 2) @ self.filters + LOG_OFFSET)


def standardise(
    log_mel: Float[Tensor, "clips frames bands"],
) -> Float[Tensor, "clips frames bands"]:
    """Subtract each clip's mean and divide by its unbiased standard deviation, taken over the whole clip.

    A constant spectrogram, such as that of digital silence, becomes zeros.
    """
    std, mean = torch.std_mean(log_mel, dim=(1, 2), keepdim=True)
    return torch.where(std < SMALLEST_STD, 0.0, (log_mel - mean) / (std + STD_OFFSET))


def split_chunks(
    features: Float[Tensor, "clips frames bands"], frames_per_chunk: int
) -> Float[Tensor, "clips chunks frames_per_chunk bands"]:
    """Cut into chunks; the last one is filled up by reflecting the clip, as often as needed."""
    clips, frames, bands = features.shape
    chunks = -(-frames // frames_per_chunk)
    period = max(1, 2 * (frames - 1))
    position = torch.arange(chunks * frames_per_chunk, device=features.device) % period
    position = torch.minimum(position, period - position)
    return features[:, position].reshape(clips, chunks, frames_per_chunk, bands)
