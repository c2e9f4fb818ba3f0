"""What is said of the differences between models, and what is not said when there is too little."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import MODELS
from run_helpers import TWO, arguments

from evaluation.errors import EvaluationError
from evaluation.escape import csv_text
from evaluation.report.statistics import overall_sheet, statistics_markdown, statistics_rows
from evaluation.report.tables import scores_markdown
from evaluation.results.comparison import _tests_per_task, compare
from evaluation.results.reading import read_run
from evaluation.results.score_table import Column, ScoreTable, SeedFits
from evaluation.run import main
from evaluation.statistics.overall import overall_score
from evaluation.statistics.pools import Pool


def results(n_models: int = 3, n_tasks: int = 8, n_seeds: int = 10, metric: str = "top1_acc") -> ScoreTable:
    """Return scores in which model 0 is best everywhere, the others alike."""
    rng = np.random.default_rng(0)
    columns = [Column(f"t{i}", metric, f"T{i}") for i in range(n_tasks)]
    scores = {
        f"m{m}": {c.task: (rng.normal(0.5, 0.01, n_seeds) + 0.3 * (m == 0)).tolist() for c in columns}
        for m in range(n_models)
    }
    return ScoreTable(list(scores), columns, scores, {}, [])


def test_a_clear_difference_is_found_and_none_is_not() -> None:
    found = compare(results())
    over = {(t.first, t.second): t for t in found.over_tasks}
    assert over["m0", "m1"].p == pytest.approx(2 / 2**8)
    assert over["m0", "m1"].p_holm == pytest.approx(3 * 2 / 2**8)
    assert over["m0", "m1"].difference == pytest.approx(30, abs=1), "in per cent, as the tables are"
    assert over["m1", "m2"].p_holm > 0.05
    assert len(found.per_task) == 3 * 8
    assert found.ranks.mean["m0"] == 1
    assert next(iter(found.ranks.mean)) == "m0"
    assert found.ranks.friedman_p < 0.01
    assert all(d.difference == pytest.approx(1.325 * d.deviation, rel=1e-3) for d in found.detectable)


def test_lower_is_better_where_it_is() -> None:
    found = compare(results(metric="segment_1s_er"))
    assert found.ranks.mean["m0"] == 3
    clear = [test for test in (*found.per_task, *found.over_tasks) if test.first == "m0"]
    assert {test.better for test in clear} == {"m1", "m2"}
    assert found.per_task[0].difference == pytest.approx(0.3, abs=0.02), "first - second as printed"
    assert found.over_tasks[0].difference == pytest.approx(-0.3, abs=0.01), "turned: more is better"
    made = results(metric="segment_1s_er")
    scores = overall_score(made.complete_scores(), made.run_pool(), extremes="means")
    assert scores["m0"].mean == pytest.approx(0, abs=1e-9)
    assert scores["m1"].mean > 95


def test_scores_of_different_kinds_are_ranked_but_not_added_up() -> None:
    plain, made = results(), results()
    mixed = replace(made, columns=[*made.columns[:-1], Column("t7", "segment_1s_er", "T7")])
    for model, error in zip(("m0", "m1", "m2"), (0.1, 0.8, 0.9), strict=True):
        mixed.scores[model]["t7"] = [error] * 10
    found = compare(mixed)
    assert found.over_tasks == []
    assert found.ranks.mean["m0"] == 1
    assert any("different kinds" in note for note in found.notes)
    assert plain.average("m0") == pytest.approx(80, abs=0.5)
    assert mixed.average("m0") is None
    assert "have no average" in scores_markdown(mixed)
    # By hand: the task's range is from the worst run 0.9 to the best 0.1.
    pool, scores = mixed.run_pool(), mixed.complete_scores()
    last = Pool("one", {model: {"t7": row["t7"]} for model, row in pool.rows.items()})
    only = {model: {"t7": row["t7"]} for model, row in scores.items()}
    found = overall_score(only, last, extremes="runs")
    assert [found[m].mean for m in ("m0", "m1", "m2")] == pytest.approx([100, 12.5, 0])


@pytest.mark.parametrize(("models", "seeds", "needed"), [(7, 10, None), (8, 10, 11), (14, 10, 12)])
def test_p_values_that_no_correction_leaves_below_the_limit_are_announced(
    models: int, seeds: int, needed: int | None
) -> None:
    made = results(models, n_tasks=1, n_seeds=seeds)
    smallest = 2 / 2**seeds * models * (models - 1) / 2
    assert (smallest >= 0.05) == (needed is not None)
    (said,) = [note for note in compare(made).notes if "on one task" in note] or [None]
    assert said is None if needed is None else f"{needed} are needed" in said


def test_nothing_is_minus_zero() -> None:
    made = results()
    made.scores["m1"] = made.scores["m2"] = {task: [0.3 - 1e-9] * 10 for task in made.scores["m1"]}
    made.scores["m1"] = {task: [0.3 - 2e-9] * 10 for task in made.scores["m1"]}
    assert "-0.0" not in statistics_markdown(made, compare(made)) + scores_markdown(made)


def test_tables_that_nobody_would_read_are_in_the_csv_only() -> None:
    few, many = results(n_models=3, n_tasks=8), results(n_models=6, n_tasks=8)
    assert "Pairs of models on each task" in statistics_markdown(few, compare(few))
    text = statistics_markdown(many, compare(many))
    assert "Pairs of models on each task" not in text
    assert "120 rows, in statistics.csv only" in text
    assert sum(row[0] == "per_task" for row in statistics_rows(compare(many))) == 120
    (row,) = [line for line in text.splitlines() if line.startswith("| m0    | m1")]
    assert "8 : 0 of 8" in row


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (results(n_models=1), "One model only"),
        (results(n_seeds=2), "2 seeds are too few"),
        (results(n_tasks=1), "One task only"),
        (results(n_seeds=1), "One seed is too few"),
        (results(n_tasks=3), "3 tasks are too few"),
        (results(n_tasks=3), "for 3 pairs of models: the smallest p that they can give is above 0.05; 7 are"),
        (results(n_seeds=1), "With one seed there is no interval"),
    ],
)
def test_too_little_is_said_plainly(made: ScoreTable, sentence: str) -> None:
    text = statistics_markdown(made, compare(made))
    assert sentence in text
    assert "No interval over test clips" in text


@pytest.mark.parametrize("made", [results(n_tasks=1), results(n_models=1), results(n_tasks=1, n_models=1)])
def test_one_task_or_one_model_has_no_overall_score_and_no_ranks(made: ScoreTable) -> None:
    found = compare(made)
    assert (found.ranks, found.over_tasks) == (None, [])
    assert "s(m)" not in scores_markdown(made)
    assert "all tasks" not in statistics_markdown(made, found)
    assert "1 tasks" not in statistics_markdown(made, found)
    assert "s(m) runs" in scores_markdown(results(n_tasks=2, n_models=2))


def test_two_seeds_have_no_p_at_all() -> None:
    assert {test.p for test in compare(results(n_seeds=2)).per_task} == {None}


def test_the_csv_has_every_number() -> None:
    found = compare(results())
    lines = list(csv.DictReader(csv_text(statistics_rows(found)).splitlines()))
    assert [line["part"] for line in lines].count("per_task") == 24
    (difference,) = (float(line["value"]) for line in lines if line["part"] == "critical_difference")
    assert difference == pytest.approx(found.ranks.critical_difference)


def test_the_overall_sheet_names_its_pool_and_who_matters() -> None:
    made = results()
    sheet = overall_sheet(made.complete_scores(), made.run_pool(), made.name, formula="minmax")
    assert all(row[2] == made.run_pool().title for row in sheet.rows)
    assert sheet.rows[0][3].endswith(("(without m1)", "(without m2)"))


def test_saved_predictions_give_intervals_over_clips(
    sample_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    line = arguments(sample_tasks, tmp_path, "--tasks", "SC-5h", "F50K", "VL", "--seeds", "2")
    assert main([*line, "--save-predictions"]) == 0
    run = tmp_path / "sample"
    made = read_run(run)
    clips = compare(made, [run]).clips
    assert [(clip.task, bool(clip.other)) for clip in clips] == [
        (task, other)
        for task in ("SC-5h-sample", "F50K-sample", "VL-sample")
        for other in (False, False, True)
    ]
    own = [clip for clip in clips if not clip.other and clip.task != "F50K-sample"]
    for clip in own:
        assert clip.low <= clip.value <= clip.high
        assert clip.n_clips == {"SC-5h-sample": 36, "VL-sample": 100}[clip.task]
    assert {clip.model for clip in own} == set(TWO)
    for clip in (clip for clip in clips if clip.other):
        expected = clip.model if clip.low > 0 else clip.other if clip.high < 0 else ""
        assert clip.better == expected
    text = statistics_markdown(made, compare(made, [run]))
    assert "SC-5h-sample 36, F50K-sample 36, VL-sample 100" in text
    assert "mAP of a resample tends to be higher" in text
    assert compare(made).clips == []
    damaged = next(run.glob("predictions/**/*.npz"))
    with np.load(damaged) as saved:
        np.savez(damaged, **{name: saved[name] for name in saved.files if name != "target"})
    with pytest.raises(EvaluationError, match=r"is damaged \(no target in it\)"):
        compare(made, [run])
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(EvaluationError, match="is damaged"):
        compare(made, [run])


def test_seeds_are_paired_by_their_numbers() -> None:
    made = results(n_models=2, n_tasks=1, n_seeds=8)
    task = made.columns[0].task
    numbers = {"m0": range(8), "m1": range(4, 12)}
    fits = [SeedFits(model, task, seed, []) for model, own in numbers.items() for seed in own]
    (test,) = _tests_per_task(replace(made, fits=fits))
    first, second = (np.array(made.scores[model][task]) for model in ("m0", "m1"))
    assert test.n == 4
    assert test.difference == pytest.approx(100 * float((first[4:] - second[:4]).mean()))


def test_models_without_a_seed_in_common_are_not_paired() -> None:
    made = results(n_models=2, n_tasks=1, n_seeds=8)
    task = made.columns[0].task
    numbers = {"m0": range(8), "m1": range(40, 48)}
    fits = [SeedFits(model, task, seed, []) for model, own in numbers.items() for seed in own]
    (test,) = _tests_per_task(replace(made, fits=fits))
    assert (test.n, test.p) == (0, None)
