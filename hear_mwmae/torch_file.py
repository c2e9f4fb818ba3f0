"""Weights that `torch.save` wrote, read without running code from them: tensors by name, nothing else."""

import argparse
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hear_mwmae.errors import UserError, first_line
from hear_mwmae.model_file import unchanged
from hear_mwmae.names import printable

SUFFIXES = (".pth", ".pt")
ZIP_START = b"PK\x03\x04"
"""What `torch.save` writes is a ZIP archive, since its version 1.6."""


def is_torch_file(path: Path) -> bool:
    """Tell whether a path is a file whose name or first bytes are those of weights of torch.

    Raises:
        UserError: the file cannot be read.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return path.suffix in SUFFIXES or file.read(len(ZIP_START)) == ZIP_START
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read ({error.strerror}).") from None


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, without running code from it; onto the CPU.

    Training scripts save their arguments beside the weights, hence `argparse.Namespace` is let through.

    Raises:
        UserError: no such file of torch, one that holds more than tensors and plain values, or one that
            changes while it is read.
    """
    name = printable(path)
    try:
        allowed = torch.serialization.safe_globals([argparse.Namespace])
        with unchanged(path), allowed, warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # of broken bytes torch's reader raises whatever comes
        reason = "it is none, or damaged"
        if isinstance(error, pickle.UnpicklingError):
            reason = "it holds other things than tensors and plain values"
        elif isinstance(error, OSError | RuntimeError):
            reason = printable(first_line(error, 120))
        raise UserError(
            f"{name}: cannot be read as weights of torch ({reason}); download it again, or name another file."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: holds a {type(content).__name__}, not named weights; name another file.")
    return content


def tensors_of(content: Mapping[str, Any], path: Path, *, key: str) -> dict[str, Tensor]:
    """Return the tensors by name: those under `key` where the file has such a key.

    Raises:
        UserError: a value under a name that is no tensor of floating-point numbers, or one larger than what
            the file holds of it.
    """
    named = content.get(key, content)
    if not isinstance(named, Mapping):
        raise UserError(f"{printable(path)}: its entry '{key}' holds no named weights; name another file.")
    for name, value in named.items():
        if not isinstance(name, str) or not _is_plain(value):
            kind = "tensor of another kind" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"{printable(path)}: its entry '{printable(str(name))[:80]}' is a {kind}, not a tensor of "
                "floating-point numbers; name another file."
            )
    return dict(named)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor that the file holds all numbers of: strides can make few look like many."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.is_floating_point()
        and value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    )
