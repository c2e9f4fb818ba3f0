"""Means and intervals over seeds and folds; scipy.stats, a second to load, waits until one is asked for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % Student-t interval (NaN for a single value)."""

    mean: float
    half_width: float
    n: int


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return mean and half width over independent runs, as the paper prints them.

    The interval covers what changes between seeds (initial weights and dropout of the classifier), not
    the choice of test clips.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n < 2:
        return Interval(float(sample.mean()), math.nan, n)
    half_width = stats.t.ppf(0.5 + confidence / 2, n - 1) * stats.sem(sample)
    return Interval(float(sample.mean()), float(half_width), n)


def over_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return every score's mean and standard deviation (n - 1) over the folds of a task.

    As the original's aggregated scores: a score that is infinite on one fold has an infinite mean and no
    standard deviation (NaN).
    """
    with np.errstate(invalid="ignore"):
        return {
            name: (float(np.mean(values)), float(np.std(values, ddof=1)))
            for name in folds[0]
            for values in [[fold[name] for fold in folds]]
        }
