"""Files of predictions, clip by clip."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.files import atomically
from evaluation.probes.predictions import Predictions
from evaluation.results.ledger import FitKey

LONGEST_NAME = 255
"""Bytes of a folder's name that file systems allow; a model's with path and options may have more."""

PREDICTED = ("target", "scores", "labels", "files")
"""Arrays that every file of predictions has."""


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that `save_predictions` wrote; raise EvaluationError when it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as saved:
            arrays = {name: saved[name] for name in saved.files}
        if missing := [name for name in PREDICTED if name not in arrays]:
            raise ValueError(f"no {missing[0]} in it")
        _check_predictions(arrays)
        return arrays
    except Exception as error:  # a damaged archive may raise anything
        raise EvaluationError(
            f"{path} is damaged ({str(error) or type(error).__name__}); "
            "delete it and run the run's command again to make it anew"
        ) from error


def _check_predictions(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the arrays go together."""
    target, scores = arrays["target"], arrays["scores"]
    if target.ndim != 2 or target.shape != scores.shape or target.dtype.kind not in "buif":
        raise ValueError(f"target is {target.shape} and scores are {scores.shape}")
    if scores.dtype.kind != "f":
        raise ValueError(f"scores are {scores.dtype}")
    if len(arrays["labels"]) != target.shape[1]:
        raise ValueError(f"{len(arrays['labels'])} labels for {target.shape[1]} scores")
    ends = arrays.get("boundaries")  # of the clips of frames
    if ends is not None and not (ends.dtype.kind in "iu" and ends.ndim == 1 and len(ends) > 0):
        raise ValueError("boundaries are no list of integers")
    if ends is not None and (ends[0] != 0 or ends[-1] != len(target) or (np.diff(ends) < 0).any()):
        raise ValueError("boundaries do not divide the rows")
    if len(arrays["files"]) != (len(target) if ends is None else len(ends) - 1):
        raise ValueError(f"{len(arrays['files'])} files for the rows")


def save_predictions(path: Path, about: dict[str, Any], arrays: Predictions) -> None:
    """Write the arrays and `about` (as JSON) to a compressed .npz that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about, sort_keys=True)), **arrays)


def prediction_path(directory: Path, model: str, label: str, key: FitKey) -> Path:
    """Return where the predictions of one fit are saved; `label` is the job's."""
    folder = re.sub(r"[^\w.-]+", "_", model)
    if len(folder.encode()) > LONGEST_NAME:
        folder = f"{folder[:60]}-{hashlib.sha256(model.encode(errors='surrogateescape')).hexdigest()[:8]}"
    point = hashlib.sha256(key.config.encode()).hexdigest()[:8]
    name = f"{key.test}-seed{key.seed}-{point}.npz"
    return directory / "predictions" / folder / f"{label}-{key.embedding[:8]}" / name
