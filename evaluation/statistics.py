"""Intervals over seeds and the normalised overall score s(m) (MW-MAE paper, section 4.1, equation 3)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Extremes = Literal["runs", "means"]


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


def overall_scores(
    scores: Mapping[str, Mapping[str, Sequence[float]]], *, extremes: Extremes
) -> dict[str, Interval]:
    r"""Return s(m) in per cent for every model of the pool.

    $s(m) = \frac{100}{|T|} \sum_t \frac{x_t(m) - \min_t}{\max_t - \min_t}$

    Parameters
    ----------
    scores
        model -> task -> one score per seed. Only models with every task that any model has take part, all
        with the same number of seeds per task; the pool is exactly these models.
    extremes
        "runs": worst and best single run of any model (reproduces the paper's table); "means": worst and
        best mean over seeds (equation 3 read literally), one value without an interval.

    Returns
    -------
    model -> mean and, for "runs", interval over seeds. Empty when fewer than two models are complete. A
    task on which all models score the same says nothing and is left out.
    """
    tasks = sorted({task for row in scores.values() for task in row})
    pool = {model: row for model, row in scores.items() if set(row) == set(tasks)}
    if len(pool) < 2:
        return {}
    seeds = min(len(runs) for row in pool.values() for runs in row.values())
    terms: dict[str, list[np.ndarray]] = {model: [] for model in pool}
    for task in tasks:
        runs = {model: np.asarray(row[task], dtype=np.float64) for model, row in pool.items()}
        if extremes == "means":
            runs = {model: run.mean(keepdims=True) for model, run in runs.items()}
        every = np.concatenate(list(runs.values()))
        lowest, highest = every.min(), every.max()
        if highest > lowest:
            for model, run in runs.items():
                terms[model].append((run - lowest) / (highest - lowest))
    if not terms[next(iter(pool))]:
        return {}
    return {model: _mean_over_tasks(parts, seeds) for model, parts in terms.items()}


def _mean_over_tasks(parts: Sequence[np.ndarray], seeds: int) -> Interval:
    """Average over tasks seed by seed, then over seeds."""
    per_seed = 100 * np.mean(parts, axis=0)
    return Interval(float(per_seed.mean()), t_interval(per_seed).half_width, seeds)
