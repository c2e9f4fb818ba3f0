"""The protocol's rules against what the original programs were seen to do."""

import random

import pytest

from evaluation.errors import EvaluationError
from evaluation.protocol import (
    ProbeConfig,
    Split,
    best_config,
    fit_seed,
    preset_named,
    row_orders,
    task_splits,
)


def test_the_papers_grid_is_visited_in_the_originals_order() -> None:
    preset = preset_named("mwmae")
    starts_low = [seed for seed in range(10) if preset.order(seed)[0].dropout == 0.1]
    assert starts_low == [0, 5, 7, 9]
    assert preset.order(42)[0].dropout == 0.25


def test_ties_go_to_the_earlier_grid_point() -> None:
    low, high = ProbeConfig(dropout=0.1), ProbeConfig(dropout=0.25)
    assert best_config((high, low), {low: 0.5, high: 0.5}) == high
    assert best_config((high, low), {low: 0.6, high: 0.5}) == low


def test_folds_rotate_with_the_next_one_for_validation() -> None:
    splits = task_splits("new_split_kfold", ("fold00", "fold01", "fold02", "fold03"))
    assert splits[0] == Split(("fold02", "fold03"), "fold01", "fold00")
    assert splits[3] == Split(("fold01", "fold02"), "fold00", "fold03")
    assert task_splits("trainvaltest", ("test", "train", "valid")) == (Split(("train",), "valid", "test"),)
    with pytest.raises(EvaluationError, match="at least 3 folds"):
        task_splits("presplit_kfold", ("fold00", "fold01"))


def test_rows_are_shuffled_once_by_one_generator() -> None:
    orders = row_orders({"train": 10, "valid": 10})
    assert orders["train"] == [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]
    assert orders["valid"] == [9, 4, 8, 6, 0, 1, 7, 2, 3, 5]


def test_the_global_generator_is_left_alone() -> None:
    random.seed(3)
    expected = random.Random(3).random()
    preset_named("mwmae").order(5)
    row_orders({"train": 5})
    assert random.random() == expected


def test_every_fit_has_its_own_seed() -> None:
    first = Split(("c",), "b", "a")
    other = Split(("a",), "c", "b")
    configs = preset_named("mwmae").grid
    seeds = {fit_seed(s, split, c) for s in range(10) for split in (first, other) for c in configs}
    assert len(seeds) == 40


def test_an_unknown_preset_is_named_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"'slow'; choose one of: mwmae, quick"):
        preset_named("slow")
