"""The command with trees of the original program: imported, evaluated without sound, exported with scores."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from heareval_trees import make_event_tree, make_tree
from paths import MODELS
from run_helpers import arguments, scores

from evaluation.run import main
from evaluation.runs import execute

FAST = ("--preset", "quick", "--device", "cpu", "--seeds", "2")


def run_import(tree: Path, results: Path, *more: str) -> int:
    return main(["--import-heareval", str(tree), "--results", str(results), *FAST, *more])


def predicted(folder: Path) -> dict:
    return json.loads((folder / "test.predicted-scores.json").read_text())


def test_all_models_of_a_tree_stand_in_one_table(tmp_path: Path) -> None:
    for model in ("a", "b"):
        make_tree(tmp_path / "in" / model / "one", clips=40)
    make_tree(tmp_path / "in" / "a" / "two", folds=3, clips=40)
    assert run_import(tmp_path / "in", tmp_path / "results") == 0
    found = scores(tmp_path / "results" / "default")
    assert found.keys() == {("a", "one"), ("a", "two"), ("b", "one")}
    assert all(score > 90 for seeds in found.values() for score in seeds)  # the classes are 2 sigma apart


def test_an_export_has_the_original_s_keys_and_numbers(tmp_path: Path, shared: Path) -> None:
    tree = make_tree(tmp_path / "in" / "model" / "task", folds=3, clips=40)
    assert run_import(tree, tmp_path / "results", "--export-heareval", str(tmp_path / "out")) == 0
    theirs = json.loads((shared / "golden_heareval" / "scores" / "vendored_seed0.json").read_text())
    runs = scores(tmp_path / "results" / "default")[("model", "task")]
    for seed, score in enumerate(runs):
        ours = predicted(tmp_path / "out" / f"model_r1_{seed:02d}" / "task")
        assert ours.keys() == theirs.keys() - {"fold03", "fold04"}
        wanted = {k for k in theirs["fold00"] if k not in ("test_mAP", "test_aucroc")}
        assert ours["fold00"].keys() == wanted
        assert theirs["hparams"].keys() <= ours["hparams"].keys()
        table = pd.DataFrame([ours[fold] for fold in ("fold00", "fold01", "fold02")])
        assert 100 * ours["aggregated_scores"]["test_score_mean"] == pytest.approx(score)
        for name in ("test_loss", "test_top1_acc", "epoch", "time_in_min"):
            found = [ours["aggregated_scores"][f"{name}_{statistic}"] for statistic in ("mean", "std")]
            assert found == pytest.approx([table[name].mean(), table[name].std()])
        deviation = ours["aggregated_scores"]["test_d_prime_std"]
        assert math.isnan(deviation) == bool(np.isinf(table["test_d_prime"]).any())
        done = json.loads((tmp_path / f"out/model_r1_{seed:02d}/task/prediction-done.json").read_text())
        assert (done["seed"], done["preset"], done["embedding_size"]) == (seed, "quick", 8)


def test_events_of_a_tree_are_evaluated_and_exported(tmp_path: Path) -> None:
    tree = make_event_tree(tmp_path / "in" / "model" / "events", clips=12)
    assert run_import(tree, tmp_path / "results", "--export-heareval", str(tmp_path / "out")) == 0
    ours = predicted(tmp_path / "out" / "model_r1_00" / "events")
    assert ours["test"]["test_score"] == ours["test"]["test_event_onset_200ms_fms_f_measure"] > 0.5
    assert "aggregated_scores" not in ours
    assert ours["score_mode"] == "max"
    chosen = dict(ours["postprocessing"])
    assert (chosen["median_filter_ms"], chosen["min_duration"]) in ((250, 125), (250, 250))
    assert {"test_segment_1s_er", "test_segment_1s_er_error_rate"} < ours["test"].keys()


def test_what_a_model_embedded_is_exported_and_gives_the_same_scores_without_it(
    sample_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    task = next(path.name for path in sorted(sample_tasks.iterdir()) if path.name.startswith("esc50"))
    out, first, second = tmp_path / "out", tmp_path / "first", tmp_path / "second"
    more = ("--tasks", task, *FAST, "--export-heareval", str(out))
    assert main(arguments(sample_tasks, first, *more, models=("band_energy",))) == 0
    assert {path.name for path in out.iterdir()} == {"band_energy", "band_energy_r1_00", "band_energy_r1_01"}
    assert run_import(out, second) == 0
    assert scores(second / "sample") == scores(first / "sample")


def test_tasks_are_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for task in ("one-v1-full", "two-v1-full"):
        make_tree(tmp_path / "in" / "model" / task)
    assert run_import(tmp_path / "in", tmp_path, "--plan-only", "--tasks", "two-v1-full") == 0
    out = capsys.readouterr().out
    assert "two-v1-full: 36 clips" in out
    assert "one-v1-full" not in out
    assert "imported embeddings, 8-d; embedded: 1 of 1 tasks" in out
    (tmp_path / "in" / "model" / "one-v1-full" / "train.embeddings.npy").unlink()
    assert run_import(tmp_path / "in", tmp_path, "--plan-only", "--tasks", "two-v1-full") == 0


def test_an_export_with_fewer_seeds_leaves_none_of_the_earlier(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "in" / "model" / "task", clips=20)
    assert run_import(tree, tmp_path / "a", "--export-heareval", str(tmp_path / "out")) == 0
    assert run_import(tree, tmp_path / "b", "--export-heareval", str(tmp_path / "out"), "--seeds", "1") == 0
    found = [path.parents[1].name for path in (tmp_path / "out").rglob("test.predicted-scores.json")]
    assert found == ["model_r1_00"]


def test_an_export_without_a_finished_seed_leaves_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    tree = make_tree(tmp_path / "in" / "model" / "task", clips=20)
    assert run_import(tree, tmp_path / "a", "--export-heareval", str(tmp_path / "out")) == 0
    before = sorted((tmp_path / "out").rglob("test.predicted-scores.json"))
    monkeypatch.setattr(execute, "run_job", fail)
    assert run_import(tree, tmp_path / "b", "--export-heareval", str(tmp_path / "out")) == 1
    assert sorted((tmp_path / "out").rglob("test.predicted-scores.json")) == before
    assert len(before) == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--models", "a"], "--models and --import-heareval exclude each other"),
        (["--model-options", "{}"], "--model-options and --import-heareval exclude each other"),
        (["--tasks", "three"], "there is no task 'three' in"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    tree = make_tree(tmp_path / "in" / "model" / "task")
    assert run_import(tree, tmp_path, *more) == 2
    assert sentence in capsys.readouterr().err
    shutil.rmtree(tree)
    assert run_import(tmp_path / "in", tmp_path) == 2
    assert "holds no embeddings tree" in capsys.readouterr().err


def test_an_export_onto_the_imported_tree_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_tree(tmp_path / "in" / "model" / "task")
    assert run_import(tmp_path / "in", tmp_path, "--export-heareval", str(tmp_path / "in")) == 2
    assert "export to another folder" in capsys.readouterr().err
