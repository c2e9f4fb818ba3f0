"""Tensors of released files: nothing else is unpickled, and every one must have its place in the model."""

import argparse
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.errors import EvaluationError


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, without running code from it; onto the CPU.

    Training scripts save their arguments beside the weights, hence `argparse.Namespace` is let through.
    Raises EvaluationError: no such file of torch, or one that holds more than tensors and plain values.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0][:120]
        raise EvaluationError(
            f"{path} cannot be read as weights of torch ({reason}); download it again, or name another file"
        ) from None
    if not isinstance(content, dict):
        raise EvaluationError(
            f"{path} holds a {type(content).__name__}, not named weights; name another file"
        )
    return content


def tensors_of(content: Mapping[str, Any], path: Path, *, key: str = "") -> dict[str, Tensor]:
    """Return the tensors by name: those under `key` where the file has such a key.

    Raises EvaluationError: a value under a name that is no tensor.
    """
    named = content.get(key, content)
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise EvaluationError(
                f"{path} is no released file of this model: its entry '{name}' is a {type(value).__name__}, "
                "no tensor; name another file"
            )
    return dict(named)


def without(tensors: Mapping[str, Tensor], prefixes: Iterable[str]) -> dict[str, Tensor]:
    """Leave out the tensors whose names start with one of the prefixes: parts that embedding does not use."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(prefixes))}


def require(tensors: Mapping[str, Tensor], names: Iterable[str], path: Path) -> None:
    """Raise EvaluationError, naming the first one missing, unless the file holds all these tensors."""
    for name in names:
        if name not in tensors:
            raise EvaluationError(
                f"{path} is no released file of this model: it lacks '{name}'; name another file"
            )


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    released_name: Callable[[str], str] = str,
) -> None:
    """Give a module these weights as float32, each in its place; the module may be on the meta device.

    Raises EvaluationError: a missing, superfluous or wrongly shaped tensor; the sentence names it, in the
    words of `released_name` where the module has names of its own.
    """
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        needed = tuple(wanted[name].shape) if name in wanted else "no such tensor"
        if found != needed:
            raise EvaluationError(
                f"{path} does not fit the model: '{released_name(name)}' is {found} where the model has "
                f"{needed}; name the released file of this model"
            )
    module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
