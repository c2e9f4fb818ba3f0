"""MAE and MW-MAE: encode the visible patches, predict the masked ones (paper sections 3.2 and 4.1).

The two differ in the decoder's heads, and in the released code in the encoder's class token. Tokens are
time-major: token t * bands + f is the patch at time column t and frequency band f.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.model.masks import random_mask
from hear_mwmae.pretrain.model.transformer import (
    Gather,
    Params,
    layer_norm,
    linear,
    product_precision,
    run_blocks,
)

__all__ = ["Params", "embed", "encode", "forward", "init_params", "patchify", "unpatchify"]

PATCH_NORM_EPSILON = 1e-6


def forward(
    params: Params,
    features: Float[Array, "batch frames bands"],
    noise: Float[Array, "batch tokens"],
    config: ModelConfig,
    *,
    dtype: jnp.dtype = jnp.float32,
    kernel: str = "xla",
    remat: bool = False,
    gather: Gather | None = None,
    intermediates: bool = False,
) -> dict[str, Any]:
    """Mask, encode, decode and compare.

    Args:
        features: standardised log-mel spectrograms of the model's input size.
        noise: decides the mask, see `masking.random_mask`.
        dtype: of activations and matrix products.
        kernel: see `windows.multi_window_attention`.
        remat: save memory by computing every block twice.
        gather: for blocks that are split over devices, see `transformer.run_blocks`.
        intermediates: also return "encoder" and "decoder", see `transformer.run_blocks`.

    Returns:
        "loss", the mean squared error over masked patches; "prediction" and "target" [batch, tokens, pixels];
        "mask" [batch, tokens], 1 where a patch is masked. All float32.
    """
    mask = random_mask(noise, config.kept_tokens)
    options = {"kernel": kernel, "remat": remat, "gather": gather, "intermediates": intermediates}
    patches = patchify(features, config.patch_size)
    # Gathered before the embedding: only one patch in five has to be embedded.
    visible = jnp.take_along_axis(patches, mask.kept[..., None], axis=1)
    encoded, encoder_out = encode(params["encoder"], visible, config, kept=mask.kept, dtype=dtype, **options)
    with product_precision(dtype):
        prediction, decoder_out = _decode(params["decoder"], encoded, mask.restore, config, **options)
    target = _normalise_patches(patches) if config.norm_pix_loss else patches
    error = jnp.square(prediction - target).mean(axis=-1)
    count = len(error) * (config.tokens - config.kept_tokens)
    out = {
        "loss": (error * mask.masked).sum() / count,
        "prediction": prediction,
        "target": target,
        "mask": mask.masked,
    }
    return out | ({"encoder": encoder_out, "decoder": decoder_out} if intermediates else {})


def encode(
    params: Params,
    patches: Float[Array, "batch visible pixels"],
    config: ModelConfig,
    *,
    kept: Int[Array, "batch visible"] | None = None,
    dtype: jnp.dtype = jnp.float32,
    **options: Any,
) -> tuple[Float[Array, "batch rows width"], dict[str, Any]]:
    """Encode patches; the class token, where the model has one, comes first.

    Args:
        kept: which patches these are; None for all of them in order.
        options: see `transformer.run_blocks`, as is the dictionary that is returned.
    """
    codes = _position_codes(params, config)
    patch_codes = codes[config.class_token + kept] if kept is not None else codes[config.class_token :]
    with product_precision(dtype):
        x = linear(params["patch_embed"], patches.astype(dtype)) + patch_codes
        if config.class_token:
            first = jnp.broadcast_to(params["class_token"] + codes[0], (len(x), 1, config.width))
            x = jnp.concatenate([first, x], axis=1)
        x, out = run_blocks(
            params["blocks"], x.astype(dtype), heads=config.heads, windows=config.encoder_windows, **options
        )
    return layer_norm(params["norm"], x), out


def embed(
    params: Params, features: Float[Array, "batch frames bands"], config: ModelConfig
) -> Float[Array, "batch columns size"]:
    """Embed unmasked spectrograms: the tokens of a time column's bands, concatenated; class token dropped."""
    tokens, _ = encode(params["encoder"], patchify(features, config.patch_size), config)
    return tokens[:, config.class_token :].reshape(len(features), config.grid[0], config.embedding_size)


def _decode(
    params: Params,
    encoded: Float[Array, "batch rows width"],
    restore: Int[Array, "batch tokens"],
    config: ModelConfig,
    **options: Any,
) -> tuple[Float[Array, "batch tokens pixels"], dict[str, Any]]:
    """Put mask tokens where patches are missing and predict the pixels of all patches, in float32."""
    x = linear(params["embed"], encoded)
    class_row, visible = x[:, : config.class_token], x[:, config.class_token :]
    missing = (len(x), restore.shape[1] - visible.shape[1], config.decoder_width)
    mask_tokens = jnp.broadcast_to(params["mask_token"].astype(x.dtype), missing)
    x = jnp.take_along_axis(jnp.concatenate([visible, mask_tokens], axis=1), restore[..., None], axis=1)
    with_class_row = config.decoder_tokens > config.tokens
    if with_class_row:
        x = jnp.concatenate([class_row, x], axis=1)
    x = (x + _position_codes(params, config)).astype(encoded.dtype)
    x, out = run_blocks(
        params["blocks"], x, heads=config.decoder_heads, windows=config.decoder_windows, **options
    )
    prediction = linear(params["predict"], layer_norm(params["norm"], x))
    return prediction[:, int(with_class_row) :].astype(jnp.float32), out


def _position_codes(params: Params, config: ModelConfig) -> Float[Array, "rows width"]:
    codes = params["position_codes"]
    return jax.lax.stop_gradient(codes) if config.position_codes == "fixed" else codes


def patchify(
    features: Float[Array, "batch frames bands"], patch_size: tuple[int, int]
) -> Float[Array, "batch tokens pixels"]:
    """Cut into patches; both the patches and the pixels of a patch are time-major."""
    batch, frames, bands = features.shape
    columns, rows = frames // patch_size[0], bands // patch_size[1]
    tiles = features.reshape(batch, columns, patch_size[0], rows, patch_size[1]).swapaxes(2, 3)
    return tiles.reshape(batch, columns * rows, patch_size[0] * patch_size[1])


def unpatchify(
    patches: Shaped[Array, "batch tokens pixels"], config: ModelConfig
) -> Shaped[Array, "batch frames bands"]:
    """Undo `patchify`, of values or of a mask."""
    (columns, rows), patch_size = config.grid, config.patch_size
    tiles = patches.reshape(len(patches), columns, rows, *patch_size).swapaxes(2, 3)
    return tiles.reshape(len(patches), *config.input_size)


def _normalise_patches(
    patches: Float[Array, "batch tokens pixels"],
) -> Float[Array, "batch tokens pixels"]:
    mean = patches.mean(axis=-1, keepdims=True)
    variance = patches.var(axis=-1, keepdims=True)
    return (patches - mean) / jnp.sqrt(variance + PATCH_NORM_EPSILON)
