"""Tests, ranks and power against scipy, statsmodels' numbers and published tables."""

import itertools

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.significance import (
    cliques,
    critical_difference,
    detectable_difference,
    friedman,
    holm,
    permutation_p,
    rank_intervals,
    task_ranks,
    wilcoxon_p,
)

RNG = np.random.default_rng(5)


def test_the_permutation_test_goes_through_all_signs() -> None:
    differences = RNG.normal(0.6, 1, 8)
    signs = np.array(list(itertools.product([1, -1], repeat=8)))
    means = (signs * differences).mean(1)
    expected = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert permutation_p(differences) == pytest.approx(expected)
    assert permutation_p(np.ones(10)) == pytest.approx(2 / 1024)
    assert permutation_p(np.zeros(10)) == 1


def test_wilcoxon_is_scipys_exact_test() -> None:
    differences = RNG.normal(0.6, 1, 10)
    assert wilcoxon_p(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)
    assert 0 < wilcoxon_p(np.array([1.0, 1, 1, 2, 2, -1, 0])) < 1, "ties are allowed"


def test_rounding_breaks_no_ties() -> None:
    """Means over folds of shares of clips: equal in exact arithmetic, not in floats."""
    ties = np.array([0.1 + 0.2, 0.3, -0.3, 0.1 * 3, -(0.7 - 0.4), 0.9 / 3, 0.3, 0.6])
    exact = np.array([1.0, 1, -1, 1, -1, 1, 1, 2])
    assert len({abs(x) for x in ties.tolist()}) > 2
    signs = np.array(list(itertools.product([1, -1], repeat=8)))
    expected = np.mean(np.abs(signs @ exact) >= abs(exact.sum()))
    assert permutation_p(ties) == pytest.approx(expected)
    assert wilcoxon_p(ties) == wilcoxon_p(exact)
    assert permutation_p(np.full(8, 1e-16)) == wilcoxon_p(np.full(8, 1e-16)) == 1


def test_holm_is_statsmodels() -> None:
    """`multipletests(p, method="holm")` of statsmodels 0.15.0."""
    expected = [0.06, 0.16, 0.15, 0.035, 0.4, 0.4, 0.16]
    assert holm([0.01, 0.04, 0.03, 0.005, 0.2, 0.2, 0.04]) == pytest.approx(expected)
    assert holm([]) == []


@pytest.mark.parametrize(
    ("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)]
)
def test_critical_values_are_the_published_ones(k: int, q: float) -> None:
    """Demšar (2006), Table 5 (a)."""
    assert critical_difference(k, 6) == pytest.approx(q * (k * (k + 1) / 36) ** 0.5, abs=2e-3)


def test_the_published_example_of_a_critical_difference() -> None:
    """Demšar (2006), section 3.2.2: four classifiers on 14 data sets, CD 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    ranks = [1.964, 2.000, 2.893, 3.143]
    assert cliques(ranks, critical_difference(4, 14)) == [(0, 3)]
    assert cliques(ranks, 1.0) == [(0, 2), (2, 3)]


def test_friedman_without_ties_is_the_formula_over_mean_ranks() -> None:
    means = RNG.normal(size=(9, 4))
    ranks = task_ranks(means)
    n, k = means.shape
    by_hand = 12 * n / (k * (k + 1)) * ((ranks.mean(0) ** 2).sum() - k * (k + 1) ** 2 / 4)
    chi2, p = friedman(means)
    assert chi2 == pytest.approx(by_hand)
    assert p == pytest.approx(stats.chi2.sf(by_hand, k - 1))
    assert friedman(means[:, :2]) is None
    assert friedman(np.ones((9, 4))) is None


def test_the_best_has_rank_one() -> None:
    assert task_ranks(np.array([[0.9, 0.1, 0.9]])).tolist() == [[1.5, 3, 1.5]]
    assert task_ranks(np.array([[0.3, 0.1, 0.1 + 0.2]])).tolist() == [[1.5, 3, 1.5]], "rounding is no rank"


def test_rank_intervals_are_points_when_nothing_varies_and_wide_when_it_does() -> None:
    clear = [[np.array([9.0, 9.1]), np.array([1.0, 1.1])]] * 5
    assert rank_intervals(clear).tolist() == [[1, 1], [2, 2]]
    mixed = [[np.array([9.0]), np.array([1.0])], [np.array([1.0]), np.array([9.0])]] * 5
    low, high = rank_intervals(mixed)[0]
    # Ten tasks of rank 1 or 2 at even odds: a binomial's 95 % limits.
    expected = 1 + stats.binom.ppf([0.025, 0.975], 10, 0.5) / 10
    assert (low, high) == pytest.approx(tuple(expected), abs=0.051)


@pytest.mark.parametrize(("n", "effect"), [(3, 3.0708922696), (10, 1.3249473683), (64, 0.4990691772)])
def test_the_smallest_difference_is_statsmodels(n: int, effect: float) -> None:
    """`TTestIndPower().solve_power(nobs1=n, alpha=0.05, power=0.8)` of statsmodels 0.15.0."""
    assert detectable_difference(2.0, n) == pytest.approx(2 * effect, rel=5e-6)
    assert detectable_difference(2.0, 1) is None
