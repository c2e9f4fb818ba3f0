"""The vision transformer of SSaST, from torch's own layers, and its released names.

Blocks normalise first (epsilon 1e-6) and use the exact GELU. The package's own encoder has one token at the
front at most and a position table of one length, hence this one beside it.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.baselines.tensors import require

NORM_EPSILON = 1e-6
HEAD_WIDTH = 64
"""Channels of one head in every released size (DeiT and ViT, Tiny to Large); tensors do not tell."""
BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
BLOCK_NAMES = {
    "attn.qkv.weight": "self_attn.in_proj_weight",
    "attn.qkv.bias": "self_attn.in_proj_bias",
    "attn.proj.weight": "self_attn.out_proj.weight",
    "attn.proj.bias": "self_attn.out_proj.bias",
    "mlp.fc1.weight": "linear1.weight",
    "mlp.fc1.bias": "linear1.bias",
    "mlp.fc2.weight": "linear2.weight",
    "mlp.fc2.bias": "linear2.bias",
}
NAMES = {
    "patch_embed.proj.weight": "patches.weight",
    "patch_embed.proj.bias": "patches.bias",
    "pos_embed": "position_codes",
}


class VisionTransformer(nn.Module):
    """Patches and leading tokens, position codes, blocks, a last normalisation.

    Args:
        patch: Rows and columns of a patch of the picture.
        leading: Tokens before those of the patches (class token, distillation token).
        tokens: Rows of the position table, leading tokens included.
    """

    def __init__(self, *, width: int, depth: int, patch: tuple[int, int], leading: int, tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.leading = nn.Parameter(torch.empty(leading, width))
        self.position_codes = nn.Parameter(torch.empty(tokens, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                width // HEAD_WIDTH,
                4 * width,
                dropout=0.0,
                activation="gelu",
                layer_norm_eps=NORM_EPSILON,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    @property
    def layer_names(self) -> list[str]:
        """The output of every block, and the last of them normalised."""
        return [*(f"block{index}" for index in range(1, len(self.blocks) + 1)), "norm"]

    def forward(
        self,
        pictures: Float[Tensor, "batch rows columns"],
        position_codes: Float[Tensor, "tokens width"],
        layers: Collection[str],
    ) -> dict[str, Float[Tensor, "batch patches width"]]:
        """Return the tokens of the patches, row by row, after each of the layers."""
        patches = self.patches(pictures[:, None]).flatten(2).transpose(1, 2)
        x = torch.cat([self.leading.expand(len(patches), -1, -1), patches], dim=1) + position_codes
        found = {}
        for index, block in enumerate(self.blocks, start=1):
            x = block(x)
            found[f"block{index}"] = x
        found["norm"] = self.norm(x)
        return {name: found[name][:, len(self.leading) :] for name in layers}


def own_names(tensors: Mapping[str, Tensor], leading: tuple[str, ...], path: Path) -> dict[str, Tensor]:
    """Return tensors in the names of timm's vision transformer under the names of `VisionTransformer`.

    `leading` names the tokens before those of the patches. Raises EvaluationError: one of those is missing.
    """
    require(tensors, leading, path)
    renamed = {"leading": torch.cat([tensors[name].flatten(0, -2) for name in leading])}
    for name, tensor in tensors.items():
        if name in leading:
            continue
        block = BLOCK.fullmatch(name)
        own = f"blocks.{block[1]}.{BLOCK_NAMES.get(block[2], block[2])}" if block else NAMES.get(name, name)
        renamed[own] = tensor.flatten(0, -2) if name == "pos_embed" else tensor
    return renamed


def released_name(own: str) -> str:
    """Return the name in timm of a parameter of `VisionTransformer`, for messages."""
    block = BLOCK.fullmatch(own)
    if block:
        inner = {own_name: name for name, own_name in BLOCK_NAMES.items()}
        return f"blocks.{block[1]}.{inner.get(block[2], block[2])}"
    return {own_name: name for name, own_name in NAMES.items()}.get(own, own)


def build(
    tensors: Mapping[str, Tensor], *, patch: tuple[int, int], leading: int, tokens: int
) -> VisionTransformer:
    """Make a transformer on the meta device; width and depth are those that the tensors (own names) have."""
    width = tensors["leading"].shape[1]
    blocks = {match[1] for name in tensors if (match := BLOCK.fullmatch(name))}
    with torch.device("meta"):
        return VisionTransformer(
            width=width, depth=len(blocks), patch=patch, leading=leading, tokens=leading + tokens
        )
