"""What a fit got right and wrong, class by class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from evaluation.metrics.scenes import average_precision, roc_auc

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
        "average_precision": _rounded_details(average_precision(target, probabilities)),
        "roc_auc": _rounded_details(roc_auc(target, probabilities)),
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
        details["recall"] = _rounded_details(right / target.sum(0))
    return details


def share_in_details(details: Mapping[str, Any], modulus: int | None = None) -> float | None:
    """Return the share of rows that a stored confusion matrix has right, classes taken modulo `modulus`."""
    entries = details.get("confusion")
    if not entries:
        return None
    rows = sum(count for *_, count in entries)
    if modulus:
        entries = [(true % modulus, predicted % modulus, count) for true, predicted, count in entries]
    return sum(count for true, predicted, count in entries if true == predicted) / rows


def mean_in_details(details: Mapping[str, Any], name: str) -> float | None:
    """Return the mean over classes of the values that details hold under `name`."""
    of_classes = details.get(name)
    return sum(map(float, of_classes)) / len(of_classes) if of_classes else None


def _rounded_details(values: Float[np.ndarray, " classes"]) -> list[float]:
    return [round(float(value), 6) for value in values]
