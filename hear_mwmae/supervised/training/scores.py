"""How well clips were classified: mean average precision, accuracy, d'."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm


@dataclass(frozen=True)
class Scores:
    """Shares from 0 to 1, and d'; None where a score is not defined."""

    mAP: float | None
    """Mean over the classes that a clip of the set belongs to."""
    accuracy: float | None
    """Share of the clips whose highest logit is that of their label; None for several labels."""
    d_prime: float | None
    """Of the mean area under the curve, `d_prime`; None where that is 0 or 1."""

    def of(self, metric: str) -> float:
        """Return one by its name; 0 where it is not defined."""
        return getattr(self, metric) or 0.0


def primary_metric(*, multilabel: bool) -> str:
    """Return the name of the score that decides."""
    return "mAP" if multilabel else "accuracy"


def score(
    logits: Float[np.ndarray, "clips classes"],
    targets: Float[np.ndarray, "clips classes"],
    *,
    multilabel: bool,
) -> Scores:
    """Score what is said of clips; all classes are compared at once."""
    precision, area = average_precisions(logits, targets), areas_under_curve(logits, targets)
    known = area[np.isfinite(area)]
    mean_area = float(known.mean()) if len(known) else math.nan
    accuracy = None
    if not multilabel:
        accuracy = float((logits.argmax(axis=1) == targets.argmax(axis=1)).mean())
    return Scores(
        mAP=float(np.nanmean(precision)) if np.isfinite(precision).any() else None,
        accuracy=accuracy,
        d_prime=d_prime(mean_area) if 0 < mean_area < 1 else None,
    )


def average_precisions(
    logits: Float[np.ndarray, "clips classes"], targets: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, " classes"]:
    """Return the sum over thresholds of precision times gain in recall, per class; NaN without a positive.

    Clips of equal logits pass the threshold together.
    """
    hits, last = _hits_and_ends(logits, targets)
    positives = hits[-1]
    rank = np.arange(1, len(logits) + 1)[:, None]
    # Only the last of equal logits is a threshold; the gain is since the threshold before.
    before = np.where(last, hits, 0)
    before = np.maximum.accumulate(np.vstack([np.zeros((1, hits.shape[1])), before[:-1]]), axis=0)
    gain = np.where(last, hits - before, 0)
    with np.errstate(invalid="ignore"):
        return (gain * hits / rank).sum(axis=0) / np.where(positives, positives, np.nan)


def areas_under_curve(
    logits: Float[np.ndarray, "clips classes"], targets: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, " classes"]:
    """Return how likely a positive is above a negative, ties counted half; NaN where either is missing."""
    hits, last = _hits_and_ends(logits, targets)
    misses = np.arange(1, len(logits) + 1)[:, None] - hits
    areas = []
    for column in range(logits.shape[1]):
        ends = np.flatnonzero(last[:, column])
        true, false = (np.concatenate([[0], count[ends, column]]) for count in (hits, misses))
        total = true[-1] * false[-1]
        areas.append(np.trapezoid(true, false) / total if total else math.nan)
    return np.array(areas)


def _hits_and_ends(
    logits: Float[np.ndarray, "clips classes"], targets: Float[np.ndarray, "clips classes"]
) -> tuple[np.ndarray, np.ndarray]:
    """Positives among the first clips in falling order of logits, and where a run of equal logits ends."""
    order = np.argsort(-logits, axis=0, kind="stable")
    ordered = np.take_along_axis(logits, order, axis=0)
    hits = np.cumsum(np.take_along_axis(targets > 0, order, axis=0), axis=0)
    last = np.vstack([ordered[1:] != ordered[:-1], np.ones((1, logits.shape[1]), bool)])
    return hits, last


def d_prime(area: float) -> float:
    """Return the distance of two unit normals whose curve has that area below it."""
    return math.sqrt(2) * float(norm.ppf(area))
