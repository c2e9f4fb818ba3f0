"""Budgets: nested, stratified, and the same whatever else changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.probes.budget import budget_rows


def multi_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def names(rows: int) -> list[str]:
    return [f"clip-{i}.wav" for i in range(rows)]


@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 8))
def test_every_class_keeps_its_share_and_smaller_is_within_larger(seed: int, rows: int, classes: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    target = multi_hot(labels, classes)
    kept = {percent: budget_rows(target, names(rows), percent) for percent in (1, 5, 10, 50, 100)}
    assert kept[100].all()
    for percent, flags in kept.items():
        for c in np.unique(labels):
            members = labels == c
            assert flags[members].sum() == max(1, int(members.sum() * percent / 100 + 0.5))
    for smaller, larger in ((1, 5), (5, 10), (10, 50)):
        assert not (kept[smaller] & ~kept[larger]).any()


def test_neither_row_order_nor_another_class_matters() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 200)
    kept = budget_rows(multi_hot(labels, 4), names(200), 10)
    order = generator.permutation(200)
    again = budget_rows(multi_hot(labels[order], 4), [names(200)[i] for i in order], 10)
    np.testing.assert_array_equal(again, kept[order])
    first = labels == 0
    alone = budget_rows(multi_hot(labels[first], 4), [names(200)[i] for i in np.flatnonzero(first)], 10)
    np.testing.assert_array_equal(alone, kept[first])


def test_the_rows_kept_are_pinned() -> None:
    kept = budget_rows(np.ones((100, 1)), names(100), 5)
    assert np.flatnonzero(kept).tolist() == [57, 65, 72, 78, 95]


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_rows_with_several_labels_and_with_none_keep_about_the_share(percent: float) -> None:
    generator = np.random.default_rng(2)
    target = generator.random((4000, 12)) < 0.1
    kept = budget_rows(target, names(4000), percent)
    assert (target[kept].sum(0) >= target.sum(0) * percent / 100 - 1).all()
    assert not target[kept].any(1).all(), "clips without a label are trained on too"
    assert kept.mean() == pytest.approx(percent / 100, rel=0.25)
