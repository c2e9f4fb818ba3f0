"""The protocol's rules against what the original programs were seen to do."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.model_selection import ParameterGrid
from tiny_task import make_task

from evaluation.errors import EvaluationError
from evaluation.probes.config import HEADS, ProbeConfig, config_key, config_of
from evaluation.probes.presets import PRESETS, preset_named
from evaluation.probes.splits import Combination, best_config, fit_seed, row_orders, task_splits
from tasks import read_metadata


def test_the_papers_grid_is_visited_in_the_originals_order() -> None:
    preset = preset_named("mwmae")
    starts_low = [seed for seed in range(10) if preset.order(seed)[0].dropout == 0.1]
    assert starts_low == [0, 5, 7, 9]
    assert preset.order(42)[0].dropout == 0.25


def test_the_benchmarks_grid_is_drawn_in_the_originals_order() -> None:
    """The order that the original printed with its seed, 42."""
    seen = [(c.hidden_layers, c.initialization[7:], c.lr) for c in preset_named("hear2021").order(42)]
    assert seen == [
        (1, "normal", 1e-4),
        (2, "uniform", 1e-3),
        (1, "normal", 1e-3),
        (1, "normal", 3.2e-4),
        (2, "normal", 3.2e-4),
        (2, "uniform", 3.2e-4),
        (2, "normal", 3.2e-3),
        (2, "uniform", 3.2e-3),
    ]
    assert {c.dropout for c in preset_named("hear2021").grid} == {0.1}


@pytest.mark.parametrize(("name", "size"), [("hear2021", 16), ("hear2021-fast", 64), ("hear2021-faster", 64)])
def test_eight_points_of_the_benchmarks_grids_are_used(name: str, size: int) -> None:
    preset = preset_named(name)
    assert len(set(preset.grid)) == size
    assert all(len(set(preset.order(seed))) == preset.n_points == 8 for seed in range(3))


def test_a_grid_is_ordered_as_in_scikit_learn() -> None:
    for preset in PRESETS:
        axes = {name: list(values) for name, values in preset.axes.items()}
        assert list(preset.grid) == [ProbeConfig(**point) for point in ParameterGrid(axes)]


def test_table_4_differs_from_the_default_in_two_numbers() -> None:
    assert preset_named("mwmae-table4").grid == (replace(ProbeConfig(), dropout=0.25, beta2=0.95),)


def test_any_number_can_be_changed_and_the_title_says_so() -> None:
    changes = {"dropout": [0.1, 0.5], "lr": 1e-3, "batch_size": 256, "shuffle": True, "grid_points": 1}
    preset = preset_named("mwmae").changed(changes)
    assert preset.grid[1] == ProbeConfig(dropout=0.5, lr=1e-3, batch_size=256, shuffle=True)
    assert preset.n_points == 1
    assert preset.title == (
        "mwmae changed to dropout 0.1 or 0.5, lr 0.001, batch_size 256, shuffle true, grid_points 1"
    )
    assert preset_named("mwmae").changed({"grid_points": 1}).title == "mwmae changed to grid_points 1"
    assert preset.changed({"dropout": 0}).grid == preset.changed({"dropout": 0.0}).grid


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": 1}, r"no option 'learning_rate'; known: hidden_layers, .*, grid_points"),
        ({"dropout": 1.0}, r"dropout 1.0: give a number of at least 0 and below 1"),
        ({"lr": 0}, r"lr 0: give a number above 0"),
        ({"lr": float("nan")}, r"lr nan"),
        ({"batch_size": 1}, r"batch_size 1: give a whole number of at least 2"),
        ({"max_epochs": 2.5}, r"max_epochs 2.5: give a whole number"),
        ({"shuffle": 1}, r"shuffle 1: give true or false"),
        ({"initialization": "he"}, r"choose xavier_normal or xavier_uniform"),
        ({"matmul_precision": "fp8"}, r"choose float32 or bf16"),
        ({"dropout": []}, r"dropout: give at least one value"),
        ({"dropout": None}, r"dropout None: give a number"),
        ({"dropout": [0.1, 0.1]}, r"a value appears twice in the grid: dropout 0.1 or 0.1"),
        ({"grid_points": 0}, r"grid_points 0"),
        ({"grid_points": [1, 2]}, r"grid_points \[1, 2\]: give a whole number"),
        ({"k": 3}, r"no option 'k'"),
    ],
)
def test_an_impossible_number_is_named(changes: dict, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        preset_named("mwmae").changed(changes)


def test_other_heads_have_their_own_grids() -> None:
    linear = preset_named("hear2021").with_head("linear")
    assert [point.C for point in linear.order(3)] == [10.0**power for power in range(-5, 3)]
    assert [point.C for point in linear.changed({"C": [1, 3.5]}).grid] == [1.0, 3.5]
    with pytest.raises(EvaluationError, match="no option 'dropout'; known: C, grid_points"):
        linear.changed({"dropout": 0.2})
    for wrong in (0, -1, float("nan"), float("inf"), "large", True):
        with pytest.raises(EvaluationError, match=r"C .*: give a number from 1e-12 to 1e12"):
            linear.changed({"C": wrong})
    assert linear.grid == preset_named("quick").with_head("linear").grid, "the same under every preset"
    assert [preset_named("mwmae").with_head(head).random for head in HEADS] == [True, False, False]
    knn = preset_named("mwmae").with_head("knn")
    assert [point.k for point in knn.order(3)] == [1, 5, 10, 20, 50]
    assert [point.k for point in knn.changed({"k": [3, 7]}).grid] == [3, 7]


def test_a_tasks_own_grid_stands_above_the_preset_and_below_the_user(tmp_path: Path) -> None:
    own = {"max_epochs": [50], "check_val_every_n_epoch": [1]}
    root = make_task(tmp_path / "t", evaluation_params={"task_specific_param_grid": own})
    preset = preset_named("mwmae").for_task(read_metadata(root))
    assert {(c.max_epochs, c.check_val_every_n_epoch) for c in preset.grid} == {(50, 1)}
    assert {c.dropout for c in preset.grid} == {0.1, 0.25}
    assert preset.title == "mwmae"
    users = preset_named("mwmae").changed({"max_epochs": 20}).for_task(read_metadata(root))
    assert {(c.max_epochs, c.check_val_every_n_epoch) for c in users.grid} == {(20, 1)}
    assert users.title == "mwmae changed to max_epochs 20"
    dcase = read_metadata(make_task(tmp_path / "d", task_name="dcase2016_task2"))
    assert {c.check_val_every_n_epoch for c in preset_named("hear2021").for_task(dcase).grid} == {10}
    wrong = make_task(
        tmp_path / "w", evaluation_params={"task_specific_param_grid": {"embedding_norm": ["BatchNorm1d"]}}
    )
    with pytest.raises(EvaluationError, match=r"tiny: task_specific_param_grid: .*'embedding_norm'"):
        preset.for_task(read_metadata(wrong))


def test_a_ledgers_grid_point_is_read_back() -> None:
    heads = [preset_named("hear2021-faster").with_head(head) for head in HEADS]
    for config in (config for preset in heads for config in preset.grid):
        assert config_of(config_key(config)) == config
    for wrong in ('{"speed": 1}', "3", '"C"', "[]]", '{"C": 1, "k": 1}'):
        with pytest.raises(EvaluationError, match="is no grid point of this version"):
            config_of(wrong)


def test_ties_go_to_the_earlier_grid_point() -> None:
    low, high = ProbeConfig(dropout=0.1), ProbeConfig(dropout=0.25)
    assert best_config((high, low), {low: 0.5, high: 0.5}) == high
    assert best_config((high, low), {low: 0.6, high: 0.5}) == low
    assert best_config((high, low), {low: 0.6, high: 0.5}, minimise=True) == high
    assert best_config((high, low), {low: 0.5, high: 0.5}, minimise=True) == high


def test_folds_rotate_with_the_next_one_for_validation() -> None:
    splits = task_splits("new_split_kfold", ("fold00", "fold01", "fold02", "fold03"))
    assert splits[0] == Combination(("fold02", "fold03"), "fold01", "fold00")
    assert splits[3] == Combination(("fold01", "fold02"), "fold00", "fold03")
    assert task_splits("trainvaltest", ("test", "train", "valid")) == (
        Combination(("train",), "valid", "test"),
    )
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
    first = Combination(("c",), "b", "a")
    other = Combination(("a",), "c", "b")
    configs = preset_named("mwmae").grid
    seeds = {fit_seed(s, split, c) for s in range(10) for split in (first, other) for c in configs}
    assert len(seeds) == 40


def test_an_unknown_preset_is_named_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"'slow'; choose one of: mwmae, mwmae-table4, hear2021, "):
        preset_named("slow")
