"""Intervals against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.intervals import t_interval


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
