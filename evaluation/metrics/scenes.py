"""HEAR's scene scores, vectorised over classes; checked against scikit-learn in the tests.

All functions take `target` [clips, classes] multi-hot and `scores` [clips, classes], any values whose order
within a class is that of the predicted probability, and return one float. Source: PROTOCOL of HEAR as in
hear-eval-kit's score functions. scipy.stats, which takes a second to load, is loaded when it is used.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Shaped

Target = Shaped[np.ndarray, "clips classes"]
Scores = Float[np.ndarray, "clips classes"]


def top1_right(target: Target, scores: Scores) -> Bool[np.ndarray, " clips"]:
    """Return of which clips the highest-scored class is the (first) true one."""
    return scores.argmax(1) == target.argmax(1)


def chroma_right(target: Target, scores: Scores) -> Bool[np.ndarray, " clips"]:
    """Return of which clips the pitch class is right: class indices compared modulo 12."""
    return scores.argmax(1) % 12 == target.argmax(1) % 12


def average_precision(target: Target, scores: Scores) -> Float[np.ndarray, " classes"]:
    r"""Return each class's average precision, $\sum_n (R_n - R_{n-1}) P_n$ over distinct thresholds.

    Equal scores share one threshold. A class without positives has 0, as in scikit-learn.
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(target, order, 0).astype(np.float64)
    ranked = np.take_along_axis(scores, order, 0)
    count = np.arange(1, len(scores) + 1)[:, None]
    ends_tie = np.vstack([ranked[1:] != ranked[:-1], np.ones((1, scores.shape[1]), bool)])
    end = np.where(ends_tie, count - 1, len(scores))
    end = np.minimum.accumulate(end[::-1], 0)[::-1]
    precision = np.take_along_axis(np.cumsum(hits, 0) / count, end, 0)
    return (hits * precision).sum(0) / np.maximum(hits.sum(0), 1)


def mean_average_precision(target: Target, scores: Scores) -> float:
    """Return the unweighted mean of the classes' average precision (mAP)."""
    return float(average_precision(target, scores).mean())


def roc_auc(target: Target, scores: Scores) -> Float[np.ndarray, " classes"]:
    """Return each class's area under the ROC curve; NaN for a class that is always or never true."""
    from scipy.stats import rankdata

    positives = target.sum(0).astype(np.float64)
    negatives = len(target) - positives
    rank_sum = (rankdata(scores, axis=0) * target).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def mean_roc_auc(target: Target, scores: Scores) -> float:
    """Return the unweighted mean of the classes' area under the ROC curve."""
    return float(roc_auc(target, scores).mean())


def d_prime(target: Target, scores: Scores) -> float:
    r"""Return the mean over classes of $\sqrt 2\, \Phi^{-1}(\mathrm{AUC})$; infinite if any AUC is 1.

    An AUC of 1 beside one of 0 leaves it undefined (NaN).
    """
    from scipy.stats import norm

    with np.errstate(invalid="ignore"):
        return float(math.sqrt(2.0) * np.mean(norm.ppf(roc_auc(target, scores))))
