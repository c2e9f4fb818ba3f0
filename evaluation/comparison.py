"""What can be said of the differences between models, and how sure of it one may be.

Which variance a number covers differs: seeds vary the classifier (initial weights, dropout) on fixed test
clips; a bootstrap over test clips varies the clips with the classifiers fixed; tests over tasks treat the
tasks as a sample of all that a representation might be used for. Every part says which it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PairedTest:
    """Whether one model is better than another, on one task (over seeds) or over all tasks.

    `difference` is the mean of `first` - `second` in the table's units; `n` counts the pairs. `p` is None
    where `n` is too small for the test to come out below 0.05 however clear the difference, and `note` says
    so; `p_holm` is corrected for all pairs of models (and tasks) tested alike.
    """

    first: str
    second: str
    task: str
    test: str
    n: int
    difference: float
    p: float | None = None
    p_holm: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Ranks:
    """Ranks over tasks (1 is best) of the models with every task; what a critical-difference diagram shows.

    `intervals` are 95 % bootstrap intervals of the mean rank over tasks and seeds; `friedman_p` tests that
    all models are alike (None with two models or one task); `critical_difference` is Nemenyi's at 0.05, and
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
