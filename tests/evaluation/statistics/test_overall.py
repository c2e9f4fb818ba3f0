"""s(m) against hand computation and the published values, and the pools that it compares with."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import EvaluationError
from evaluation.statistics.intervals import t_interval
from evaluation.statistics.overall import leave_one_out, overall_score, superb_score
from evaluation.statistics.pools import Pool, Standing, extreme_factor, joined_pools, paper_pool, run_pool
from evaluation.statistics.published import SCORED, TASKS, published_directory, read_published

PUBLISHED = published_directory()

SCORES = {
    "good": {"a": [0.8, 1.0], "b": [0.5, 0.5]},
    "bad": {"a": [0.2, 0.0], "b": [0.3, 0.1]},
    "middle": {"a": [0.5, 0.5], "b": [0.3, 0.3]},
}


def test_extremes_over_means_are_equation_3() -> None:
    overall = overall_score(SCORES, run_pool(SCORES), extremes="means")
    assert overall["good"].mean == pytest.approx(100)
    assert overall["bad"].mean == pytest.approx(0)
    assert overall["middle"].mean == pytest.approx(100 * ((0.5 - 0.1) / 0.8 + (0.3 - 0.2) / 0.3) / 2)
    assert math.isnan(overall["middle"].half_width)


def test_extremes_over_runs_leave_room_above_the_best_mean() -> None:
    overall = overall_score(SCORES, run_pool(SCORES), extremes="runs")
    assert overall["good"].mean == pytest.approx(100 * (0.9 / 1.0 + (0.5 - 0.1) / 0.4) / 2)
    assert overall["bad"].mean == pytest.approx(100 * (0.1 + 0.1 / 0.4) / 2)
    per_seed = [100 * (0.8 + 1.0) / 2, 100 * (1.0 + 1.0) / 2]
    assert overall["good"].half_width == pytest.approx(t_interval(per_seed).half_width)


def test_incomplete_models_are_not_in_the_pool() -> None:
    partial = {**SCORES, "partial": {"a": [5.0, 5.0]}}
    assert run_pool(partial) == run_pool(SCORES)
    assert "partial" not in overall_score(partial, run_pool(partial), extremes="means")
    only = {"only": {"a": [0.1]}}
    assert overall_score(only, run_pool(only), extremes="runs") == {}


def test_a_task_that_tells_no_model_apart_is_left_out() -> None:
    same = {model: {**row, "c": [0.7, 0.7]} for model, row in SCORES.items()}
    expected = overall_score(SCORES, run_pool(SCORES), extremes="means")
    assert overall_score(same, run_pool(same), extremes="means") == expected


def test_a_stranger_is_scored_against_the_pool() -> None:
    overall = overall_score({"new": {"a": [1.7], "b": [0.3]}}, run_pool(SCORES), extremes="means")
    assert overall["new"].mean == pytest.approx(100 * ((1.7 - 0.1) / 0.8 + (0.3 - 0.2) / 0.3) / 2)


def test_the_units_do_not_matter() -> None:
    percent = {m: {t: [100 * x for x in seeds] for t, seeds in row.items()} for m, row in SCORES.items()}
    for model, cell in overall_score(percent, run_pool(percent), extremes="runs").items():
        expected = overall_score(SCORES, run_pool(SCORES), extremes="runs")[model]
        assert (cell.mean, cell.half_width) == pytest.approx((expected.mean, expected.half_width))


def test_relative_to_naive_and_clipped() -> None:
    pool = run_pool(SCORES, naive="middle")
    overall = superb_score(SCORES, pool)
    assert overall["middle"].mean == 0
    assert overall["good"].mean == pytest.approx(100)
    assert overall["bad"].mean == 0, "worse than naive counts as naive"
    half = {"half": {"a": [0.7], "b": [0.1]}}
    assert superb_score(half, pool)["half"].mean == pytest.approx(100 * ((0.7 - 0.5) / 0.4) / 2)
    with pytest.raises(EvaluationError, match="HEAR-Naive"):
        superb_score(SCORES, run_pool(SCORES))


def printed() -> dict[tuple[int, str], tuple[dict[str, list[float]], float]]:
    """Return every published row with all tasks: its means and its printed s(m)."""
    return {
        (number, row.name): ({task: [row.cells[task].mean] for task in TASKS}, row.cells["s(m)"].mean)
        for number in SCORED
        for row in read_published(PUBLISHED, number).rows
        if row.whole
    }


def test_every_legible_row_is_within_a_third_of_a_point_of_the_paper() -> None:
    pool, rows = paper_pool(PUBLISHED), printed()
    assert len(pool.rows) == 39
    found = overall_score({name: scores for name, (scores, _) in rows.items()}, pool, extremes="runs")
    differences = {name: found[name].mean - published for name, (_, published) in rows.items()}
    assert len(differences) == 49, "the 39 models, some in several tables"
    assert max(map(abs, differences.values())) < 0.3, differences


def test_both_readings_agree_with_the_check_that_came_with_the_numbers() -> None:
    pool = paper_pool(PUBLISHED)
    with open(PUBLISHED / "sm_check.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = {model: {t: [s.mean] for t, s in row.items()} for model, row in pool.rows.items()}
    for kind, column in (("means", "s_extremes_of_means"), ("runs", "s_extremes_of_runs_approx")):
        ours = sorted(cell.mean for cell in overall_score(rows, pool, extremes=kind).values())
        assert ours == pytest.approx(sorted(float(line[column]) for line in lines), abs=0.0051)


def test_the_expected_extreme_agrees_with_drawn_runs() -> None:
    runs = np.random.default_rng(0).normal(size=(400_000, 10))
    half_width = t_interval([-1.5, -1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1, 1.5]).half_width
    deviation = np.std([-1.5, -1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1, 1.5], ddof=1)
    assert extreme_factor(10) == pytest.approx(2.151, abs=5e-4)
    assert extreme_factor(10) == pytest.approx(runs.max(1).mean() * deviation / half_width, rel=3e-3)


def test_leaving_a_model_out_moves_the_others() -> None:
    left = leave_one_out(SCORES, run_pool(SCORES), extremes="means")
    assert set(left) == set(SCORES)
    assert set(left["bad"]) == {"good", "middle"}
    assert left["bad"] == {"good": pytest.approx(100), "middle": pytest.approx(0)}


def test_a_pool_is_known_by_its_numbers() -> None:
    pool = run_pool(SCORES)
    assert pool.digest == run_pool(dict(reversed(SCORES.items()))).digest
    changed = {**SCORES, "good": {"a": [0.8, 1.0], "b": [0.5, 0.6]}}
    assert run_pool(changed).digest != pool.digest
    assert pool.title == f"pool run, 3 models, {pool.digest}"
    assert paper_pool(PUBLISHED).title == "pool paper, 39 models, b9fb8c7bf680", "published numbers changed"


def test_pools_join_only_on_the_same_tasks() -> None:
    paper = paper_pool(PUBLISHED)
    row = {task: Standing(50, 49, 51) for task in TASKS}
    both = joined_pools(paper, Pool("run", {"mine": row}))
    assert set(both.rows) == {*paper.rows, "mine"}
    with pytest.raises(EvaluationError, match="all ten tasks"):
        joined_pools(paper, run_pool(SCORES))
    with pytest.raises(EvaluationError, match="name of a published row"):
        joined_pools(paper, Pool("run", {"PaSST-base": row}))


def test_missing_tables_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="--published DIR"):
        published_directory(tmp_path)
    (tmp_path / "table1.csv").write_text("model,BO,BO_ci\nx,1\n")
    with pytest.raises(EvaluationError, match=r"table1\.csv cannot be read"):
        read_published(tmp_path, 1)
