"""AudioMAE (ViT-B, "Masked Autoencoders that Listen"): its pre-trained encoder as a HEAR module.

Reads the released `pretrained.pth` (names of timm under the key "model"; the decoder is left out). 16 kHz,
mean of the waveform removed, 128 Kaldi bands, 16x16 patches of a 1024-frame input, time-major, class token
first. Shorter sound is filled up with zero rows before normalisation, as in training; one embedding per
160 ms is the mean over the 8 bands, without the class token. The position table is used as the file holds it:
the released one was made for a grid of 8 by 64 where the tokens run over 64 by 8.

Facts from the authors' repository (facebookresearch/AudioMAE): names, order and epsilon of the network in
models_mae.py, filter bank and padding in dataset.py, mean over the patch tokens without the class token in
models_vit.py (which fine-tunes it), number of parameters in the README's log.

Not tested on the real weights, which could not be downloaded; tested on small random ones of the same layout.
How the MW-MAE paper pooled this model's tokens is not published.
"""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from evaluation.baselines.patch_model import INPUT_FRAMES, PatchModel
from evaluation.baselines.tensors import load_strictly, read_torch_file, tensors_of, without
from evaluation.baselines.vision_transformer import VisionTransformer, build, own_names, released_name
from evaluation.baselines.weights import ReleasedFile
from evaluation.baselines.wrap import Frames, get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.kaldi_fbank import BANDS

__all__ = ["WEIGHTS", "AudioMae", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = ReleasedFile(
    "pretrained.pth",
    "download the pre-trained checkpoint that the README of github.com/facebookresearch/AudioMAE links to",
)
PATCH = 16
GRID = (INPUT_FRAMES // PATCH, BANDS // PATCH)
UNUSED = ("decoder_", "mask_token")


class AudioMae(PatchModel):
    """The encoder with its last normalisation; layers block1, block2, ..., norm."""

    def __init__(self, network: VisionTransformer) -> None:
        width = network.norm.normalized_shape[0]
        super().__init__(network, layer_names=network.layer_names, width=width)

    def encode(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> list[Frames]:
        """Return the columns of one part, padding included, for each of the layers."""
        fbank = self.fbank(audio)
        pictures = self.normalise(F.pad(fbank, (0, 0, 0, INPUT_FRAMES - fbank.shape[1])))
        layers = layers or ("norm",)
        tokens = self.network(pictures, self.network.position_codes, layers)
        return [tokens[name].unflatten(1, GRID).mean(dim=2) for name in layers]


def load_model(model_file_path: str = "") -> AudioMae:
    """Return the model; without a path, `pretrained.pth` in $HEAR_MWMAE_WEIGHTS or the cache.

    Raises EvaluationError: no file, or one that is not this model's encoder.
    """
    path = WEIGHTS.find(model_file_path)
    return AudioMae(_network(path))


def _network(path: Path) -> VisionTransformer:
    released = tensors_of(read_torch_file(path), path, key="model")
    tensors = own_names(without(released, UNUSED), ("cls_token",), path)
    network = build(tensors, patch=(PATCH, PATCH), leading=1, tokens=GRID[0] * GRID[1])
    load_strictly(network, tensors, path, released_name=released_name)
    return network
