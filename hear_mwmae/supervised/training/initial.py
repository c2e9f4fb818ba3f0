"""What supervised training departs from: the encoder of a model file, or random weights, at a new length."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.model.initialise import init_params, position_codes
from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.training.export import import_encoder

ENCODER_FIELDS = (
    "front_end", "conventions", "patch_size", "width", "depth", "heads", "mlp_ratio", "class_token",
    "encoder_windows",
)  # fmt: skip
"""Fields of `ModelConfig` that the parameters of an encoder are of."""


def check_encoder(path: Path | str, found: ModelConfig, wanted: ModelConfig) -> None:
    """Refuse a file, or a name, of another encoder than a run is of.

    Raises:
        UserError: it says in what they differ.
    """
    differences = [
        f"{name} is {getattr(found, name)}, not {getattr(wanted, name)}"
        for name in ENCODER_FIELDS
        if getattr(found, name) != getattr(wanted, name)
    ]
    if differences:
        raise UserError(
            f"{printable(path)}: is of another model than this run: {'; '.join(differences)}. Give the file "
            "of the model, or name another model with --config."
        )


def with_frames(model: ModelConfig, frames: int) -> ModelConfig:
    """Return a model that reads so many frames; only its encoder is kept, the decoder's fields are the least.

    Raises:
        UserError: patches or windows that do not fit.
    """
    return dataclasses.replace(
        model,
        input_size=(frames, model.input_size[1]),
        decoder_attention="global",
        decoder_windows=(),
        decoder_depth=1,
        decoder_width=4,
        decoder_heads=1,
        objective="reconstruction",
    )


def random_encoder(model: ModelConfig, seed: int) -> Params:
    """Draw the parameters of an encoder as before pre-training."""
    return init_params(model, jax.random.key(seed))["encoder"]


def read_encoder(path: Path, model: ModelConfig) -> Params:
    """Read the encoder of a model file, its position codes adapted to the length that `model` reads.

    Raises:
        UserError: no model file, one of another encoder, or codes that cannot be continued.
    """
    found, params = import_encoder(path)
    check_encoder(path, found, model)
    codes = adapt_codes(params["position_codes"], found, model, source=printable(path))
    return params | {"position_codes": codes}


def adapt_codes(
    codes: Float[np.ndarray, "rows width"], old: ModelConfig, new: ModelConfig, *, source: str
) -> Float[np.ndarray, "new_rows width"]:
    """Return position codes for another number of columns.

    For fewer columns those of the first are kept, so that each patch has the code that it was trained with.
    For more, fixed sinusoids go on as they began, and trained codes are interpolated linearly in time between
    the middles of the old columns.

    Raises:
        UserError: more columns, and the swapped grid of Audio-MAE's released files, which has no next column.
    """
    first, bands = codes[: old.class_token], old.grid[1]
    grid = codes[old.class_token :].reshape(old.grid[0], bands, -1)
    if new.grid[0] <= old.grid[0]:
        grid = grid[: new.grid[0]]
    elif old.position_codes == "fixed" and old.position_grid == "true":
        grid = position_codes(new, new.width).reshape(new.grid[0], bands, -1)
    elif old.position_codes == "fixed":
        raise UserError(
            f"{source}: its position codes are of {old.grid[0]} columns and cannot be continued to "
            f"{new.grid[0]}; read at most {old.input_size[0]} frames of a clip (--frames)."
        )
    else:
        grid = jax.image.resize(jnp.asarray(grid), (new.grid[0], *grid.shape[1:]), "linear", antialias=False)
    return np.concatenate([first, np.asarray(grid, np.float32).reshape(-1, codes.shape[1])])


def describe_codes(old: ModelConfig, new: ModelConfig) -> str:
    """Say in a few words what `adapt_codes` does."""
    if new.grid[0] == old.grid[0]:
        return "position codes as they are"
    if new.grid[0] < old.grid[0]:
        return f"position codes of the first {new.grid[0]} of {old.grid[0]} columns"
    how = "continued" if old.position_codes == "fixed" else "interpolated"
    return f"position codes {how} from {old.grid[0]} to {new.grid[0]} columns"
