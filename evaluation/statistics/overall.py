"""The normalised overall score s(m) (MW-MAE paper, section 4.1, equation 3) and the other one in use."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.statistics.intervals import Interval, t_interval
from evaluation.statistics.pools import Extremes, Pool

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""model -> task -> one score per seed (or one mean), in the units of the pool."""

Formula = Literal["minmax", "superb"]
FORMULAS = ("minmax", "superb")


def overall_score(scores: Scores, pool: Pool, *, extremes: Extremes) -> dict[str, Interval]:
    r"""Return s(m) in per cent for every model that has all tasks of the pool.

    $s(m) = \frac{100}{|T|} \sum_t \frac{x_t(m) - \min_t}{\max_t - \min_t}$

    Args:
        scores: The models to score; they need not be members of the pool. One that is not may fall outside
            0 .. 100.
        pool: Sets worst and best. A task on which they are equal says nothing and is left out.
        extremes: "runs": worst and best single run of any member (reproduces the paper's tables); "means":
            worst and best mean over seeds (equation 3 read literally), one value without an interval.

    Returns:
        model -> mean and, for "runs", interval over seeds (NaN when the tasks have different numbers of
        seeds). Empty when the pool has fewer than two members or no task tells them apart.
    """
    if len(pool.rows) < 2:
        return {}
    ranges = {task: pool.extremes(task, extremes) for task in pool.tasks}
    ranges = {task: (low, high) for task, (low, high) in ranges.items() if high > low}
    found = {}
    for model, row in scores.items():
        if ranges and set(row) >= set(pool.tasks):
            terms = [
                (np.asarray(row[task], float) - low) / (high - low) for task, (low, high) in ranges.items()
            ]
            found[model] = _overall_of_seeds(terms, literal=extremes == "means")
    return found


def _overall_of_seeds(terms: Sequence[np.ndarray], *, literal: bool) -> Interval:
    """Average over tasks and seeds; the interval is that of the seeds' own averages."""
    counts = {len(term) for term in terms}
    mean = 100 * float(np.mean([term.mean() for term in terms]))
    if literal or len(counts) > 1:
        return Interval(mean, math.nan, min(counts))
    return Interval(mean, t_interval(100 * np.mean(terms, axis=0)).half_width, min(counts))


def superb_score(scores: Scores, pool: Pool) -> dict[str, Interval]:
    r"""Return the overall score relative to HEAR-Naive and the best, without an interval.

    $\frac{100}{|T|} \sum_t \max\left(0, \frac{x_t(m) - x_t(\text{naive})}{\max_t - x_t(\text{naive})}\right)$

    with means over seeds throughout, as SUPERB's leaderboard relates its scores to a baseline and the best.
    A task on which nothing is better than HEAR-Naive is left out. Raises EvaluationError when HEAR-Naive is
    not in the pool.
    """
    if pool.naive is None:
        raise EvaluationError(
            f"--score superb needs HEAR-Naive in the pool, and {pool.title} has none with every task: "
            "evaluate evaluation.baselines.hear_naive too, or choose --pool paper"
        )
    naive = {task: standing.mean for task, standing in pool.rows[pool.naive].items()}
    best = {task: pool.extremes(task, "means")[1] for task in pool.tasks}
    tasks = [task for task in pool.tasks if best[task] > naive[task]]
    found = {}
    for model, row in scores.items():
        if tasks and set(row) >= set(pool.tasks):
            terms = [(np.mean(row[task]) - naive[task]) / (best[task] - naive[task]) for task in tasks]
            seeds = min(len(row[task]) for task in tasks)
            found[model] = Interval(100 * float(np.mean(np.maximum(terms, 0))), math.nan, seeds)
    return found


def formula_scores(
    scores: Scores, pool: Pool, *, formula: Formula = "minmax", extremes: Extremes = "runs"
) -> dict[str, Interval]:
    """Return the overall score by one of the two formulas; `extremes` matters to "minmax" only."""
    if formula == "superb":
        return superb_score(scores, pool)
    return overall_score(scores, pool, extremes=extremes)


def leave_one_out(
    scores: Scores, pool: Pool, *, formula: Formula = "minmax", extremes: Extremes = "runs"
) -> dict[str, dict[str, float]]:
    """Return every model's overall score with each member left out of the pool: left out -> model -> score.

    The member left out is not scored. HEAR-Naive stays where the formula is relative to it.
    """
    found = {}
    for member in pool.rows:
        if formula == "superb" and member == pool.naive:
            continue
        rest = {model: row for model, row in scores.items() if model != member}
        left = formula_scores(rest, pool.without(member), formula=formula, extremes=extremes)
        found[member] = {model: cell.mean for model, cell in left.items()}
    return found
