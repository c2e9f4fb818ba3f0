"""HEAR's event scores against sed_eval, as stored and, where it can be imported, as it runs.

sed_eval needs `pkg_resources`, which setuptools 81 and later lack. `tests/data/events.npz` holds what it says
of 200 pairs of random and degenerate events; `tests/event_references.py` says how the file is made again.
"""

import importlib
import itertools
import math
import warnings

import numpy as np
import pytest
from event_references import FILE, LABELS, Case, random_pair, sed_eval_scores
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from evaluation.errors import EvaluationError
from evaluation.metrics.events import EventTable, event_table
from evaluation.metrics.table import event_metric, metrics_of
from tasks import Event

EVENT_METRICS = {name: metric.event for name, metric in metrics_of("event").items()}
SCORES = {name: 3 for name in EVENT_METRICS} | {"segment_1s_er": 1}
"""How many overall numbers sed_eval gives for each score; one per label follows them."""


def table(case: Case) -> EventTable:
    return event_table([[Event(LABELS[e[0]], *e[1:]) for e in events] for events in case], LABELS)


def our_scores(reference: Case, estimate: Case) -> np.ndarray:
    """Every score and every label's, in the order of the stored ones."""
    values: list[float] = []
    wanted, found = table(reference), table(estimate)
    for name in SCORES:
        metric = event_metric(name)
        values += [*metric.scores(wanted, found, len(LABELS)).values()]
        values += [*metric.class_scores(wanted, found, len(LABELS))]
    return np.array(values)


def stored_pairs() -> list[tuple[Case, Case]]:
    with np.load(FILE) as arrays:
        rows, n_files = arrays["pairs"], arrays["n_files"]
    pairs: list[tuple[Case, Case]] = [([[] for _ in range(n)], [[] for _ in range(n)]) for n in n_files]
    for case, side, file, label, start, end in rows:
        pairs[int(case)][int(side)][int(file)].append((int(label), start, end))
    return pairs


def test_scores_equal_those_that_sed_eval_gave() -> None:
    with np.load(FILE) as arrays:
        expected = arrays["scores"]
    for (reference, estimate), values in zip(stored_pairs(), expected, strict=True):
        np.testing.assert_array_equal(our_scores(reference, estimate), values)


def test_scores_equal_sed_eval_where_it_runs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("sed_eval")
        except ImportError as error:
            pytest.skip(f"sed_eval cannot be imported here: {error}")
    generator = np.random.default_rng(1)
    for _ in range(100):
        reference, estimate = random_pair(generator)
        expected = np.concatenate(list(sed_eval_scores(reference, estimate).values()))
        np.testing.assert_array_equal(our_scores(reference, estimate), expected)


def test_the_example_of_the_original_score_code() -> None:
    reference = table([[(0, 0, 1000), (1, 1500, 2500), (0, 3000, 3600)]])
    estimate = table([[(0, 150, 900), (1, 1750, 2500), (0, 3040, 3700), (2, 100, 300)]])
    scores = {name: metric.scores(reference, estimate, 4) for name, metric in EVENT_METRICS.items()}
    assert scores["event_onset_200ms_fms"] == pytest.approx(
        {"f_measure": 4 / 7, "precision": 0.5, "recall": 2 / 3}, abs=1e-15
    )
    assert scores["event_onset_50ms_fms"]["f_measure"] == pytest.approx(2 / 7, abs=1e-15)
    assert scores["event_onset_offset_50ms_20perc_fms"]["f_measure"] == pytest.approx(2 / 7, abs=1e-15)
    assert scores["segment_1s_er"] == pytest.approx({"error_rate": 0.25}, abs=1e-15)


def test_nothing_estimated_and_nothing_to_find() -> None:
    some, none = table([[(0, 0, 1000)], []]), table([[], []])
    scores = {name: metric.scores(some, none, 4) for name, metric in EVENT_METRICS.items()}
    for name in list(EVENT_METRICS)[:3]:
        assert math.isnan(scores[name]["f_measure"])
        assert math.isnan(scores[name]["precision"])
        assert scores[name]["recall"] == 0
    assert scores["segment_1s_er"] == pytest.approx({"error_rate": 1.0}, abs=1e-15)
    assert EVENT_METRICS["segment_1s_er"].scores(none, none, 4) == {"error_rate": 0.0}
    assert EVENT_METRICS["segment_1s_er"].scores(none, some, 4)["error_rate"] > 1e15
    assert math.isnan(EVENT_METRICS["event_onset_50ms_fms"].scores(none, some, 4)["recall"])


def test_as_many_events_match_as_can() -> None:
    """Taking the first that fits for the first event would leave the second without."""
    reference, estimate = table([[(0, 200, 300), (0, 0, 100)]]), table([[(0, 100, 200), (0, 350, 400)]])
    assert EVENT_METRICS["event_onset_200ms_fms"].scores(reference, estimate, 4)["f_measure"] == 1


def test_files_and_labels_are_kept_apart() -> None:
    reference = table([[(0, 100, 900)], [(1, 100, 900)]])
    metric = EVENT_METRICS["event_onset_200ms_fms"]
    for estimate in ([[(1, 100, 900)], [(0, 100, 900)]], [[], [(0, 100, 900)]], [[(2, 100, 900)], []]):
        assert metric.scores(reference, table(estimate), 4)["f_measure"] == 0
    assert metric.scores(reference, reference, 4)["f_measure"] == 1


@given(st.integers(0, 2**32 - 1))
def test_matching_is_the_largest_of_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    starts = [np.sort(generator.choice(20, 5, replace=False)) * 50.0 for _ in range(2)]
    reference, estimate = ([[(0, s, s + generator.integers(1, 9) * 100.0) for s in side]] for side in starts)
    for name, metric in EVENT_METRICS.items():
        if name == "segment_1s_er":
            continue
        single = np.array([[matches([r], [e], metric) for e in estimate[0]] for r in reference[0]])
        best = max(sum(single[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(5)))
        assert matches(reference[0], estimate[0], metric) == best


def matches(reference: list, estimate: list, metric) -> int:
    return round(metric.scores(table([reference]), table([estimate]), 4)["recall"] * len(reference))


def test_f_measures_agree_with_scikit_learn_where_events_do_not_overlap() -> None:
    """One slot of a second for every event: then the score is that of a multilabel classification."""
    generator = np.random.default_rng(0)
    target, found = generator.random((2, 300, 4)) < 0.4
    reference, estimate = (
        table([[(label, 1000.0 * slot, 1000.0 * slot + 500) for slot, label in np.argwhere(side)]])
        for side in (target, found)
    )
    metric = EVENT_METRICS["event_onset_offset_50ms_20perc_fms"]
    assert metric.scores(reference, estimate, 4) == pytest.approx(
        {
            "f_measure": f1_score(target, found, average="micro"),
            "precision": precision_score(target, found, average="micro"),
            "recall": recall_score(target, found, average="micro"),
        },
        abs=1e-12,
    )
    np.testing.assert_allclose(
        metric.class_scores(reference, estimate, 4), f1_score(target, found, average=None), atol=1e-12
    )


def test_events_become_a_table_and_come_back() -> None:
    events = [[Event("b", 5.0, 9.5)], [], [Event("a", 1.0, 2.0), Event("c", 0.0, 2.0)]]
    again = event_table(events, LABELS).by_file(3, LABELS)
    assert again == [events[0], [], [events[2][1], events[2][0]]]


def test_an_unknown_metric_is_named_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"no event metric 'mAP'.*segment_1s_er"):
        event_metric("mAP")
