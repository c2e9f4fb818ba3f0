"""The model file in torch: safetensors that carry their `ModelConfig`.

Nothing is ever unpickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hear_mwmae.config import ModelConfig
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
