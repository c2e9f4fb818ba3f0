"""The vision-transformer encoder of MAE, MW-MAE (paper sections 3.1, 4.1) and Audio-MAE, from torch's layers.

Tokens are time-major: token `t * bands + f` is the patch at time column t and frequency band f. Blocks
normalise first (epsilon 1e-6). MW-MAE's use the tanh approximation of GELU, Audio-MAE's the exact one.
"""

import math
from collections import deque
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hear_mwmae.config import ModelConfig

NORM_EPSILON = 1e-6
TOKEN_STD = 0.02
LAST_LAYER = "norm"
"""Name of the last layer."""


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d) + b) v in every head, between a fused input and an output projection.

    With `windows` (Table 2) a head of window w attends within each run of w tokens, its b holding a learned
    bias for every offset i - j; a head of window 0, and every head without `windows`, attends globally.
    """

    def __init__(self, width: int, heads: int, *, windows: tuple[int, ...] = (), biased: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.windows = windows
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias_tables: nn.ParameterDict | dict[str, Tensor]
        if biased and any(windows):
            self.bias_tables = nn.ParameterDict(
                {str(head): torch.empty(2 * window - 1) for head, window in enumerate(windows) if window}
            )
        else:
            self.bias_tables = {}

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if self.windows:
            mixed = self._windowed(query, key, value)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))

    def _windowed(
        self, *parts: Float[Tensor, "batch heads tokens head_dim"]
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        mixed = []
        for head, window in enumerate(self.windows):
            one_head = [part[:, head] for part in parts]
            query, key, value = (part.unflatten(1, (-1, window or part.shape[1])) for part in one_head)
            bias = self._bias(head, window) if str(head) in self.bias_tables else None
            mixed.append(F.scaled_dot_product_attention(query, key, value, attn_mask=bias).flatten(1, 2))
        return torch.stack(mixed, dim=1)

    def _bias(self, head: int, window: int) -> Float[Tensor, "window window"]:
        table = self.bias_tables[str(head)]
        index = torch.arange(window, device=table.device)
        return table[index[:, None] - index + window - 1]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them: x Phi(x), or with `tanh` its approximation."""

    def __init__(self, width: int, hidden: int, *, tanh: bool = True) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.approximate = "tanh" if tanh else "none"

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return self.out(F.gelu(self.hidden(x), approximate=self.approximate))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPSILON)
        self.attention = Attention(
            config.width,
            config.heads,
            windows=config.encoder_windows,
            biased=config.relative_position_bias,
        )
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPSILON)
        self.mlp = Mlp(config.width, config.mlp_ratio * config.width, tanh=config.conventions == "mw_mae")

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """Patches, position codes, blocks, a last normalisation.

    Parameters are left as torch makes them: load a state or call `initialise`. In a model with
    `norm_after_pooling` the last layer's tokens are the last block's, and `normalise_pooled` does the rest.
    No gradient reaches position codes that are "fixed", whatever their `requires_grad` says.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        rows = config.tokens + config.class_token
        self.patch_embed = nn.Linear(math.prod(config.patch_size), config.width)
        self.position_codes = nn.Parameter(torch.empty(rows, config.width))
        self.class_token = nn.Parameter(torch.empty(config.width)) if config.class_token else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPSILON)

    def patches(self, chunks: Float[Tensor, "batch frames bands"]) -> Float[Tensor, "batch tokens pixels"]:
        """Cut chunks into time-major patches; the pixels of a patch are time-major too."""
        (columns, rows), (frames, bands) = self.config.grid, self.config.patch_size
        tiles = chunks.reshape(len(chunks), columns, frames, rows, bands).transpose(2, 3)
        return tiles.reshape(len(chunks), columns * rows, frames * bands)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of what `layers` yields: every block, counted from 1, and the last normalisation."""
        return (*(f"block{number}" for number in range(1, self.config.depth + 1)), LAST_LAYER)

    def layers(
        self, chunks: Float[Tensor, "batch frames bands"]
    ) -> Iterator[Float[Tensor, "batch rows width"]]:
        """Encode chunks, layer by layer; the class token, where the model has one, comes first."""
        x = self.patch_embed(self.patches(chunks).to(self.patch_embed.weight.dtype))
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
        fixed = self.config.position_codes == "fixed"
        x = x + (self.position_codes.detach() if fixed else self.position_codes)
        for block in self.blocks:
            x = block(x)
            yield x
        yield x if self.config.norm_after_pooling else self.norm(x)

    def tokens(self, chunks: Float[Tensor, "batch frames bands"]) -> Float[Tensor, "batch rows width"]:
        """Return what the last layer makes of the chunks."""
        return deque(self.layers(chunks), maxlen=1)[0]

    def columns(self, tokens: Float[Tensor, "batch rows width"]) -> Float[Tensor, "batch columns size"]:
        """Return one vector per time column: the tokens of its bands, concatenated; class token dropped.

        In Audio-MAE it is their mean.
        """
        patch_tokens = tokens[:, -self.config.tokens :]
        if self.config.conventions == "audio_mae":
            return patch_tokens.unflatten(1, self.config.grid).mean(dim=2)
        return patch_tokens.reshape(len(tokens), self.config.grid[0], self.config.embedding_size)

    def normalise_pooled(self, pooled: Float[Tensor, "*any size"], layer: str) -> Float[Tensor, "*any size"]:
        """Normalise means of the last layer's tokens, band by band, if the model does that after pooling."""
        if layer != LAST_LAYER or not self.config.norm_after_pooling:
            return pooled
        of_bands = pooled.unflatten(-1, (-1, self.config.width)).to(self.norm.weight.dtype)
        return self.norm(of_bands).flatten(-2).to(pooled.dtype)

    def forward(self, chunks: Float[Tensor, "batch frames bands"]) -> Float[Tensor, "batch columns size"]:
        """Return the columns of the last layer."""
        return self.normalise_pooled(self.columns(self.tokens(chunks)), LAST_LAYER)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the parameters as the released code does before training."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, Attention):
                for table in module.bias_tables.values():
                    nn.init.normal_(table, std=math.sqrt(TOKEN_STD / len(table)), generator=generator)
        pixels = self.patch_embed.in_features
        if self.config.conventions == "audio_mae":
            # The kernel is drawn as a linear layer's, the bias is left as torch makes a convolution's.
            bound = 1 / math.sqrt(pixels)
            nn.init.uniform_(self.patch_embed.bias, -bound, bound, generator=generator)
        else:
            # The released code takes the patch kernel for a convolution, whose fan-out counts the pixels too.
            bound = math.sqrt(6 / (pixels + pixels * self.config.width))
            nn.init.uniform_(self.patch_embed.weight, -bound, bound, generator=generator)
        self.position_codes.zero_()
        self.position_codes[-self.config.tokens :] = position_table(self.config)
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=TOKEN_STD, generator=generator)


def position_table(config: ModelConfig) -> Float[Tensor, "tokens width"]:
    """Position codes of the patches before training, on the grid that the configuration names."""
    if config.position_grid == "audiomae-released":
        return released_sinusoids_2d(config.grid, config.width)
    return sinusoids_2d(config.grid, config.width)


def sinusoids_2d(grid: tuple[int, int], width: int) -> Float[Tensor, "tokens width"]:
    """Position codes before training: half the channels code the band, the other half the time column."""
    columns, rows = grid
    column, row = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij")
    return _two_halves(row.flatten(), column.flatten(), width)


def released_sinusoids_2d(grid: tuple[int, int], width: int) -> Float[Tensor, "tokens width"]:
    """Position codes of Audio-MAE's released files: made for a grid of as many rows as there are columns.

    Token i of n columns is coded as i mod n in the first half of the channels and i div n in the second,
    where its band and its column would be i mod m and i div m of m bands.
    """
    columns, rows = grid
    token = torch.arange(columns * rows)
    return _two_halves(token % columns, token // columns, width)


def _two_halves(first: Tensor, second: Tensor, width: int) -> Float[Tensor, "tokens width"]:
    return torch.cat([_sinusoids(index, width // 2) for index in (first, second)], dim=1).float()


def _sinusoids(position: Tensor, width: int) -> Float[Tensor, "tokens width"]:
    rate = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = position[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)
