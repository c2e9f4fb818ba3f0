"""MAE, MW-MAE and Audio-MAE: encode the visible patches, predict the masked ones.

The first two differ in the decoder's heads, and in the released code in the encoder's class token (paper
sections 3.2 and 4.1); Audio-MAE has a front end, a decoder and masks of its own (its supplement). Tokens are
time-major: token t * bands + f is the patch at time column t and frequency band f.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Shaped

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.model.local import local_block
from hear_mwmae.pretrain.model.masks import Mask, make_mask
from hear_mwmae.pretrain.model.transformer import (
    Block,
    Gather,
    Gelu,
    Params,
    exact_gelu,
    gelu_by_tanh,
    layer_norm,
    linear,
    plain_block,
    product_precision,
    run_blocks,
)

__all__ = [
    "Params",
    "embed",
    "encode",
    "forward",
    "init_params",
    "patchify",
    "restore_patches",
    "run_encoder",
    "unpatchify",
]

PATCH_NORM_EPSILON = 1e-6


def forward(
    params: Params,
    features: Float[Array, "batch frames bands"],
    noise: Float[Array, "batch draws"],
    config: ModelConfig,
    *,
    dtype: jnp.dtype = jnp.float32,
    kernel: str = "xla",
    remat: bool = False,
    gather: Gather | None = None,
    intermediates: bool = False,
    dropout_key: Key[Array, ""] | None = None,
) -> dict[str, Any]:
    """Mask, encode, decode and compare.

    Args:
        features: normalised log-mel spectrograms of the model's input size.
        noise: decides the mask, see `masks.make_mask`.
        dtype: of activations and matrix products.
        kernel: see `windows.multi_window_attention`.
        remat: save memory by computing every block twice.
        gather: for blocks that are split over devices, see `transformer.run_blocks`.
        intermediates: also return "encoder" and "decoder", see `transformer.run_blocks`.
        dropout_key: in training, of what a local decoder drops; None where nothing is dropped.

    Returns:
        "losses" [batch] of each clip and "loss", their mean; "prediction" and "target" [batch, tokens,
        pixels]; "mask" [batch, tokens], 1 where a patch is masked. All float32.
    """
    mask = make_mask(noise, config)
    options = {"remat": remat, "gather": gather, "intermediates": intermediates}
    patches = patchify(features, config.patch_size)
    # Gathered before the embedding: only one patch in five has to be embedded.
    visible = jnp.take_along_axis(patches, mask.kept[..., None], axis=1)
    encoded, encoder_out = encode(
        params["encoder"], visible, config, kept=mask.kept, dtype=dtype, kernel=kernel, **options
    )
    with product_precision(dtype):
        decoded, decoder_out = _decode(
            params["decoder"], encoded, mask, config, _decoder_block(config, kernel, dropout_key), **options
        )
        prediction = linear(params["decoder"]["predict"], decoded).astype(jnp.float32)
    target = _normalise_patches(patches, config) if config.norm_pix_loss else patches
    losses = _losses(params["decoder"], decoded, prediction, target, mask, config)
    out = {
        "loss": losses.mean(),
        "losses": losses,
        "prediction": prediction,
        "target": target,
        "mask": mask.masked,
    }
    return out | ({"encoder": encoder_out, "decoder": decoder_out} if intermediates else {})


def _losses(
    params: Params,
    decoded: Float[Array, "batch tokens decoder_width"],
    prediction: Float[Array, "batch tokens pixels"],
    target: Float[Array, "batch tokens pixels"],
    mask: Mask,
    config: ModelConfig,
) -> Float[Array, " batch"]:
    """Return every clip's loss over its masked patches: mean squared error, InfoNCE, or both."""
    losses = jnp.zeros(len(decoded))
    if config.objective != "contrastive":
        error = jnp.square(prediction - target).mean(axis=-1)
        losses += (error * mask.masked).sum(axis=1) / mask.hidden.shape[1]
    if config.objective != "reconstruction":
        at_masked = partial(jnp.take_along_axis, indices=mask.hidden[..., None], axis=1)
        with product_precision(decoded.dtype):
            context = linear(params["contrast"], at_masked(decoded)).astype(jnp.float32)
        weight = config.contrastive_weight if config.objective == "both" else 1.0
        losses += weight * info_nce(context, at_masked(target))
    return losses


def info_nce(
    context: Float[Array, "batch masked pixels"], values: Float[Array, "batch masked pixels"]
) -> Float[Array, " batch"]:
    """Return how badly each context tells its own patch from the clip's others (supplement, equation 1).

    Dot products, without a temperature.
    """
    logits = jnp.einsum("bip,bjp->bij", context, values, preferred_element_type=jnp.float32)
    return -jnp.diagonal(jax.nn.log_softmax(logits, axis=-1), axis1=1, axis2=2).mean(axis=-1)


def encode(
    params: Params,
    patches: Float[Array, "batch visible pixels"],
    config: ModelConfig,
    *,
    kept: Int[Array, "batch visible"] | None = None,
    dtype: jnp.dtype = jnp.float32,
    kernel: str = "xla",
    **options: Any,
) -> tuple[Float[Array, "batch rows width"], dict[str, Any]]:
    """Encode patches; the class token, where the model has one, comes first.

    Args:
        kept: which patches these are; None for all of them in order.
        options: see `transformer.run_blocks`, as is the dictionary that is returned.
    """
    x, out = run_encoder(params, patches, config, kept=kept, dtype=dtype, kernel=kernel, **options)
    return layer_norm(params["norm"], x), out


def run_encoder(
    params: Params,
    patches: Float[Array, "batch visible pixels"],
    config: ModelConfig,
    *,
    kept: Int[Array, "batch visible"] | None = None,
    dtype: jnp.dtype = jnp.float32,
    kernel: str = "xla",
    branches: Float[Array, "depth branch batch"] | None = None,
    **options: Any,
) -> tuple[Float[Array, "batch rows width"], dict[str, Any]]:
    """Return what the last block gives, not yet normalised; `branches` as in `transformer.plain_block`."""
    codes = _position_codes(params, config)
    patch_codes = codes[config.class_token + kept] if kept is not None else codes[config.class_token :]
    with product_precision(dtype):
        x = linear(params["patch_embed"], patches.astype(dtype)) + patch_codes
        if config.class_token:
            first = jnp.broadcast_to(params["class_token"] + codes[0], (len(x), 1, config.width))
            x = jnp.concatenate([first, x], axis=1)
        block = partial(_plain(config, config.heads, config.encoder_windows, kernel), branches=branches)
        return run_blocks(params["blocks"], x.astype(dtype), block, **options)


def embed(
    params: Params, features: Float[Array, "batch frames bands"], config: ModelConfig
) -> Float[Array, "batch columns size"]:
    """Embed unmasked spectrograms: a time column's bands concatenated, or in Audio-MAE their mean.

    The class token is dropped.
    """
    tokens, _ = encode(params["encoder"], patchify(features, config.patch_size), config)
    columns = tokens[:, config.class_token :].reshape(len(features), *config.grid, config.width)
    if config.conventions == "audio_mae":
        return columns.mean(axis=2)
    return columns.reshape(len(features), config.grid[0], config.embedding_size)


def _plain(config: ModelConfig, heads: int, windows: tuple[int, ...], kernel: str) -> partial[Array]:
    gelu: Gelu = exact_gelu if config.conventions == "audio_mae" else gelu_by_tanh
    return partial(plain_block, heads=heads, windows=windows, kernel=kernel, gelu=gelu)


def _decoder_block(config: ModelConfig, kernel: str, dropout_key: Key[Array, ""] | None) -> Block:
    if config.decoder_attention == "global":
        return _plain(config, config.decoder_heads, config.decoder_windows, kernel)
    return partial(
        local_block,
        grid=config.grid,
        heads=config.decoder_heads,
        shift=config.decoder_shift,
        dropout_key=dropout_key,
    )


def _decode(
    params: Params,
    encoded: Float[Array, "batch rows width"],
    mask: Mask,
    config: ModelConfig,
    block: Block,
    **options: Any,
) -> tuple[Float[Array, "batch tokens decoder_width"], dict[str, Any]]:
    """Put mask tokens where patches are missing and return what the decoder makes of all, normalised."""
    x = linear(params["embed"], encoded)
    class_row, visible = x[:, : config.class_token], x[:, config.class_token :]
    missing = (*mask.hidden.shape, config.decoder_width)
    mask_tokens = jnp.broadcast_to(params["mask_token"].astype(x.dtype), missing)
    x = jnp.concatenate([visible, mask_tokens], axis=1)
    x = jnp.take_along_axis(x, mask.restore[..., None], axis=1)
    with_class_row = config.decoder_tokens > config.tokens
    if with_class_row:
        x = jnp.concatenate([class_row, x], axis=1)
    x = (x + _position_codes(params, config)).astype(encoded.dtype)
    x, out = run_blocks(params["blocks"], x, block, **options)
    return layer_norm(params["norm"], x)[:, int(with_class_row) :], out


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
    patches: Float[Array, "batch tokens pixels"], config: ModelConfig
) -> Float[Array, "batch tokens pixels"]:
    """Give every patch the mean 0 and the deviation 1: the population's, or in Audio-MAE that by n - 1."""
    centred, deviation = _centred_patches(patches, config)
    return centred / deviation


def restore_patches(
    normalised: Float[Array, "batch tokens pixels"],
    patches: Float[Array, "batch tokens pixels"],
    config: ModelConfig,
) -> Float[Array, "batch tokens pixels"]:
    """Give normalised patches the mean and deviation that those of `patches` have."""
    _, deviation = _centred_patches(patches, config)
    return normalised * deviation + patches.mean(axis=-1, keepdims=True)


def _centred_patches(
    patches: Float[Array, "batch tokens pixels"], config: ModelConfig
) -> tuple[Float[Array, "batch tokens pixels"], Float[Array, "batch tokens 1"]]:
    centred = patches - patches.mean(axis=-1, keepdims=True)
    # The mean's rounding, which would count a thousandfold in a constant patch.
    centred -= centred.mean(axis=-1, keepdims=True)
    divisor = patches.shape[-1] - (config.conventions == "audio_mae")
    variance = jnp.square(centred).sum(axis=-1, keepdims=True) / divisor
    return centred, jnp.sqrt(variance + PATCH_NORM_EPSILON)
