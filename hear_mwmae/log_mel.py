"""Log-mel statistics: the baseline that learnt nothing and has nothing random.

The front end of MAE and MW-MAE (80 mel bands of 16 kHz sound, 25 ms every 10 ms; paper section 4.2). Scene:
mean and standard deviation of every band over time, 160 numbers; timestamps: the frames themselves.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hear_mwmae.errors import UserError
from hear_mwmae.frontend import BANDS, HOP_LENGTH, HOP_MS, SAMPLE_RATE, LogMel

WEIGHT_FILES: tuple[str, ...] = ()
"""It has no weights, in files or otherwise."""


class LogMelStatistics(nn.Module):
    """The baseline model; it has no weights."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = 2 * BANDS
    timestamp_embedding_size = BANDS

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel()

    def forward(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips frames bands"]:
        """Return the frames that are centred inside the clips."""
        return self.log_mel(audio)[:, : 1 + (audio.shape[1] - 1) // HOP_LENGTH]


def load_model(model_file_path: str | Path = "") -> LogMelStatistics:
    """Return the baseline; UserError when weights are given, because there are none."""
    if model_file_path:
        raise UserError(f"log-mel statistics have no weights; leave out @{model_file_path}")
    return LogMelStatistics()


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Float[Tensor, "clips samples"], model: LogMelStatistics
) -> tuple[Float[Tensor, "clips frames bands"], Float[Tensor, "clips frames"]]:
    """HEAR: the log-mel frames and their middles in ms."""
    frames = model(audio)
    times = torch.arange(frames.shape[1], dtype=torch.float32, device=audio.device) * HOP_MS
    return frames, times.expand(len(audio), -1)


@torch.no_grad()
def get_scene_embeddings(
    audio: Float[Tensor, "clips samples"], model: LogMelStatistics
) -> Float[Tensor, "clips size"]:
    """HEAR: mean and standard deviation (that of the frames, not of a population) of every band."""
    std, mean = torch.std_mean(model(audio), dim=1, correction=0)
    return torch.cat([mean, std], dim=1)
