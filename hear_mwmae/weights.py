"""The model file: safetensors that carry their `ModelConfig`; and where the weights of a name are looked for.

Nothing is ever unpickled.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hear_mwmae.config import WEIGHTS_VARIABLE, ModelConfig
from hear_mwmae.encoder import Encoder
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.model_file import (
    DECODER_PREFIX,
    ENCODER_PREFIX,
    check_shapes,
    read_model_header,
    save_model_file,
    unchanged,
)
from hear_mwmae.names import printable


@dataclass(frozen=True)
class Weights:
    """A model's parameters, with the shape of the model and where the parameters came from."""

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    """By name, "encoder." or "decoder." first."""
    provenance: Mapping[str, object] = field(default_factory=dict)


def write_model_file(path: Path, weights: Weights) -> None:
    """Write a model file; it appears under its name only when it is complete.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in weights.tensors.items()}
    save_model_file(path, weights.config, weights.provenance, partial(save_file, tensors))


def read_model_file(path: Path, *, decoder: bool = False) -> Weights:
    """Read a model file: the encoder's parameters, and on request the decoder's, if any.

    They are copies: a file that is overwritten later does not change them.

    Raises:
        UserError: not a model file, one of a newer format, parameters that do not fit its configuration or
            are not finite, or a file that changes meanwhile.
    """
    prefixes = (ENCODER_PREFIX, DECODER_PREFIX) if decoder else (ENCODER_PREFIX,)
    try:
        with unchanged(path):
            header = read_model_header(path)
            with safe_open(path, framework="pt") as file:
                tensors = {
                    name: file.get_tensor(name).clone() for name in header.shapes if name.startswith(prefixes)
                }
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{printable(path)}: not a readable safetensors file ({first_line(error)})."
        ) from None
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{printable(path)}: {name} holds NaN or infinite values; restore the file.")
    return Weights(header.config, tensors, header.provenance)


def build_encoder(weights: Weights, source: str) -> Encoder:
    """Make the encoder around its parameters, without copying those that are float32 already.

    Raises:
        UserError: a missing, superfluous or wrongly shaped parameter; `source` names the file.
    """
    given = {name: value for name, value in weights.tensors.items() if name.startswith(ENCODER_PREFIX)}
    check_shapes(source, {name: tuple(tensor.shape) for name, tensor in given.items()}, weights.config)
    with torch.device("meta"):
        encoder = Encoder(weights.config)
    state = {name.removeprefix(ENCODER_PREFIX): tensor.float() for name, tensor in given.items()}
    encoder.load_state_dict(state, assign=True)
    return encoder


def user_cache() -> Path:
    """Folder for weights that serve every project of a user; $HEAR_MWMAE_CACHE moves it."""
    if chosen := os.environ.get("HEAR_MWMAE_CACHE"):
        return Path(os.path.expanduser(chosen)) / "weights"
    return user_cache_path("hear-mwmae", appauthor=False) / "weights"


def find_weights(name: str) -> Path | None:
    """Find `<name>.safetensors` in $HEAR_MWMAE_WEIGHTS, then in the package, then in the user's cache.

    Raises:
        UserError: $HEAR_MWMAE_WEIGHTS is set but is not a folder.
    """
    folders = [Path(__file__).parent / "data", user_cache()]
    if os.environ.get(WEIGHTS_VARIABLE):
        folders.insert(0, Path(os.environ[WEIGHTS_VARIABLE]))
        if not folders[0].is_dir():
            raise UserError(
                f"{folders[0]}: ${WEIGHTS_VARIABLE} must be a folder that holds files like "
                f"{name}.safetensors; correct or unset it."
            )
    candidates = (folder / f"{name}.safetensors" for folder in folders)
    return next((path for path in candidates if os.path.isfile(path)), None)
