"""Tests between models, ranks and power, on plain arrays; scipy's where it has them."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

ALPHA = 0.05
POWER = 0.8
EXACT = 9999
"""Sign patterns drawn when there are more of them than this; up to 13 pairs all are gone through."""

DECIMALS = 9
"""Scores of few clips often tie; what differs behind this decimal differs by rounding only."""

Differences = Float[np.ndarray, "pairs"]


def least_pairs(n_tests: int) -> int:
    """Return from how many pairs on a sign-flip or signed-rank test can come out below 0.05.

    Two-sided, and corrected for so many tests: the smallest p of n pairs is 2 / 2^n, times `n_tests`.
    """
    return math.floor(math.log2(2 * n_tests / ALPHA)) + 1


def permutation_p(differences: Differences) -> float:
    """Return the two-sided p of the mean difference under random signs (the paired permutation test)."""
    if not np.any(np.round(differences, DECIMALS)):
        return 1.0

    def mean(values: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(values, axis).round(DECIMALS)

    test = stats.permutation_test(
        (differences,), mean, permutation_type="samples", n_resamples=EXACT, rng=np.random.default_rng(0)
    )
    return float(test.pvalue)


def wilcoxon_p(differences: Differences) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test, going through the signs, so with ties too."""
    if not np.any(np.round(differences, DECIMALS)):
        return 1.0
    method = stats.PermutationMethod(n_resamples=EXACT, rng=np.random.default_rng(0))
    return float(stats.wilcoxon(np.round(differences, DECIMALS), method=method).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number (Holm 1979), in the order given."""
    order = np.argsort(p_values)
    factors = np.arange(len(order), 0, -1)
    raised = np.maximum.accumulate(np.asarray(p_values, float)[order] * factors)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(raised, 1)
    return corrected.tolist()


def task_ranks(means: Float[np.ndarray, "tasks models"]) -> Float[np.ndarray, "tasks models"]:
    """Return every model's rank on every task, 1 for the highest score; equal scores share their ranks."""
    return stats.rankdata(-np.round(means, DECIMALS), axis=1)


def friedman(means: Float[np.ndarray, "tasks models"]) -> tuple[float, float] | None:
    """Return chi-square and p of Friedman's test that all models rank alike.

    None for fewer than three models, for one task, or where every task ranks all models equal.
    """
    n_tasks, n_models = means.shape
    if n_models < 3 or n_tasks < 2 or np.all(np.ptp(means, axis=1) == 0):
        return None
    test = stats.friedmanchisquare(*means.T)
    return float(test.statistic), float(test.pvalue)


def critical_difference(n_models: int, n_tasks: int, alpha: float = ALPHA) -> float:
    r"""Return the difference of mean ranks that Nemenyi's test calls significant.

    $q_\alpha \sqrt{k (k + 1) / 6 N}$ with $q_\alpha$ the studentized range over infinitely many degrees of
    freedom divided by $\sqrt 2$ (Demšar, 2006, JMLR 7, section 3.2.2).
    """
    q = stats.studentized_range.ppf(1 - alpha, n_models, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(n_models * (n_models + 1) / (6 * n_tasks)))


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the largest runs of ascending `ranks` that lie within `difference`, as first and last position.

    A run is at least two long and is not part of a longer one.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def rank_intervals(
    scores: Sequence[Sequence[Float[np.ndarray, " seeds"]]], n_resamples: int = 2000
) -> Float[np.ndarray, "models 2"]:
    """Return the 95 % percentile interval of every model's mean rank, tasks and seeds drawn with replacement.

    `scores` has, per task, one array of seeds for each model.
    """
    rng = np.random.default_rng(0)
    n_tasks = len(scores)
    ranks = np.stack(
        [
            task_ranks(
                np.stack(
                    [run[rng.integers(len(run), size=(n_resamples, len(run)))].mean(1) for run in task], 1
                )
            )
            for task in scores
        ],
        1,
    )  # resamples, tasks, models
    drawn = rng.integers(n_tasks, size=(n_resamples, n_tasks))
    means = np.take_along_axis(ranks, drawn[:, :, None], 1).mean(1)
    return np.percentile(means, [2.5, 97.5], axis=0).T


def detectable_difference(
    deviation: float, n: int, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """Return the difference of two means that `n` runs each show with the given power; None for one run.

    Two-sided t-test of independent samples with equal standard deviation, by the noncentral t distribution.
    """
    if n < 2:
        return None
    degrees = 2 * n - 2
    critical = stats.t.ppf(1 - alpha / 2, degrees)

    def missing_power(shift: float) -> float:  # the other tail is below 1e-5 wherever the power is 0.8
        return float(stats.nct.sf(critical, degrees, shift)) - power

    shift = optimize.brentq(missing_power, 0, 2 * critical + 5)
    return deviation * float(shift) * math.sqrt(2 / n)
