"""Which model a name or an object means: its module, options and weights."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluation.errors import EvaluationError
from evaluation.models.loading import HEAR_FUNCTIONS, import_module
from evaluation.models.spec import ModelSpec


def parse_model(text: str, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """Read `MODULE` or `MODULE@WEIGHTS`; a weights path that does not exist raises EvaluationError.

    A module that says `WEIGHTS_ARE_NAMES = True` is handed what is no path as it stands: the name of a model.
    """
    module, _, weights = text.partition("@")
    if not module:
        raise EvaluationError(f"'{text}' names no module; write MODULE or MODULE@WEIGHTS")
    there = not weights or Path(weights).expanduser().exists()
    if not there and not getattr(import_module(module).module, "WEIGHTS_ARE_NAMES", False):
        raise EvaluationError(f"the weights '{weights}' given for {module} do not exist; correct the path")
    return ModelSpec(module, str(Path(weights).expanduser()) if weights else "", options or {})


def model_of(model: Any, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """Return what is meant by a model: `MODULE[@WEIGHTS]`, a module, or an object with HEAR's functions.

    Raises EvaluationError for what is none of these.
    """
    if isinstance(model, str):
        return parse_model(model, options)
    if isinstance(model, ModuleType) and sys.modules.get(model.__name__) is model:
        return parse_model(model.__name__, options)
    name = getattr(model, "__name__", type(model).__name__)
    missing = [function for function in HEAR_FUNCTIONS if not callable(getattr(model, function, None))]
    if missing:
        raise EvaluationError(
            f"{name} is not a HEAR module: it has no function {missing[0]}; give a module, its name, or an "
            "object with load_model, get_scene_embeddings and, for tasks of events, get_timestamp_embeddings"
        )
    return ModelSpec(name, "", options or {}, given=model)
