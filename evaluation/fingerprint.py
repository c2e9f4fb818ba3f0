"""What a model's embeddings depend on, as one hash: weights, source, options, sample rate."""

import ast
import hashlib
import importlib.util
import json
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch

Kind = Literal["torch", "tensorflow", "keras"]

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def fingerprint(
    settings: Mapping[str, Any],
    module: ModuleType,
    weights: Sequence[tuple[str, np.ndarray]],
    weights_path: str,
) -> str:
    """Return the SHA-256 (hex) of all that decides what the model answers.

    `settings` are the module's name, options and sample rate; `weights` what the framework knows of;
    `weights_path` ("" for none) is hashed too, because a model may keep weights where no framework sees
    them. The source is that of the module and of every module of its own that it imports.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in own_sources(module):
        digest.update(path.name.encode() + _file_digest(path))
    for path in _files(weights_path):
        digest.update(path.name.encode() + _file_digest(path))
    for name, array in weights:
        digest.update(f"{name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def named_weights(model: Any, kind: Kind) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every weight that the model's framework knows of, by name, as arrays of its bit patterns."""
    if kind == "torch":
        for name, tensor in sorted(model.state_dict().items()):
            if isinstance(tensor, torch.Tensor):
                tensor = tensor.detach().cpu().contiguous()
                yield f"{name} {tensor.dtype}", _bit_pattern(tensor)
    else:
        variables = model.weights if kind == "keras" else model.variables
        for index, variable in enumerate(variables):
            yield f"{index} {variable.name}", np.asarray(variable.numpy())


def own_sources(module: ModuleType) -> list[Path]:
    """Return the source files of a module and of what it imports, directly or not, from its own project.

    Its own project is its top-level package; a module without a package
    also owns the modules in its folder. Nothing is imported to find out.
    """
    top = module.__name__.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = [top, module.__name__]
    while waiting:
        name = waiting.pop()
        if name in found or not _is_own(name.partition(".")[0], top, module):
            continue
        if (path := _source_of(name)) is not None:
            found[name] = path
            waiting += _imported_names(path, name)
    return [found[name] for name in sorted(found)]


def _is_own(package: str, top: str, module: ModuleType) -> bool:
    """Whether a top-level module or package is of the project of `module`, whose top level is `top`."""
    if package == top:
        return True
    if "." in module.__name__ or hasattr(module, "__path__"):
        return False
    folder = Path(module.__file__).parent
    return any(path.is_relative_to(folder) and not _is_installed(path) for path in _places(package))


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed package: an environment may lie in the folder."""
    return path.is_relative_to(sysconfig.get_path("stdlib")) or not _INSTALLED.isdisjoint(path.parts)


def _places(package: str) -> list[Path]:
    """Return the folders of a top-level package, or the file of a module; [] when there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []


def _source_of(name: str) -> Path | None:
    """Return a module's file by its place below the top-level package: asking Python imports its parents."""
    top, *parts = name.split(".")
    for place in _places(top):
        inner = place.joinpath(*parts)
        candidates = (inner,) if not parts else (inner.with_name(f"{inner.name}.py"),)
        for path in (inner / "__init__.py", *candidates):
            if path.is_file():
                return path
    return None


def _imported_names(path: Path, name: str) -> list[str]:
    """Return the absolute names that a file imports; `from a import b` may mean the module a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # imported at most under a condition, or the module would not have loaded
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # relative, and the file is not in a package as it is imported here
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return names


def _bit_pattern(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor as numpy; bfloat16, which numpy lacks, as 16-bit integers."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _files(path: str) -> list[Path]:
    if not path:
        return []
    root = Path(path)
    return [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())


def _file_digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
