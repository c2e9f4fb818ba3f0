"""The network of BEATs: patches, a convolution for positions, post-norm blocks with a gated relative bias.

Module names are those of the released weights, so that these load without renaming.
"""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

GATES = 8
"""Outputs of the gate's linear map: two gates, each the sum of four."""


@dataclass(frozen=True)
class BeatsConfig:
    """What the released configuration says about the shape; the defaults hold where it is silent."""

    input_patch_size: int = 16
    embed_dim: int = 512
    conv_bias: bool = False
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    deep_norm: bool = False
    conv_pos: int = 128
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 1280


FIELDS = {field.name for field in dataclasses.fields(BeatsConfig)}


def relative_buckets(tokens: int, *, buckets: int, max_distance: int) -> Int[Tensor, "tokens tokens"]:
    """Return the bucket of every key seen from every query (rows): the scheme of T5, both directions.

    The second half of the buckets is for keys after the query. Of each half, the first half holds one
    distance per bucket, the rest grows logarithmically up to `max_distance`; what is farther shares the last.
    """
    position = torch.arange(tokens)
    offset = position - position[:, None]
    half = buckets // 2
    exact = half // 2
    distance = offset.abs()
    growth = torch.log(distance.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (growth * (half - exact)).long()).clamp_max(half - 1)
    return torch.where(distance < exact, distance, far) + half * (offset > 0)


class GatedAttention(nn.Module):
    """softmax(q k^T / sqrt(d) + g b) v, where b is a bias by relative position and g a gate of each query.

    With c, e = sigmoid of two sums of four of a linear map of q, g = c (e a - 1) + 2, a one number per head.
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.grep_linear = nn.Linear(width // self.heads, GATES)
        self.grep_a = nn.Parameter(torch.empty(1, self.heads, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch tokens width"], bias: Float[Tensor, "heads tokens tokens"]
    ) -> Float[Tensor, "batch tokens width"]:
        query, key, value = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(query).unflatten(-1, (2, GATES // 2)).sum(dim=-1).sigmoid()
        first, second = gates[..., :1], gates[..., 1:]
        gate = first * (second * self.grep_a - 1.0) + 2.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=gate * bias)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """norm(a x + attention(x)), then norm(a x + mlp(x)), with DeepNorm's a = (2 layers)^(1/4)."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width = config.encoder_embed_dim
        self.alpha = (2 * config.encoder_layers) ** 0.25 if config.deep_norm else 1.0
        self.self_attn = GatedAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_embed_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_embed_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], bias: Float[Tensor, "heads tokens tokens"]
    ) -> Float[Tensor, "batch tokens width"]:
        x = self.self_attn_layer_norm(self.alpha * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.alpha * x + self.fc2(F.gelu(self.fc1(x))))


class PositionConvolution(nn.Module):
    """gelu(convolution along the tokens), its kernel of even length reaching one token less to the right.

    The kernel is `weight_g` times the direction of `weight_v`, one length per position in the kernel.
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, self.groups = config.encoder_embed_dim, config.conv_pos_groups
        self.weight_g = nn.Parameter(torch.empty(1, 1, config.conv_pos))
        self.weight_v = nn.Parameter(torch.empty(width, width // self.groups, config.conv_pos))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        direction = self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        kernel = self.weight_g * direction
        around = F.conv1d(
            x.transpose(1, 2), kernel, self.bias, padding=kernel.shape[2] // 2, groups=self.groups
        )
        return F.gelu(around[..., : x.shape[1]]).transpose(1, 2)


class Encoder(nn.Module):
    """Position convolution, a normalisation, the blocks; all of them share one table of relative biases."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.pos_conv = nn.ModuleList([PositionConvolution(config)])
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.encoder_layers))
        self.relative_attention_bias = nn.Embedding(config.num_buckets, config.encoder_attention_heads)


class BeatsNetwork(nn.Module):
    """From normalised filter banks to the tokens of each block; tokens are time-major."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Conv2d(
            1, config.embed_dim, config.input_patch_size, config.input_patch_size, bias=config.conv_bias
        )
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.post_extract_proj = nn.Linear(config.embed_dim, config.encoder_embed_dim)
        self.encoder = Encoder(config)

    def forward(
        self, fbank: Float[Tensor, "batch frames bands"], layers: Collection[str]
    ) -> dict[str, Float[Tensor, "batch tokens width"]]:
        """Return the tokens after the blocks named ("block1", ...)."""
        patches = self.patch_embedding(fbank[:, None]).flatten(2).transpose(1, 2)
        x = self.post_extract_proj(self.layer_norm(patches))
        x = self.encoder.layer_norm(x + self.encoder.pos_conv[0](x))
        bias = self._bias(x.shape[1])
        found = {}
        for index, block in enumerate(self.encoder.layers, start=1):
            x = found[f"block{index}"] = block(x, bias)
        return {name: found[name] for name in layers}

    def _bias(self, tokens: int) -> Float[Tensor, "heads tokens tokens"]:
        buckets = relative_buckets(
            tokens, buckets=self.config.num_buckets, max_distance=self.config.max_distance
        )
        table = self.encoder.relative_attention_bias
        return table(buckets.to(table.weight.device)).permute(2, 0, 1)
