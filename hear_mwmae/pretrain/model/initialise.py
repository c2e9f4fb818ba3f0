"""Parameters before training, drawn as the released code draws them.

Xavier-uniform for the layers of blocks (query, key and value as one matrix), LeCun-normal for the decoder's
embedding and prediction, N(0, 0.02) for tokens, zero biases, sinusoids for position codes. The patch kernel
is taken for a convolution, whose fan-out counts the pixels too, which makes it small.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jaxtyping import Array, Float, Key

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.model.transformer import Params

TOKEN_STD = 0.02
BIAS_TABLE_SCALE = 0.02
LONGEST_WAVELENGTH = 10000.0

xavier_uniform = initializers.xavier_uniform()
lecun_normal = initializers.lecun_normal()
token_normal = initializers.normal(TOKEN_STD)
table_normal = initializers.variance_scaling(BIAS_TABLE_SCALE, "fan_in", "truncated_normal")


def init_params(config: ModelConfig, key: Key[Array, ""]) -> Params:
    """Draw all parameters of a model: float32, blocks stacked along a leading depth axis."""
    encoder_key, decoder_key = jax.random.split(key)
    return {"encoder": _encoder(config, encoder_key), "decoder": _decoder(config, decoder_key)}


def _encoder(config: ModelConfig, key: Key[Array, ""]) -> Params:
    patch_key, token_key, block_key = jax.random.split(key, 3)
    pixels, width = math.prod(config.patch_size), config.width
    bound = math.sqrt(6 / (pixels + pixels * width))
    weight = jax.random.uniform(patch_key, (pixels, width), jnp.float32, -bound, bound)
    codes = sinusoids_2d(config.grid, width)
    params = {
        "patch_embed": {"weight": weight, "bias": jnp.zeros(width)},
        "position_codes": _with_class_token(codes, class_token=config.class_token),
        "blocks": _blocks(config, block_key, width, config.depth, config.encoder_windows),
        "norm": _norm(width),
    }
    if config.class_token:
        params["class_token"] = token_normal(token_key, (width,))
    return params


def _decoder(config: ModelConfig, key: Key[Array, ""]) -> Params:
    embed_key, token_key, block_key, predict_key = jax.random.split(key, 4)
    width = config.decoder_width
    codes = sinusoids(np.arange(config.tokens), width)
    return {
        "embed": _linear(lecun_normal, embed_key, config.width, width),
        "mask_token": token_normal(token_key, (width,)),
        "position_codes": _with_class_token(codes, class_token=config.decoder_tokens > config.tokens),
        "blocks": _blocks(config, block_key, width, config.decoder_depth, config.decoder_windows),
        "norm": _norm(width),
        "predict": _linear(lecun_normal, predict_key, width, math.prod(config.patch_size)),
    }


def _blocks(
    config: ModelConfig, key: Key[Array, ""], width: int, depth: int, windows: tuple[int, ...]
) -> Params:
    """Blocks of one stack, drawn each with a key of its own."""

    def one(key: Key[Array, ""]) -> Params:
        hidden = config.mlp_ratio * width
        qkv_key, out_key, hidden_key, last_key, table_key = jax.random.split(key, 5)
        attention = {
            "qkv": _linear(xavier_uniform, qkv_key, width, 3 * width),
            "out": _linear(xavier_uniform, out_key, width, width),
        }
        if config.relative_position_bias and any(windows):
            attention["bias_tables"] = {
                str(head): table_normal(jax.random.fold_in(table_key, head), (2 * window - 1, 1))[:, 0]
                for head, window in enumerate(windows)
                if window
            }
        mlp = {
            "hidden": _linear(xavier_uniform, hidden_key, width, hidden),
            "out": _linear(xavier_uniform, last_key, hidden, width),
        }
        return {"norm1": _norm(width), "attention": attention, "norm2": _norm(width), "mlp": mlp}

    return jax.vmap(one)(jax.random.split(key, depth))


def _linear(draw: initializers.Initializer, key: Key[Array, ""], size: int, out: int) -> Params:
    return {"weight": draw(key, (size, out), jnp.float32), "bias": jnp.zeros(out)}


def _norm(width: int) -> Params:
    return {"weight": jnp.ones(width), "bias": jnp.zeros(width)}


def _with_class_token(
    codes: Float[np.ndarray, "tokens width"], *, class_token: bool
) -> Float[Array, "rows width"]:
    """Position codes with a row of zeros in front for the class token, where there is one."""
    return jnp.asarray(np.pad(codes, ((int(class_token), 0), (0, 0))), jnp.float32)


def sinusoids_2d(grid: tuple[int, int], width: int) -> Float[np.ndarray, "tokens width"]:
    """Code the frequency band in the first half of the channels, the time column in the second."""
    column, band = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.concatenate([sinusoids(band, width // 2), sinusoids(column, width // 2)], axis=1)


def sinusoids(position: np.ndarray, width: int) -> Float[np.ndarray, "tokens width"]:
    """Sines, then cosines of width / 2 rates; in float64, as bfloat16 cannot count positions beyond 256."""
    rate = LONGEST_WAVELENGTH ** (-np.arange(width // 2) / (width // 2))
    angle = position[:, None] * rate
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
