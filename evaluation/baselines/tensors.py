"""Tensors of released files: nothing else is unpickled, and every one must have its place in the model."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from evaluation.errors import EvaluationError
from hear_mwmae import torch_file
from hear_mwmae.errors import UserError


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, without running code from it, as `hear_mwmae.torch_file` does.

    Raises EvaluationError: no such file of torch, or one that holds more than tensors and plain values.
    """
    try:
        return torch_file.read_torch_file(path)
    except UserError as error:
        raise EvaluationError(str(error).rstrip(".")) from error


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
