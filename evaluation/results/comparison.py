"""What can be said of the differences between models, and how sure of it one may be.

Which variance a number covers differs: seeds vary the classifier (initial weights, dropout) on fixed test
clips; a bootstrap over test clips varies the clips with the classifiers fixed; tests over tasks treat the
tasks as a sample of all that a representation might be used for. Every part says which it is.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.results.bootstrap import clip_replicates
from evaluation.results.score_table import Column, ScoreTable
from evaluation.statistics.significance import (
    ALPHA,
    cliques,
    critical_difference,
    detectable_difference,
    friedman,
    holm,
    least_pairs,
    permutation_p,
    rank_intervals,
    task_ranks,
    wilcoxon_p,
)


@dataclass(frozen=True)
class PairedTest:
    """Whether one model is better than another, on one task (over seeds) or over all tasks.

    `difference` is the mean of `first` - `second` in the table's units, `minimised` says that less is better
    (over tasks it is turned so that more is better throughout); `n` counts the pairs. `p` is None where `n`
    is too small for the test to come out below 0.05 however clear the difference; `p_holm` is corrected for
    all pairs of models on the task, or over all tasks.
    """

    first: str
    second: str
    task: str
    test: str
    n: int
    difference: float = math.nan
    p: float | None = None
    p_holm: float | None = None
    minimised: bool = False

    @property
    def better(self) -> str:
        """The better one of the two models, "" where the test does not tell them apart."""
        if self.p_holm is None or self.p_holm >= ALPHA:
            return ""
        return self.first if (self.difference > 0) != self.minimised else self.second


@dataclass(frozen=True)
class Ranks:
    """Ranks over tasks (1 is best) of the models with every task; what a critical-difference diagram shows.

    `intervals` are 95 % bootstrap intervals of the mean rank over tasks and seeds; `friedman_p` tests that
    all models are alike (None with two models); `critical_difference` is Nemenyi's at 0.05, and
    `cliques` are the largest groups of models, best first, within it.
    """

    mean: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    n_tasks: int
    friedman_chi2: float | None
    friedman_p: float | None
    critical_difference: float
    cliques: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ClipInterval:
    """95 % bootstrap interval over test clips, in the table's units, of one model or of a difference.

    `other` is "" for a model's own score, else the model that is subtracted on the same clips.
    """

    model: str
    other: str
    task: str
    n_clips: int
    value: float
    low: float
    high: float
    metric: str = ""
    minimised: bool = False

    @property
    def better(self) -> str:
        """Of a difference: the better model where the interval leaves out 0, else ""."""
        if not self.other or self.low <= 0 <= self.high:
            return ""
        return self.model if (self.low > 0) != self.minimised else self.other


@dataclass(frozen=True)
class Detectable:
    """The smallest difference between two models that `n` seeds each would show on a task.

    In the table's units, with power 0.8 at 0.05 two-sided, from the standard deviation over seeds pooled over
    the models; None with one seed.
    """

    task: str
    n: int
    deviation: float
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """All statistics of some results; `notes` are sentences that must stand beside them.

    Empty parts could not be computed, and `notes` says why. `per_task` pairs seeds, `over_tasks` pairs tasks;
    models are ordered as in the results, `ranks` from best to worst.
    """

    per_task: Sequence[PairedTest]
    over_tasks: Sequence[PairedTest]
    ranks: Ranks | None
    clips: Sequence[ClipInterval]
    detectable: Sequence[Detectable]
    notes: Sequence[str]


def compare(results: ScoreTable, directories: Sequence[Path] = ()) -> Comparison:
    """Return everything that can be said of the results' models.

    `directories` are the runs' own, where saved predictions are looked for; the bootstrap over test clips
    needs them (`--save-predictions`).
    """
    titled = [replace(column, short=results.titles[column.task]) for column in results.columns]
    results = replace(results, columns=titled)
    ranked = results.ranked
    clips = _clip_intervals(results, directories)
    return Comparison(
        per_task=_tests_per_task(results),
        over_tasks=_tests_over_tasks(results, ranked) if results.one_unit else [],
        ranks=_model_ranks(results, ranked) if ranked else None,
        clips=clips,
        detectable=list(_detectable_differences(results)),
        notes=list(_comparison_notes(results, ranked, clips)),
    )


def _scores_by_seed(results: ScoreTable, model: str, column: Column) -> Float[np.ndarray, " seeds"]:
    """Return the scores as printed, one per seed."""
    return np.array([column.scale(score) for score in results.scores[model][column.task]])


def _models_with_scores(results: ScoreTable, column: Column) -> list[str]:
    return [model for model in results.models if column.task in results.scores.get(model, {})]


def _tests_per_task(results: ScoreTable) -> list[PairedTest]:
    """Return the tests over seeds, corrected on every task by itself."""
    found = []
    for column in results.columns:
        runs = {}
        for model in _models_with_scores(results, column):
            seeds, scores = results.seeds(model, column.task), _scores_by_seed(results, model, column)
            runs[model] = dict(zip(seeds, scores.tolist(), strict=True))
        found += compare_seeds(column.short, runs, minimised=column.sign < 0)
    return found


def compare_seeds(
    task: str, runs: Mapping[str, Mapping[int, float]], *, minimised: bool = False
) -> list[PairedTest]:
    """Return the paired permutation tests of all pairs of models on one task, corrected for their number.

    Args:
        task: its name in the tests.
        runs: the score of every seed of every model, as printed. Seeds that both of a pair have are paired;
            where there are none, the difference is that of the means, untested.
        minimised: whether less is better.
    """
    tests = []
    for first, second in itertools.combinations(runs, 2):
        one, two = runs[first], runs[second]
        both = [seed for seed in one if seed in two]
        differences = np.array([one[seed] - two[seed] for seed in both])
        if not both:
            differences = np.array([np.mean([*one.values()]) - np.mean([*two.values()])])
        test = PairedTest(first, second, task, "paired permutation", len(both), minimised=minimised)
        tests.append(_paired_test(test, differences, permutation_p))
    return _corrected_tests(tests)


def _tests_over_tasks(results: ScoreTable, ranked: Sequence[str]) -> list[PairedTest]:
    tests = []
    for first, second in itertools.combinations(ranked, 2):
        differences = np.array(
            [
                column.sign
                * (
                    _scores_by_seed(results, first, column).mean()
                    - _scores_by_seed(results, second, column).mean()
                )
                for column in results.averaged
            ]
        )
        test = PairedTest(first, second, "all tasks", "Wilcoxon", len(differences))
        tests.append(_paired_test(test, differences, wilcoxon_p))
    return _corrected_tests(tests)


def _paired_test(
    test: PairedTest, differences: Float[np.ndarray, " pairs"], p_of: Callable[[np.ndarray], float]
) -> PairedTest:
    p = p_of(differences) if test.n >= least_pairs(1) else None
    return replace(test, difference=float(differences.mean()), p=p)


def _corrected_tests(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """Return the tests with p corrected over all of them."""
    corrected = iter(holm([test.p for test in tests if test.p is not None]))
    return [test if test.p is None else replace(test, p_holm=next(corrected)) for test in tests]


def _model_ranks(results: ScoreTable, ranked: Sequence[str]) -> Ranks:
    runs = [
        [column.sign * _scores_by_seed(results, model, column) for model in ranked]
        for column in results.averaged
    ]
    means = np.array([[run.mean() for run in task] for task in runs])
    mean_ranks, intervals = task_ranks(means).mean(0), rank_intervals(runs)
    order = np.argsort(mean_ranks, kind="stable")
    names = [ranked[i] for i in order]
    test = friedman(means)
    difference = critical_difference(len(ranked), len(runs))
    return Ranks(
        mean={ranked[i]: float(mean_ranks[i]) for i in order},
        intervals={ranked[i]: (float(intervals[i, 0]), float(intervals[i, 1])) for i in order},
        n_tasks=len(runs),
        friedman_chi2=test and test[0],
        friedman_p=test and test[1],
        critical_difference=difference,
        cliques=[names[first : last + 1] for first, last in cliques(mean_ranks[order].tolist(), difference)],
    )


def _clip_intervals(results: ScoreTable, directories: Sequence[Path]) -> list[ClipInterval]:
    found = []
    for column in results.columns:
        drawn = {}
        for model in _models_with_scores(results, column):
            seeds = [fits for fits in results.fits if (fits.model, fits.task) == (model, column.task)]
            if seeds and (replicates := clip_replicates(seeds, directories)) is not None:
                drawn[model] = column.scale(1) * replicates[0], replicates[1]
        for model, (scores, n_clips) in drawn.items():
            value = float(_scores_by_seed(results, model, column).mean())
            found.append(_clip_interval(model, "", column, n_clips, value, scores))
        for (first, (one, n_clips)), (second, (two, _)) in itertools.combinations(drawn.items(), 2):
            value = float(
                _scores_by_seed(results, first, column).mean()
                - _scores_by_seed(results, second, column).mean()
            )
            found.append(_clip_interval(first, second, column, n_clips, value, one - two))
    return found


def _clip_interval(
    model: str, other: str, column: Column, n_clips: int, value: float, replicates: np.ndarray
) -> ClipInterval:
    low, high = np.percentile(replicates, [2.5, 97.5])
    return ClipInterval(
        model, other, column.short, n_clips, value, float(low), float(high), column.metric, column.sign < 0
    )


def _detectable_differences(results: ScoreTable) -> Iterator[Detectable]:
    for column in results.columns:
        runs = [_scores_by_seed(results, model, column) for model in _models_with_scores(results, column)]
        if runs and (n := min(map(len, runs))) > 1:
            deviation = float(np.sqrt(np.mean([run.var(ddof=1) for run in runs])))
            yield Detectable(column.short, n, deviation, detectable_difference(deviation, n))


def _comparison_notes(
    results: ScoreTable, ranked: Sequence[str], clips: Sequence[ClipInterval]
) -> Iterator[str]:
    seeds = min((len(run) for row in results.scores.values() for run in row.values()), default=0)
    models = max((len(_models_with_scores(results, column)) for column in results.columns), default=0)
    if len(results.models) < 2:
        yield "One model only: there is nothing to compare it with."
    elif len(results.averaged) < 2:
        yield "One task only: there are no ranks, no tests over tasks and no s(m)."
    elif not ranked:
        yield "Ranks and tests over tasks need two models with every task."
    elif not results.one_unit:
        yield "Scores of different kinds cannot be tested together: Wilcoxon's test over tasks is left out."
    else:
        yield from floor_of_p(len(results.averaged), len(ranked), "tasks", "over tasks")
    if models > 1:
        yield from floor_of_p(seeds, models, "seeds", "on one task")
    if seeds == 1:
        yield "With one seed there is no interval over seeds and no smallest difference."
    if not clips:
        yield (
            "No interval over test clips: predictions are not saved (--save-predictions), or the scores are "
            "not resampled (accuracies and mAP are)."
        )


def floor_of_p(n: int, models: int, unit: str, where: str) -> Iterator[str]:
    """Yield a sentence where no difference, however clear, could come out of the corrected tests."""
    pairs = math.comb(models, 2)
    if n < (needed := least_pairs(pairs)):
        corrected = f" corrected for {pairs} pairs of models" if pairs > 1 else ""
        count = f"{n} {unit} are" if n > 1 else f"One {unit.removesuffix('s')} is"
        yield (
            f"{count} too few for tests between models {where}{corrected}: the smallest p that they "
            f"can give is above 0.05; {needed} are needed."
        )
