"""What the commands are given: sound files, and a model by its file or name."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.analysis.front_ends import SAMPLE_RATE
from hear_mwmae.analysis.pieces import analyse
from hear_mwmae.analysis.trained import TrainedModel
from hear_mwmae.audio import read_sound
from hear_mwmae.config import named_model
from hear_mwmae.errors import UserError
from hear_mwmae.named_weights import find_weights
from hear_mwmae.names import printable


def model_file(given: str) -> Path:
    """Return the path that was given, or where the weights of a named model are.

    Raises:
        UserError: neither a file *.safetensors nor a named model that has weights.
    """
    if Path(given).suffix == ".safetensors":
        return Path(given)
    named_model(given)
    found = find_weights(given)
    if found is None:
        raise UserError(f"There are no weights for {given}: name the model file itself.")
    return found


def read_clip(path: Path, model: TrainedModel, *, remark: bool = False) -> Float[np.ndarray, " samples"]:
    """Return a file's sound at the model's rate; with `remark` what is doubtful about it is warned of.

    Raises:
        UserError: a file that cannot be decoded, or a sound that the model can do nothing with.
    """
    sound = read_sound(path, SAMPLE_RATE)
    for sentence in sound.remarks if remark else ():
        warnings.warn(f"{printable(path)}: {sentence}", stacklevel=2)
    try:
        analyse(model, sound.samples)
    except UserError as error:
        raise UserError(f"{printable(path)}: {error}") from None
    return sound.samples
