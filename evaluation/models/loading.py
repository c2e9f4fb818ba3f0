"""Importing a module of somebody else and loading its model: what was read for it is known afterwards."""

import importlib
import os
import pickle
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluation.errors import EvaluationError
from evaluation.models.fingerprint import source_marks, states_before_import
from evaluation.models.marks import (
    FileMark,
    FileState,
    file_state,
    files_below,
    mark_file,
    states_of,
    touched_file,
)
from evaluation.models.opened import Opened, data_among, mapped_files
from evaluation.models.surroundings import Quit, Surroundings, seed_everything
from tasks.names import printable

HEAR_FUNCTIONS = ("load_model", "get_scene_embeddings")
"""What every HEAR module has; `get_timestamp_embeddings` is for tasks of events."""

LONGEST_WORDS = 400
"""Characters of somebody else's exception that are shown."""


@dataclass(frozen=True)
class ImportedModule:
    """A HEAR module, the process as it has left it, and the data files that it read while it was imported."""

    module: ModuleType
    surroundings: Surroundings
    read: Mapping[Path, FileMark]


@dataclass(frozen=True)
class LoadedModel:
    """What `load_model` returned, with every file that it depends on as that was when it was read.

    `given` are the weights of the command line, `named` those that the module says in WEIGHT_FILES, `read`
    those that it was seen to open and `mapped` those that some library has mapped into memory.
    """

    model: Any
    surroundings: Surroundings
    given: Mapping[Path, FileMark]
    named: Mapping[Path, FileMark]
    read: Mapping[Path, FileMark]
    mapped: Mapping[Path, FileMark]


_imports: weakref.WeakKeyDictionary[ModuleType, tuple[Surroundings, dict[Path, FileMark]]] = (
    weakref.WeakKeyDictionary()
)
"""What importing a module left behind: Python imports it once, so it cannot be seen a second time."""


def given_module(name: str, given: Any) -> ImportedModule:
    """Return an object with HEAR's functions as a module of that name."""
    module = ModuleType(name)
    for attribute in (*HEAR_FUNCTIONS, "get_timestamp_embeddings", "WEIGHT_FILES"):
        if hasattr(given, attribute):
            setattr(module, attribute, getattr(given, attribute))
    return ImportedModule(module, Surroundings(), {})


def import_module(name: str) -> ImportedModule:
    """Import a HEAR module; raise EvaluationError, naming it, when there is none or it is none."""
    if name.endswith(".py") or os.sep in name:
        path = Path(name.removesuffix(".py"))
        where = f", with its folder on PYTHONPATH: PYTHONPATH={path.parent}" if os.sep in name else ""
        raise EvaluationError(f"'{name}' is a file, not a module's name; write {path.name}{where}")
    surroundings = Surroundings()
    try:
        with surroundings.entered(here=True) as opened:
            seed_everything()
            before = states_before_import(name)
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise EvaluationError(
                f"there is no module '{name}'; install it, or put its folder on PYTHONPATH"
            ) from error
        raise EvaluationError(f"{name} needs the package '{error.name}'; install it") from error
    except Exception as error:
        raise EvaluationError(f"importing {name} failed: {in_words(error)}") from error
    for function in HEAR_FUNCTIONS:
        if not callable(getattr(module, function, None)):
            raise EvaluationError(f"{name} is not a HEAR module: it has no function {function}")
    _refuse_touched_weights(name, before)
    if module not in _imports:
        _imports[module] = surroundings, _marked_files(name, opened, module)
    return ImportedModule(module, *_imports[module])


def load_model(imported: ImportedModule, name: str, weights: str, options: Mapping[str, Any]) -> LoadedModel:
    """Call the module's `load_model`; the global random numbers are the same for everyone.

    Raises EvaluationError, naming the module, when that fails, or naming the file that changed meanwhile.
    """
    module, surroundings = imported.module, imported.surroundings.copy()
    path = os.path.abspath(weights) if weights and os.path.exists(weights) else weights
    given = states_of(files_below(Path(path))) if path else {}
    named, before = _named_weight_files(module, name), mapped_files()
    try:
        with surroundings.entered(here=True) as opened:
            seed_everything()
            model = module.load_model(*([path] if path else []), **options)
    except EvaluationError as error:
        raise EvaluationError(f"{name}: {error}") from error
    except (Exception, Quit) as error:
        arguments = [*([repr(weights)] if weights else []), *(f"{k}={v!r}" for k, v in options.items())]
        remedy = "" if weights else f" (weights are given as {name}@WEIGHTS)"
        raise EvaluationError(
            f"{name}: load_model({', '.join(arguments)}) failed: {in_words(error)}{remedy}"
        ) from error
    marks = _mark_weight_file(name, given), _mark_weight_file(name, named)
    read = {**imported.read, **_marked_files(name, opened, module)}
    mapped = _mark_weight_file(name, data_among(mapped_files() - before, own_folder(module)))
    known = {*given, *named}
    found = ({p: m for p, m in files.items() if p not in known} for files in (read, mapped))
    return LoadedModel(model, surroundings, *marks, *found)


def all_sources(module: ModuleType, name: str) -> dict[Path, FileMark]:
    """Return the module's own sources as they are in memory."""
    try:
        return source_marks(module)
    except OSError as error:
        raise EvaluationError(f"{name}: its source {error.filename} cannot be read; restore it") from error


def own_folder(module: ModuleType) -> Path | None:
    """Return the folder of the package that a module is or is in; None for a module by itself."""
    file = getattr(module, "__file__", None)
    depth = module.__name__.count(".") + hasattr(module, "__path__")
    return Path(file).parents[max(0, depth - 1)] if file and depth else None


def _named_weight_files(module: ModuleType, name: str) -> dict[Path, FileState | None]:
    """Return the files and those in the folders of WEIGHT_FILES, which are relative to the module's."""
    named = getattr(module, "WEIGHT_FILES", ())
    if isinstance(named, str | os.PathLike):
        named = (named,)
    if not isinstance(named, Sequence | set | frozenset) or not all(
        isinstance(one, str | os.PathLike) for one in named
    ):
        raise EvaluationError(f"{name}: WEIGHT_FILES is {named!r}; give a list of paths")
    files: list[Path] = []
    folder = Path(getattr(module, "__file__", None) or "").parent
    for one in named:
        path = Path(os.path.abspath(folder / Path(one).expanduser()))
        if not (below := files_below(path)):
            raise EvaluationError(f"{name}: WEIGHT_FILES names {path}, where no file is; correct it")
        files += below
    return states_of(files)


def _marked_files(name: str, opened: Opened, module: ModuleType) -> dict[Path, FileMark]:
    return _mark_weight_file(name, opened.data_files(own_folder(module)))


def _mark_weight_file(name: str, states: Mapping[Path, FileState | None]) -> dict[Path, FileMark]:
    """Hash files that were in these states when the module read them."""
    try:
        marks = {path: mark_file(path) for path in states}
    except OSError as error:
        raise EvaluationError(
            f"{name}: {error.filename} cannot be read ({error.strerror}), and so not be told from another"
        ) from error
    _refuse_touched_weights(name, states)
    return marks


def _refuse_touched_weights(name: str, states: Mapping[Path, FileState | None]) -> None:
    if path := touched_file(states):
        raise EvaluationError(f"{path} changed while {name} was loaded; run the command again")


def changed_sentence(path: Path, name: str) -> str:
    """Return what is said of a file that is another than when a run was planned or a model loaded."""
    gone = "" if file_state(path) else " (it is gone)"
    return (
        f"{path} has changed{gone} since {name} was loaded for this run, so its embeddings would be of "
        "neither version for certain and are not kept; run the command again when the file stays as it is"
    )


def in_words(error: BaseException) -> str:
    """Return an exception of somebody else's code as one line."""
    if isinstance(error, Quit):
        return str(error)
    if isinstance(error, pickle.UnpicklingError):
        return "the file holds no weights that torch reads without running code from it; name another one"
    try:
        text = printable(" ".join(str(error).split()))
    except Exception:
        text = ""
    if len(text) > LONGEST_WORDS:
        text = f"{text[:LONGEST_WORDS]} ..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def file_names(paths: Iterable[Path], most: int = 3) -> str:
    """Return the names of some files, and how many more there are."""
    names = [printable(path.name) for path in paths]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
