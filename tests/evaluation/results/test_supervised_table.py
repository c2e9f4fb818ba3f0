"""Means over folds and seeds of supervised runs against numbers worked out by hand."""

from pathlib import Path

import pytest
from score_records import content, write

from evaluation.results.supervised import read_supervised
from evaluation.results.supervised_table import SupervisedColumn, SupervisedModel, supervised_table

COLUMN = SupervisedColumn("esc50", "finetune", "accuracy")
MODEL = SupervisedModel("mw_mae_t", "pretrained")


def write_runs(directory: Path, runs: dict[tuple[int, str], float], **changes: object) -> None:
    """Write a record for each seed and fold with a score after the last epoch."""
    for (seed, fold), last in runs.items():
        place = "-".join([str(seed), fold, *map(str, changes.values())]).replace("/", "_")
        write(directory / place, last=last, seed=seed, fold=fold, **changes)


def test_mean_over_folds_then_seeds_and_its_interval(tmp_path: Path) -> None:
    runs = {(0, "a"): 0.50, (0, "b"): 0.60, (1, "a"): 0.56, (1, "b"): 0.64, (2, "a"): 0.60, (2, "b"): 0.70}
    write_runs(tmp_path, runs)
    table = supervised_table(read_supervised(tmp_path))
    assert (table.models, table.columns) == ([MODEL], [COLUMN])
    cell = table.cells[MODEL, COLUMN]
    assert cell.scores("accuracy") == pytest.approx({0: 55, 1: 60, 2: 65})
    interval = cell.interval("accuracy")
    assert interval is not None
    assert interval.mean == pytest.approx(60)
    assert interval.half_width == pytest.approx(4.302653 * 5 / 3**0.5, rel=1e-6), "t of 2 degrees, s = 5"
    assert (cell.folds, list(cell.seeds)) == (2, [0, 1, 2])
    best = cell.interval("accuracy", "best")
    assert best is not None
    assert best.mean == pytest.approx(70)
    assert cell.interval("d_prime") is None
    assert cell.chosen_on == "test"
    assert table.left_out == []


def test_a_seed_that_lacks_a_fold_is_named_and_not_averaged(tmp_path: Path) -> None:
    write_runs(tmp_path, {(0, "a"): 0.5, (0, "b"): 0.6, (1, "a"): 0.9})
    write_runs(tmp_path, {(0, "b"): 0.1, (1, "b"): 0.1}, model="mae_t")
    table = supervised_table(read_supervised(tmp_path))
    assert list(table.cells) == [(MODEL, COLUMN)]
    assert table.models == [MODEL]
    assert table.cells[MODEL, COLUMN].scores("accuracy") == pytest.approx({0: 55})
    assert table.left_out == [
        "mae_t on esc50, fine-tuning, seed 0 lacks a",
        "mae_t on esc50, fine-tuning, seed 1 lacks a",
        "mw_mae_t on esc50, fine-tuning, seed 1 lacks b",
    ]


def test_folds_are_counted_for_each_data_set_and_mode(tmp_path: Path) -> None:
    write_runs(tmp_path, {(0, "a"): 0.5, (0, "b"): 0.6})
    write_runs(tmp_path, {(0, ""): 0.7}, data="digits", classes=10)
    write_runs(tmp_path, {(0, "a"): 0.8}, mode="probe")
    table = supervised_table(read_supervised(tmp_path))
    assert [table.titles[column] for column in table.columns] == [
        "digits, fine-tuning",
        "esc50, fine-tuning",
        "esc50, linear probe",
    ]
    assert {column.data + column.mode: cell.folds for (_, column), cell in table.cells.items()} == {
        "digitsfinetune": 1,
        "esc50finetune": 2,
        "esc50probe": 1,
    }


def test_models_are_compared_over_the_seeds_they_share(tmp_path: Path) -> None:
    write_runs(tmp_path, {(seed, ""): 0.5 + seed / 100 for seed in range(8)})
    write_runs(tmp_path, {(seed, ""): 0.4 + seed / 100 for seed in range(1, 9)}, model="mae_t")
    write_runs(tmp_path, {(seed, ""): 0.4 for seed in range(3)}, model="mae_t", init="random")
    table = supervised_table(read_supervised(tmp_path))
    pairs = {(test.first, test.second): test for test in table.tests}
    assert set(table.names.values()) == {"mae_t", "mae_t (random init)", "mw_mae_t"}
    first = pairs["mae_t", "mw_mae_t"]
    assert (first.n, first.task) == (7, "esc50, fine-tuning")
    assert first.difference == pytest.approx(-10)
    assert first.p == pytest.approx(2 / 2**7), "all signs alike"
    assert first.p_holm == first.p, "the only pair with seeds enough"
    assert first.better == "mw_mae_t"
    few = pairs["mae_t (random init)", "mw_mae_t"]
    assert (few.n, few.p, few.better) == (3, None, "")
    (note,) = table.notes
    assert note.startswith(
        "3 seeds are too few for tests between models on esc50, fine-tuning corrected for 3"
    )


def test_one_model_by_two_configs_has_two_rows(tmp_path: Path) -> None:
    write_runs(tmp_path, {(0, ""): 0.5})
    write_runs(tmp_path, {(0, ""): 0.9}, config="esc50:long")
    write_runs(tmp_path, {(0, ""): 0.2}, config="esc50:long", mode="probe")
    table = supervised_table(read_supervised(tmp_path))
    assert list(table.names.values()) == ["mw_mae_t", "mw_mae_t [no config]", "mw_mae_t [esc50:long]"]
    assert len(table.cells) == 3


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    write_runs(tmp_path / "1", {(0, ""): 0.5}, model="a (random init)")
    write_runs(tmp_path / "2", {(0, ""): 0.6}, model="a", init="random")
    write_runs(tmp_path / "3", {(0, ""): 0.7}, model="b\x1b")
    write_runs(tmp_path / "4", {(0, ""): 0.7}, model="b\\x1b")
    table = supervised_table(read_supervised(tmp_path))
    assert len(set(table.names.values())) == 4
    assert not any("\x1b" in name for name in table.names.values())


def test_infinite_d_prime_has_no_interval(tmp_path: Path) -> None:
    for seed, d_prime in enumerate(["inf", 2.0]):
        scores = content()["test"]
        scores["last"]["d_prime"] = d_prime
        write(tmp_path / str(seed), seed=seed, test=scores)
    interval = supervised_table(read_supervised(tmp_path)).cells[MODEL, COLUMN].interval("d_prime")
    assert interval is not None
    assert interval.mean == float("inf")
    assert interval.half_width != interval.half_width


def test_other_test_clips_are_said(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", seed=1, clips={"training": 320, "validation": 0, "test": 78, "missing": 2})
    (note,) = supervised_table(read_supervised(tmp_path)).notes
    assert note == "Not all scores on esc50 are of the same clips: test parts have 78 and 80."
