"""Parameters before training, drawn as the released code draws them.

Xavier-uniform for the layers of blocks (query, key and value as one matrix), LeCun-normal for the decoder's
embedding and prediction (Xavier-uniform in Audio-MAE), N(0, 0.02) for tokens, zero biases, sinusoids for
position codes. The patch kernel is taken for a convolution, whose fan-out counts the pixels too, which makes
it small; in Audio-MAE it is drawn as a matrix, and its bias as torch does for a convolution.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jaxtyping import Array, Float, Key

from hear_mwmae.config import POSITION_HIDDEN, ModelConfig
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
    if config.conventions == "audio_mae":
        limit = pixels**-0.5
        bias = jax.random.uniform(jax.random.fold_in(patch_key, 1), (width,), jnp.float32, -limit, limit)
        patch_embed = _linear(xavier_uniform, patch_key, pixels, width) | {"bias": bias}
    else:
        bound = math.sqrt(6 / (pixels + pixels * width))
        weight = jax.random.uniform(patch_key, (pixels, width), jnp.float32, -bound, bound)
        patch_embed = {"weight": weight, "bias": jnp.zeros(width)}
    codes, block = position_codes(config, width), partial(_plain_block, config, config.encoder_windows)
    params = {
        "patch_embed": patch_embed,
        "position_codes": _with_class_token(codes, class_token=config.class_token),
        "blocks": _blocks(block_key, width, config.depth, block),
        "norm": _norm(width),
    }
    if config.class_token:
        params["class_token"] = token_normal(token_key, (width,))
    return params


def _decoder(config: ModelConfig, key: Key[Array, ""]) -> Params:
    embed_key, token_key, block_key, predict_key = jax.random.split(key, 4)
    width, pixels = config.decoder_width, math.prod(config.patch_size)
    if config.conventions == "audio_mae":
        codes, draw = position_codes(config, width), xavier_uniform
    else:
        codes, draw = sinusoids(np.arange(config.tokens), width), lecun_normal
    if config.decoder_attention == "local":
        block = partial(_local_block, config)
    else:
        block = partial(_plain_block, config, config.decoder_windows)
    params = {
        "embed": _linear(draw, embed_key, config.width, width),
        "mask_token": token_normal(token_key, (width,)),
        "position_codes": _with_class_token(codes, class_token=config.decoder_tokens > config.tokens),
        "blocks": _blocks(block_key, width, config.decoder_depth, block),
        "norm": _norm(width),
        "predict": _linear(draw, predict_key, width, pixels),
    }
    if config.objective != "reconstruction":
        params["contrast"] = _linear(draw, jax.random.fold_in(predict_key, 1), width, pixels)
    return params


BlockMaker = Callable[[int, Key[Array, ""]], Params]


def _blocks(key: Key[Array, ""], width: int, depth: int, make: BlockMaker) -> Params:
    """Blocks of one stack, drawn each with a key of its own."""
    return jax.vmap(partial(make, width))(jax.random.split(key, depth))


def _plain_block(config: ModelConfig, windows: tuple[int, ...], width: int, key: Key[Array, ""]) -> Params:
    qkv_key, out_key, hidden_key, last_key, table_key = jax.random.split(key, 5)
    block = _layers(config, width, qkv_key, out_key, hidden_key, last_key)
    if config.relative_position_bias and any(windows):
        block["attention"]["bias_tables"] = {
            str(head): table_normal(jax.random.fold_in(table_key, head), (2 * window - 1, 1))[:, 0]
            for head, window in enumerate(windows)
            if window
        }
    return block


def _local_block(config: ModelConfig, width: int, key: Key[Array, ""]) -> Params:
    *layer_keys, position_key = jax.random.split(key, 5)
    block = _layers(config, width, *layer_keys)
    hidden_key, out_key = jax.random.split(position_key)
    block["attention"] |= {
        "temperature": jnp.ones(config.decoder_heads),
        "position_mlp": {
            "hidden": _linear(xavier_uniform, hidden_key, 2, POSITION_HIDDEN),
            "out": _linear(xavier_uniform, out_key, POSITION_HIDDEN, config.decoder_heads),
        },
    }
    return block


def _layers(config: ModelConfig, width: int, *keys: Key[Array, ""]) -> Params:
    """What blocks of all kinds have."""
    qkv_key, out_key, hidden_key, last_key = keys
    hidden = config.mlp_ratio * width
    return {
        "norm1": _norm(width),
        "attention": {
            "qkv": _linear(xavier_uniform, qkv_key, width, 3 * width),
            "out": _linear(xavier_uniform, out_key, width, width),
        },
        "norm2": _norm(width),
        "mlp": {
            "hidden": _linear(xavier_uniform, hidden_key, width, hidden),
            "out": _linear(xavier_uniform, last_key, hidden, width),
        },
    }


def _linear(draw: initializers.Initializer, key: Key[Array, ""], size: int, out: int) -> Params:
    return {"weight": draw(key, (size, out), jnp.float32), "bias": jnp.zeros(out)}


def _norm(width: int) -> Params:
    return {"weight": jnp.ones(width), "bias": jnp.zeros(width)}


def _with_class_token(
    codes: Float[np.ndarray, "tokens width"], *, class_token: bool
) -> Float[Array, "rows width"]:
    """Position codes with a row of zeros in front for the class token, where there is one."""
    return jnp.asarray(np.pad(codes, ((int(class_token), 0), (0, 0))), jnp.float32)


def position_codes(config: ModelConfig, width: int) -> Float[np.ndarray, "tokens width"]:
    """2-D codes of all patches; with the grid of Audio-MAE's files the axes of which are swapped."""
    columns, bands = config.grid
    if config.position_grid == "true":
        return sinusoids_2d((columns, bands), width)
    row, column = np.divmod(np.arange(columns * bands), columns)
    return np.concatenate([sinusoids(column, width // 2), sinusoids(row, width // 2)], axis=1)


def sinusoids_2d(grid: tuple[int, int], width: int) -> Float[np.ndarray, "tokens width"]:
    """Code the frequency band in the first half of the channels, the time column in the second."""
    column, band = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.concatenate([sinusoids(band, width // 2), sinusoids(column, width // 2)], axis=1)


def sinusoids(position: np.ndarray, width: int) -> Float[np.ndarray, "tokens width"]:
    """Sines, then cosines of width / 2 rates; in float64, as bfloat16 cannot count positions beyond 256."""
    rate = LONGEST_WAVELENGTH ** (-np.arange(width // 2) / (width // 2))
    angle = position[:, None] * rate
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
