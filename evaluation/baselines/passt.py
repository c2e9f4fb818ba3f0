"""PaSST-base (Interspeech 2022), the HEAR 2021 submission of package `hear21passt`, as a HEAR module.

The network, and how clips are cut (scenes: 10 s windows every 2.5 s; timestamps: 160 ms windows every 50 ms),
are the package's. Its front end is written here, as the package's own needs a torchaudio that does not load
beside a current torch: 32 kHz, pre-emphasis 0.97, 25 ms frames every 10 ms, 128 Kaldi mel bands up to 15 kHz.
An embedding is 527 logits and 768 features.

The package asks for torchaudio, and that for another torch, so install it alone: `pip install --no-deps
hear21passt`, then `pip install timm`. Not tested on the real weights, which could not be downloaded; the
package's network (0.0.26) was run with random ones.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.baselines.tensors import load_strictly, read_torch_file, tensors_of
from evaluation.baselines.weights import ReleasedFile
from evaluation.errors import EvaluationError
from hear_mwmae.kaldi_fbank import PREEMPHASIS, kaldi_mel_filters

WEIGHTS = ReleasedFile(
    "passt-s-f128-p16-s10-ap.476-swa.pt",
    "download it from release v0.0.1-audioset of github.com/kkoutini/PaSST",
)
ARCHITECTURE = "passt_s_swa_p16_128_ap476"
SAMPLE_RATE = 32000
FRAME_LENGTH, HOP_LENGTH, N_FFT = 800, 320, 1024
BANDS = 128
HIGHEST_HZ = 15000.0
LOG_OFFSET = 1e-5
TIMESTAMP_HOP = SAMPLE_RATE // 20
SHORTEST_CLIP = SAMPLE_RATE * 160 // 1000
"""One window of a timestamp; less would not fill a patch."""


class PasstMel(nn.Module):
    """(log(mel power + 1e-5) + 4.5) / 5 of pre-emphasised sound, frames centred on their time."""

    sr = SAMPLE_RATE
    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = kaldi_mel_filters(
            bands=BANDS, n_fft=N_FFT, sample_rate=SAMPLE_RATE, lowest_hz=0.0, highest_hz=HIGHEST_HZ
        )
        self.register_buffer("window", torch.hann_window(FRAME_LENGTH, periodic=False), persistent=False)
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def forward(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips bands frames"]:
        """Return the log-mels of clips of at least 514 samples."""
        emphasised = audio[:, 1:] - PREEMPHASIS * audio[:, :-1]
        spectrum = torch.stft(
            emphasised, N_FFT, HOP_LENGTH, FRAME_LENGTH, window=self.window, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return (torch.log(self.filters @ power + LOG_OFFSET) + 4.5) / 5.0


@runtime_checkable
class _Wrapper(Protocol):
    """What is called of the package's class around network and front end."""

    def get_scene_embeddings(self, audio: Tensor) -> Tensor: ...

    def get_timestamp_embeddings(self, audio: Tensor) -> tuple[Tensor, Tensor]: ...


def load_model(model_file_path: str = "") -> nn.Module:
    """Return the package's model; without a path, its weights in $HEAR_MWMAE_WEIGHTS or the cache.

    Raises EvaluationError: no package, no file, or one that does not fit.
    """
    path = WEIGHTS.find(model_file_path)
    network, wrapper = _package()
    load_strictly(network, tensors_of(read_torch_file(path), path, key="model"), path)
    return wrapper(mel=PasstMel(), net=network).requires_grad_(False).eval()


def _package() -> tuple[nn.Module, Any]:
    """The package's network with random weights, and its class around network and front end."""
    try:
        from hear21passt.models import passt
        from hear21passt.wrapper import PasstBasicWrapper
    except (ImportError, RuntimeError) as error:
        raise EvaluationError(
            "PaSST needs the package hear21passt, without the other torch that it asks for: run "
            f"`pip install --no-deps hear21passt` and `pip install timm` ({error})"
        ) from error
    passt.first_RUN = False
    with contextlib.redirect_stdout(io.StringIO()):
        network = passt.get_model(ARCHITECTURE, pretrained=False)
    return network, PasstBasicWrapper


def _filled(audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips filled"]:
    return F.pad(audio, (0, max(0, SHORTEST_CLIP - audio.shape[1])))


@contextlib.contextmanager
def _no_word_of_other_lengths() -> Iterator[None]:
    """The network warns of every input that is not 10 s long, and takes it as it was published to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Input image size")
        yield


@torch.no_grad()
def get_scene_embeddings(
    audio: Float[Tensor, "clips samples"], model: _Wrapper
) -> Float[Tensor, "clips size"]:
    """HEAR: one pass up to 10 s, beyond that the mean over windows of 10 s every 2.5 s."""
    with _no_word_of_other_lengths():
        return model.get_scene_embeddings(_filled(audio)).to(audio.device)


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Float[Tensor, "clips samples"], model: _Wrapper
) -> tuple[Float[Tensor, "clips frames size"], Float[Tensor, "clips frames"]]:
    """HEAR: windows of 160 ms every 50 ms, the first centred on the start, and their middles in ms."""
    with _no_word_of_other_lengths():
        embeddings, times = model.get_timestamp_embeddings(_filled(audio))
    inside = 1 + (audio.shape[1] - 1) // TIMESTAMP_HOP
    return embeddings[:, :inside].to(audio.device), times[:, :inside].to(audio.device)
