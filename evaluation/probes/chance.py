"""Has a classifier learned anything of the rows that it was trained on?"""

import numpy as np
from jaxtyping import Float, Int

from evaluation.metrics.scenes import mean_average_precision


def training_score(
    target: Int[np.ndarray, " rows"] | Float[np.ndarray, "rows labels"],
    logits: Float[np.ndarray, "rows labels"],
) -> tuple[float, float]:
    """Return the score on training rows, and what knowing only how frequent the classes are would give.

    That is accuracy and the share of the commonest class where `target` is the class of each row, and mean
    average precision and the labels' mean share where it is multi-hot.
    """
    if target.ndim == 1:
        share = np.bincount(target).max() / len(target)
        return float(np.mean(logits.argmax(1) == target)), float(share)
    return mean_average_precision(target, logits), float(target.mean())


def at_chance(score: float | None, chance: float | None) -> bool:
    """Whether a fit's training score is at or below chance; never where it is not known."""
    return score is not None and chance is not None and not score > chance + ROUNDING


ROUNDING = 1e-6
"""Two ways to the same score, of labels in another order say, differ by less."""
