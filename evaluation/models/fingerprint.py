"""What a model's embeddings depend on, as one hash: weights, source, options, sample rate."""

import ast
import hashlib
import importlib.util
import json
import sys
import sysconfig
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from evaluation.models.marks import FileMark, FileState, file_state, mark_file

Kind = Literal["torch", "tensorflow", "keras"]

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def fingerprint(
    settings: Mapping[str, Any],
    sources: Mapping[Path, FileMark],
    given: Mapping[Path, FileMark],
    weights: Sequence[tuple[str, np.ndarray]],
    found: Mapping[Path, FileMark],
) -> str:
    """Return the SHA-256 (hex) of all that decides what the model answers.

    `settings` are the module's name, options and sample rate; `sources` those of the module and of every
    module of its own that it imports; `given` the weights of the command line, hashed too because a model may
    keep weights where no framework sees them; `weights` what the framework knows of; `found` other files that
    the module names or reads.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path, mark in [*sources.items(), *given.items()]:
        digest.update(path.name.encode() + mark.digest)
    for name, array in weights:
        digest.update(f"{name} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    for path, mark in sorted(found.items()):
        digest.update(path.name.encode() + mark.digest)
    return digest.hexdigest()


def weights_digest(weights: Sequence[tuple[str, np.ndarray]]) -> dict[str, bytes]:
    """Return the SHA-256 of every weight by its name."""
    return {name: hashlib.sha256(np.ascontiguousarray(array).data).digest() for name, array in weights}


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


_imported: weakref.WeakKeyDictionary[ModuleType, FileMark] = weakref.WeakKeyDictionary()
"""The source of every module that was imported for a model, as it was then: what Python runs since."""


def source_marks(module: ModuleType) -> dict[Path, FileMark]:
    """Return the sources of a module and of its project as Python has read them; OSError if one is gone."""
    marks = {}
    for name, path in _module_sources(module.__name__, module.__file__, hasattr(module, "__path__")).items():
        loaded = sys.modules.get(name)
        known = _imported.get(loaded) if isinstance(loaded, ModuleType) else None
        marks[path] = known or mark_file(path, source=True)
        if isinstance(loaded, ModuleType):
            _imported[loaded] = marks[path]
    return marks


def states_before_import(name: str) -> dict[Path, FileState | None]:
    """Return the states of the sources that importing a module will read: none if it is imported already."""
    if name in sys.modules:
        return {}
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # whatever the packages above it raise, importing it says
        return {}
    if spec is None or not spec.origin:
        return {}
    sources = _module_sources(name, spec.origin, spec.submodule_search_locations is not None)
    return {path: file_state(path) for own, path in sources.items() if own not in sys.modules}


def own_sources(module: ModuleType) -> list[Path]:
    """Return the source files of a module and of what it imports, directly or not, from its own project.

    Its own project is its top-level package, the file of which counts too, and for a module of ours both of
    our packages that make models; a module without a package also owns the modules in its folder. What only a
    type checker imports does not count, what a function imports does. Nothing is imported to find out.
    """
    return list(_module_sources(module.__name__, module.__file__, hasattr(module, "__path__")).values())


def _module_sources(module: str, file: str | None, is_package: bool) -> dict[str, Path]:
    """Return the files of `own_sources` by the names of their modules."""
    top = module.partition(".")[0]
    alone = Path(file).parent if file and "." not in module and not is_package else None
    found: dict[str, Path] = {}
    waiting, seen = [(top, False), (module, False)], set()
    while waiting:
        name, whole = waiting.pop()
        if (name, whole) in seen or not _is_own_module(name.partition(".")[0], top, alone):
            continue
        seen.add((name, whole))
        if (path := _source_of(name)) is not None:
            found[name] = path
            waiting += [(i.module, i.whole) for i in _imports_of_source(path, name) if whole or not i.typing]
            continue
        package, _, attribute = name.rpartition(".")
        if package and (path := _source_of(package)) is not None:
            lazy = [i.module for i in _imports_of_source(path, package) if i.typing and i.bound == attribute]
            waiting += [(module, False) for module in lazy]
    return {name: found[name] for name in sorted(found)}


_OURS = frozenset({"evaluation", "hear_mwmae"})
"""Packages of this project: baselines of the one are made of parts of the other."""


def _is_own_module(package: str, top: str, alone: Path | None) -> bool:
    """Whether a top-level module or package is of a project: its package, or all in the folder `alone`."""
    if package == top or {package, top} <= _OURS:
        return True
    if alone is None:
        return False
    return any(
        path.is_relative_to(alone) and not _is_installed_module(path) for path in _import_places(package)
    )


def _is_installed_module(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed package: an environment may lie in the folder."""
    return path.is_relative_to(sysconfig.get_path("stdlib")) or not _INSTALLED.isdisjoint(path.parts)


def _import_places(package: str) -> list[Path]:
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
    for place in _import_places(top):
        inner = place.joinpath(*parts)
        candidates = (inner,) if not parts else (inner.with_name(f"{inner.name}.py"),)
        for path in (inner / "__init__.py", *candidates):
            if path.is_file():
                return path
    return None


class _Import(NamedTuple):
    """An import in a file: of a module, bound to a name; `whole` where all of the module is at hand then.

    `typing` says that only a type checker reads it. Packages that load their parts lazily state them so: they
    count for whoever takes that name from the package, or has the package as a whole.
    """

    module: str
    bound: str
    whole: bool
    typing: bool


def _imports_of_source(path: Path, name: str) -> list[_Import]:
    """Return what a file imports, by absolute names; `from a import b` may mean the module a.b."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # imported at most under a condition, or the module would not have loaded
    found: list[_Import] = []
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, typing = waiting.pop()
        if isinstance(node, ast.Import):
            found += [_Import(alias.name, "", True, typing) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # relative, and the file is not in a package as it is imported here
            for alias in node.names:
                bound = alias.asname or alias.name
                found.append(_Import(origin, bound, alias.name == "*", typing))
                found.append(_Import(f"{origin}.{alias.name}", bound, True, typing))
        checked = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else []
        waiting += [(child, typing or child in checked) for child in ast.iter_child_nodes(node)]
    return found


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _bit_pattern(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor as numpy; bfloat16, which numpy lacks, as 16-bit integers."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
