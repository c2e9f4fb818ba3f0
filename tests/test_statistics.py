"""Intervals and s(m) against scipy and hand computation."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import overall_scores, t_interval


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(1).normal(70, 2, 10)
    interval = t_interval(values)
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.mean - interval.half_width, interval.mean + interval.half_width) == pytest.approx(
        (low, high)
    )


def test_one_value_has_no_interval() -> None:
    assert math.isnan(t_interval([3.0]).half_width)


SCORES = {
    "good": {"a": [0.8, 1.0], "b": [0.5, 0.5]},
    "bad": {"a": [0.2, 0.0], "b": [0.3, 0.1]},
    "middle": {"a": [0.5, 0.5], "b": [0.3, 0.3]},
}


def test_extremes_over_means_are_equation_3() -> None:
    overall = overall_scores(SCORES, extremes="means")
    assert overall["good"].mean == pytest.approx(100)
    assert overall["bad"].mean == pytest.approx(0)
    assert overall["middle"].mean == pytest.approx(100 * ((0.5 - 0.1) / 0.8 + (0.3 - 0.2) / 0.3) / 2)


def test_extremes_over_runs_leave_room_above_the_best_mean() -> None:
    overall = overall_scores(SCORES, extremes="runs")
    assert overall["good"].mean == pytest.approx(100 * (0.9 / 1.0 + (0.5 - 0.1) / 0.4) / 2)
    assert overall["bad"].mean == pytest.approx(100 * (0.1 + 0.1 / 0.4) / 2)
    per_seed = [100 * (0.8 + 1.0) / 2, 100 * (1.0 + 1.0) / 2]
    assert overall["good"].half_width == pytest.approx(t_interval(per_seed).half_width)


def test_incomplete_models_are_not_in_the_pool() -> None:
    partial = {**SCORES, "partial": {"a": [5.0, 5.0]}}
    assert overall_scores(partial, extremes="means") == overall_scores(SCORES, extremes="means")
    assert overall_scores({"only": {"a": [0.1]}}, extremes="runs") == {}


def test_a_task_that_tells_no_model_apart_is_left_out() -> None:
    same = {model: {**row, "c": [0.7, 0.7]} for model, row in SCORES.items()}
    assert overall_scores(same, extremes="means") == overall_scores(SCORES, extremes="means")
