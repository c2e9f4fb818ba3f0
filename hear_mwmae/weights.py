"""The model file: safetensors that carry their `ModelConfig`; and where the weights of a name are looked for.

Nothing is ever unpickled.
"""

import json
import os
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
from hear_mwmae.errors import UserError
from hear_mwmae.model_file import DECODER_PREFIX, ENCODER_PREFIX, FORMAT, FORMAT_VERSION, save_model_file

WEIGHTS_VARIABLE = "HEAR_MWMAE_WEIGHTS"


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
    """Read a model file: the encoder's parameters, mapped into memory, and on request the decoder's, if any.

    Raises:
        UserError: not a model file, one of a newer format, or parameters that do not fit its configuration.
    """
    prefixes = (ENCODER_PREFIX, DECODER_PREFIX) if decoder else (ENCODER_PREFIX,)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefixes)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}).") from None
    if metadata.get("format") != FORMAT or "config" not in metadata:
        raise UserError(f"{path}: carries no model configuration; write it with `hear-mwmae convert`.")
    if metadata.get("format_version") != FORMAT_VERSION:
        version = metadata.get("format_version")
        raise UserError(f"{path}: has format version {version}, not {FORMAT_VERSION}: update this package.")
    config = ModelConfig.from_json(metadata["config"], source=str(path))
    return Weights(config, tensors, json.loads(metadata.get("provenance", "{}")))


def build_encoder(weights: Weights, source: str) -> Encoder:
    """Make the encoder around its parameters, without copying those that are float32 already.

    Raises:
        UserError: a missing, superfluous or wrongly shaped parameter; `source` names the file.
    """
    with torch.device("meta"):
        encoder = Encoder(weights.config)
    given = {
        name.removeprefix(ENCODER_PREFIX): tensor
        for name, tensor in weights.tensors.items()
        if name.startswith(ENCODER_PREFIX)
    }
    wanted = encoder.state_dict()
    for name in sorted(wanted.keys() | given.keys()):
        found = "missing" if name not in given else f"of shape {tuple(given[name].shape)}"
        needed = "none" if name not in wanted else f"shape {tuple(wanted[name].shape)}"
        if name not in given or name not in wanted or given[name].shape != wanted[name].shape:
            raise UserError(
                f"{source}: encoder parameter {name} is {found} where the model has {needed}; "
                "the weights are of another model: name the one they were trained as."
            )
    encoder.load_state_dict({name: tensor.float() for name, tensor in given.items()}, assign=True)
    return encoder


def user_cache() -> Path:
    """Folder for weights that serve every project of a user; $HEAR_MWMAE_CACHE moves it."""
    if chosen := os.environ.get("HEAR_MWMAE_CACHE"):
        return Path(chosen).expanduser() / "weights"
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear-mwmae" / "weights"


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
    return next((path for path in candidates if path.is_file()), None)
