"""SSaST (AAAI 2022), patch or frame based, as a HEAR module; Table 1 has the base size.

Reads the released `SSAST-Base-Patch-400.pth` (a data-parallel state dict, "module." first; the heads of
pre-training are left out) and the other released sizes and shapes: patch shape and input size are read off
the file. 16 kHz, mean of the waveform removed, 128 Kaldi bands, patches frequency-major without overlap, two
leading tokens (class and distillation). Sound shorter than the input in training (1024 frames) takes the
middle columns of the position table, the rule of the released fine-tuning. One embedding per column (160 ms;
20 ms in frame models) is the mean over its bands, so that a scene's is the mean over all patch tokens, as in
fine-tuning ("avgtok").

Facts from the authors' repository (YuanGongND/ssast): names, tokens, pooling and cut of the position table in
src/models/ast_models.py, filter bank in src/dataloader.py, its mean and deviation, the 1024 frames and the
number of parameters in the README.

Not tested on the real weights, which could not be downloaded; tested on small random ones of the same layout.
Whether Table 1's row is the patch or the frame model, and how it was pooled, is not published.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation.baselines.patch_model import PatchModel
from evaluation.baselines.tensors import load_strictly, read_torch_file, require, tensors_of, without
from evaluation.baselines.vision_transformer import VisionTransformer, build, own_names, released_name
from evaluation.baselines.weights import ReleasedFile
from evaluation.baselines.wrap import Frames, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["WEIGHTS", "Ssast", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = ReleasedFile(
    "SSAST-Base-Patch-400.pth",
    "download SSAST-Base-Patch-400 from the links in the README of github.com/YuanGongND/ssast",
)
PREFIX = "module."
LEADING = ("v.cls_token", "v.dist_token")
SIZES = ("v.patch_embed.proj.weight", "p_input_fdim", "p_input_tdim")
UNUSED = ("v.head", "p_input_", "mask_embed", "cpredlayer.", "gpredlayer.")


class Ssast(PatchModel):
    """The transformer with its last normalisation; layers block1, block2, ..., norm.

    `bands` and `columns` are the numbers of patches along frequency and along time in training.
    """

    network: VisionTransformer

    def __init__(self, network: VisionTransformer, *, bands: int, columns: int) -> None:
        super().__init__(
            network,
            layer_names=network.layer_names,
            width=network.norm.normalized_shape[0],
            frames_per_column=network.patches.kernel_size[1],
            input_frames=columns * network.patches.kernel_size[1],
        )
        self.bands = bands

    def encode(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> list[Frames]:
        """Return the columns of one part for each of the layers."""
        pictures = self.normalise(self.fbank(audio)).transpose(1, 2)
        layers = layers or ("norm",)
        columns = pictures.shape[2] // self.network.patches.kernel_size[1]
        tokens = self.network(pictures, self._position_codes(columns), layers)
        return [tokens[name].unflatten(1, (self.bands, columns)).mean(dim=1) for name in layers]

    def _position_codes(self, columns: int) -> Float[Tensor, "tokens width"]:
        """Those of the leading tokens, and of as many columns from the middle of the table."""
        leading, patches = self.network.position_codes.split_with_sizes(
            [len(LEADING), len(self.network.position_codes) - len(LEADING)]
        )
        grid = patches.unflatten(0, (self.bands, -1))
        start = grid.shape[1] // 2 - columns // 2
        return torch.cat([leading, grid[:, start : start + columns].flatten(0, 1)])


def load_model(model_file_path: str = "") -> Ssast:
    """Return the model; without a path, `SSAST-Base-Patch-400.pth` in $HEAR_MWMAE_WEIGHTS or the cache.

    Raises EvaluationError: no file, or one that is not such a model.
    """
    path = WEIGHTS.find(model_file_path)
    tensors = {name.removeprefix(PREFIX): t for name, t in tensors_of(read_torch_file(path), path).items()}
    require(tensors, (*SIZES, *LEADING), path)
    _, _, *patch = tensors["v.patch_embed.proj.weight"].shape
    bands, columns = (int(tensors[name]) // size for name, size in zip(SIZES[1:], patch, strict=True))
    network = _network(tensors, path, patch=(patch[0], patch[1]), tokens=bands * columns)
    return Ssast(network, bands=bands, columns=columns)


def _network(
    tensors: dict[str, Tensor], path: Path, *, patch: tuple[int, int], tokens: int
) -> VisionTransformer:
    kept = {name.removeprefix("v."): tensor for name, tensor in without(tensors, UNUSED).items()}
    named = own_names(kept, tuple(name.removeprefix("v.") for name in LEADING), path)
    network = build(named, patch=patch, leading=len(LEADING), tokens=tokens)
    load_strictly(network, named, path, released_name=released_name)
    return network
