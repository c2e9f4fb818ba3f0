"""What stands behind one fit's scores: every class by itself, the confusion matrix, the predicted scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from evaluation.errors import EvaluationError
from evaluation.files import atomically
from evaluation.metrics import average_precision, roc_auc
from evaluation.shapes import ANY_NUMBER, misfit

THRESHOLD = 0.5
"""From which predicted probability on a label of a multilabel task counts as predicted."""


def class_details(
    labels: Sequence[str],
    target: Shaped[np.ndarray, "rows labels"],
    probabilities: Float[np.ndarray, "rows labels"],
    *,
    multilabel: bool,
) -> dict[str, Any]:
    """Return lists with one value per class of `labels`, in that order, and what was taken for what.

    Always `rows` (how many of the part have the class), `average_precision`, `roc_auc` (NaN for a class of
    all or no rows). Multiclass: `recall` (NaN for an absent class) and `confusion`, the entries of the
    confusion matrix that are not 0 as [true class, predicted class, rows]. Multilabel: `true_positives` and
    `false_positives` at a probability above 0.5.
    """
    details: dict[str, Any] = {
        "labels": list(labels),
        "rows": [int(count) for count in target.sum(0)],
        "average_precision": _rounded(average_precision(target, probabilities)),
        "roc_auc": _rounded(roc_auc(target, probabilities)),
    }
    if multilabel:
        positive = probabilities > THRESHOLD
        hits = (positive & (target > 0)).sum(0)
        details["true_positives"] = hits.tolist()
        details["false_positives"] = (positive.sum(0) - hits).tolist()
        return details
    pairs = np.stack([target.argmax(1), probabilities.argmax(1)], 1)
    entries, counts = np.unique(pairs, axis=0, return_counts=True)
    details["confusion"] = np.column_stack([entries, counts]).tolist()
    right = np.bincount(pairs[pairs[:, 0] == pairs[:, 1], 0], minlength=len(labels))
    with np.errstate(invalid="ignore"):
        details["recall"] = _rounded(right / target.sum(0))
    return details


def _rounded(values: Float[np.ndarray, "classes"]) -> list[float]:
    return [round(float(value), 6) for value in values]


def details_misfit(fields: Mapping[str, Any]) -> str:
    """Return what keeps the details of a fit from being shown, "" when they are as they are written."""
    scores = {name: [ANY_NUMBER] for name in fields if name not in ("labels", "confusion")}
    shape = {"labels": [(str, int, float)], "confusion?": [[int]], **scores}
    if reason := misfit(fields, shape):
        return reason
    n_labels = len(fields["labels"])
    if not {"rows", "events"} & set(fields):
        return "it has neither rows nor events"
    for name in scores:
        if len(fields[name]) != n_labels:
            return f"{name} has {len(fields[name])} values for {n_labels} labels"
    for entry in fields.get("confusion", ()):
        if len(entry) != 3 or min(entry) < 0 or max(entry[:2]) >= n_labels:
            return f"confusion holds {entry}"
    return ""


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


def save_predictions(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays and `about` (as JSON) to a compressed .npz that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about, sort_keys=True)), **arrays)
