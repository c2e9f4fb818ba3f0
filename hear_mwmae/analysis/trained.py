"""A model of a file with its decoder, and what it puts in place of masked patches."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hear_mwmae.analysis.front_ends import FrontEnd, front_end
from hear_mwmae.analysis.masking import PieceMask
from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.model_file import DECODER_PREFIX, read_model_header
from hear_mwmae.names import printable
from hear_mwmae.pretrain.model.mae import (
    Params,
    forward,
    patchify,
    restore_patches,
    unpatchify,
)
from hear_mwmae.pretrain.training.export import import_params


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model of sound that predicts spectrograms."""

    name: str
    """Of its file, as it can be shown."""
    config: ModelConfig
    params: Params

    @property
    def front_end(self) -> FrontEnd:
        """What it reads."""
        return front_end(self.config.front_end)


def load_trained(path: Path) -> TrainedModel:
    """Read a model file that has a decoder.

    Raises:
        UserError: no such file, no decoder in it, or a model that does not predict spectrograms of sound.
    """
    name = printable(path)
    if not path.is_file():
        raise UserError(f"{name}: there is no such file; correct the path of the model.")
    header = read_model_header(path)
    if header.config.front_end == "rgb_224":
        raise UserError(f"{name}: is a model of pictures; name a model of sound.")
    if header.config.objective == "contrastive":
        raise UserError(
            f"{name}: was trained with the contrastive objective alone, and never learnt to predict patches."
        )
    if not any(tensor.startswith(DECODER_PREFIX) for tensor in header.shapes):
        raise UserError(
            f"{name}: has no decoder; export it without --encoder-only, or convert it with --decoder."
        )
    config, params = import_params(path)
    return TrainedModel(printable(path.name), config, params)


def predict(
    model: TrainedModel, features: Float[np.ndarray, "frames bands"], mask: PieceMask
) -> tuple[Float[np.ndarray, "frames bands"], Bool[np.ndarray, "frames bands"]]:
    """Return what the model makes of one input under a mask, and which cells the mask hides.

    Of a model trained with `norm_pix_loss` the true mean and deviation of every patch are put back.
    """
    noise = np.asarray(mask.noise, np.float32)
    prediction, masked = _predict(model.params, features[None], noise[None], config=mask.config)
    return np.asarray(prediction[0]), np.asarray(masked[0])


@partial(jax.jit, static_argnames="config")
def _predict(
    params: Params,
    features: Float[Array, "batch frames bands"],
    noise: Float[Array, "batch draws"],
    config: ModelConfig,
) -> tuple[Float[Array, "batch frames bands"], Bool[Array, "batch frames bands"]]:
    out = forward(params, features, noise, config)
    prediction = out["prediction"]
    truth = patchify(features, config.patch_size)
    if config.norm_pix_loss:
        prediction = restore_patches(prediction, truth, config)
    masked = jnp.broadcast_to(out["mask"][..., None] > 0, truth.shape)
    return unpatchify(prediction, config), unpatchify(masked, config)
