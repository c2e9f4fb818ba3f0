"""The one place that declares a metric: what it is, how tables print it, how it is resampled and checked.

To add one, write its function beside those of its kind (`scenes` or `events`, or here) and give it a line in
the list below; everything else asks this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.metrics.classes import mean_in_details, share_in_details
from evaluation.metrics.events import EventBased, EventScore, SegmentBased
from evaluation.metrics.resampling import Counts, Replicates, resampled_map, resampled_share
from evaluation.metrics.scenes import (
    Scores,
    Target,
    chroma_right,
    d_prime,
    mean_average_precision,
    mean_roc_auc,
    top1_right,
)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of a task: a `scene` score of the clips' targets and answers, or an `event` score.

    Attributes:
        name: As HEAR's task metadata and the ledger have it.
        percent: Whether tables print 100 times the score with "%".
        minimised: Whether lower is better.
        short: Its name where `name` is wider than a figure's panel; the name itself otherwise.
        resampled: Its values on `n_resamples` resamples of the test clips; None where no interval over test
            clips is given.
        resampled_note: What a reader of such intervals must know.
        of_details: The score that a fit's stored details give, at most `rounding` away; None where they do
            not give it.
    """

    name: str
    scene: Callable[[Target, Scores], float] | None = None
    event: EventScore | None = None
    percent: bool = True
    minimised: bool = False
    short: str = ""
    resampled: Callable[[Target, Scores, Counts], Replicates] | None = None
    n_resamples: int = 1000
    resampled_note: str = ""
    of_details: Callable[[Mapping[str, Any]], float | None] | None = None
    rounding: float = 1e-6


def _share_of_metric(
    name: str, right: Callable[[Target, Scores], np.ndarray], modulus: int | None = None
) -> Metric:
    """Return the metric that is the share of the clips that are `right`."""
    return Metric(
        name=name,
        scene=lambda target, scores: float(np.mean(right(target, scores))),
        resampled=lambda target, scores, counts: resampled_share(right(target, scores), counts),
        of_details=partial(share_in_details, modulus=modulus),
        rounding=1e-12,
    )


_ALL = (
    _share_of_metric("top1_acc", top1_right),
    _share_of_metric("pitch_acc", top1_right),
    _share_of_metric("chroma_acc", chroma_right, modulus=12),
    Metric(
        name="mAP",
        scene=mean_average_precision,
        resampled=resampled_map,
        n_resamples=200,
        resampled_note="mAP of a resample tends to be higher, most where a class has few clips: "
        "its intervals lie high.",
        of_details=partial(mean_in_details, name="average_precision"),
    ),
    Metric(name="aucroc", scene=mean_roc_auc, of_details=partial(mean_in_details, name="roc_auc")),
    Metric(name="d_prime", scene=d_prime, percent=False),
    Metric(name="event_onset_200ms_fms", event=EventBased(0.2), short="onset F 200ms"),
    Metric(name="event_onset_50ms_fms", event=EventBased(0.05), short="onset F 50ms"),
    Metric(name="event_onset_offset_50ms_20perc_fms", event=EventBased(0.05, 0.2), short="on-offset F"),
    Metric(name="segment_1s_er", event=SegmentBased(1.0), percent=False, minimised=True, short="segment ER"),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""HEAR's names of the scores, and what they are."""


def metrics_of(kind: Literal["scene", "event"]) -> dict[str, Metric]:
    """Return the metrics of tasks whose embeddings are of this kind."""
    return {name: metric for name, metric in METRICS.items() if getattr(metric, kind) is not None}


def scene_metric(name: str) -> Callable[[Target, Scores], float]:
    """Return the scene score that HEAR calls `name`; raise EvaluationError when it is not one."""
    score = metric_named(name, "scene").scene
    assert score is not None  # that is what makes it a scene metric
    return score


def event_metric(name: str) -> EventScore:
    """Return the event score that HEAR calls `name`; raise EvaluationError when it is not one."""
    score = metric_named(name, "event").event
    assert score is not None  # that is what makes it an event metric
    return score


def metric_named(name: str, kind: Literal["scene", "event"]) -> Metric:
    """Return the metric that HEAR calls `name`; raise EvaluationError when it is none of this kind."""
    known = metrics_of(kind)
    if name not in known:
        raise EvaluationError(f"there is no {kind} metric '{name}'; known: {', '.join(known)}")
    return known[name]


def shown_metric(name: str) -> Metric:
    """Return how a score is printed; of a name that this version does not know, as it is."""
    return METRICS.get(name) or Metric(name=name, percent=False)
