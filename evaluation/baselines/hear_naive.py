"""HEAR-Naive: log-mel frames times a fixed random matrix (HEAR 2021's `hearbaseline.naive`).

Per frame of 4096 samples at 44.1 kHz: Hann window, power spectrum, 256 Slaney mel bands, log(x + 1e-4), a 256
x 4096 projection drawn once from torch's generator with seed 0. Scene: mean over frames 250 ms apart;
timestamps: frames 50 ms apart. It has no learned weights, so it is never "random-initialised".
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

SAMPLE_RATE = 44100
N_FFT = 4096
N_MELS = 256
EMBEDDING_SIZE = 4096
TIMESTAMP_HOP_MS = 50.0
SCENE_HOP_MS = 250.0
LOG_OFFSET = 1e-4
FRAMES_AT_ONCE = 512


class HearNaive(torch.nn.Module):
    """The baseline model; buffers `projection`, `window` and `mel_scale` make its state dict."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = EMBEDDING_SIZE
    timestamp_embedding_size = EMBEDDING_SIZE
    projection: Tensor
    window: Tensor
    mel_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        projection = torch.rand(N_MELS, EMBEDDING_SIZE, generator=generator) / N_MELS**0.5
        self.register_buffer("projection", projection)
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer("mel_scale", torch.from_numpy(slaney_mel_filters()))

    @torch.no_grad()
    def forward(self, frames: Float[Tensor, "frames samples"]) -> Float[Tensor, "frames dim"]:
        """Embed frames of N_FFT samples each."""
        chunks = []
        for chunk in frames.split(FRAMES_AT_ONCE):
            power = torch.fft.rfft(chunk * self.window).abs().square()
            chunks.append(torch.log(power @ self.mel_scale.T + LOG_OFFSET) @ self.projection)
        return torch.cat(chunks)


def slaney_mel_filters() -> Float[np.ndarray, "mels bins"]:
    """Return area-normalised triangular filters on Slaney's mel scale, 0 Hz to Nyquist.

    The scale is linear (200/3 Hz per mel) up to 1 kHz and logarithmic (27 mels per factor 6.4) above.
    """
    log_step = np.log(6.4) / 27.0
    top = 15.0 + np.log(SAMPLE_RATE / 2 / 1000.0) / log_step
    mels = np.linspace(0.0, top, N_MELS + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp(log_step * (mels - 15.0)))
    bins = np.fft.rfftfreq(N_FFT, 1.0 / SAMPLE_RATE)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (upper - lower)).astype(np.float32)


def load_model(model_file_path: str = "") -> HearNaive:
    """Return the baseline; a path loads a state dict of `hearbaseline.naive` in its place."""
    model = HearNaive()
    if model_file_path:
        model.load_state_dict(torch.load(model_file_path, map_location="cpu", weights_only=True))
    return model


def _embed(
    audio: Float[Tensor, "clips samples"], model: HearNaive, hop_ms: float
) -> tuple[Float[Tensor, "clips frames dim"], Float[Tensor, "clips frames"]]:
    padded = torch.nn.functional.pad(audio, (N_FFT // 2, N_FFT - N_FFT // 2))
    hop = hop_ms / 1000.0 * SAMPLE_RATE
    last = padded.shape[1] - N_FFT
    starts = [round(k * hop) for k in range(int(last / hop) + 2) if round(k * hop) <= last]
    frames = torch.stack([padded[:, start : start + N_FFT] for start in starts], dim=1)
    embeddings = model(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    times = torch.arange(len(starts), dtype=torch.float32, device=audio.device) * hop_ms
    return embeddings, times.expand(len(audio), -1)


def get_timestamp_embeddings(
    audio: Float[Tensor, "clips samples"], model: HearNaive
) -> tuple[Float[Tensor, "clips frames dim"], Float[Tensor, "clips frames"]]:
    """Return embeddings every 50 ms and their times in ms."""
    return _embed(audio, model, TIMESTAMP_HOP_MS)


def get_scene_embeddings(
    audio: Float[Tensor, "clips samples"], model: HearNaive
) -> Float[Tensor, "clips dim"]:
    """Return the mean over frames 250 ms apart."""
    return _embed(audio, model, SCENE_HOP_MS)[0].mean(dim=1)
