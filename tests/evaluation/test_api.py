"""`from evaluation import evaluate, read_run`: what the command does, for notebooks and programs."""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from paths import ROOT
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation import EvaluationError, evaluate, read_run
from evaluation.models.code import code_digest
from evaluation.run import main
from tasks import TaskError, read_task

QUICK = {"preset": "quick", "seeds": 2}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=12)
    make_task(tmp_path / "tasks" / "other-v1-full", rate=16000, clips=12, task_name="other")
    return tmp_path / "tasks"


def test_importing_it_loads_nothing() -> None:
    program = "import sys; from evaluation import evaluate; print(*sys.modules)"
    lazy = "import sys, evaluation; print(*sys.modules)"
    loaded = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        for code in (lazy, program)
    ]
    assert not {"torch", "numpy", "tasks"} & set(loaded[0])
    assert not {"pandas", "matplotlib", "jax", "sklearn"} & set(loaded[1])


def test_it_does_what_the_command_does_and_goes_on_where_that_stopped(tasks: Path, tmp_path: Path) -> None:
    models = ["band_energy", "one_by_one"]
    found = evaluate(models, tasks_dir=tasks, results=tmp_path / "api", **QUICK)
    line = arguments(tasks, tmp_path / "command", "--preset", "quick", "--seeds", "2")
    assert main(line) == 0

    def kept(folder: str) -> list:
        lines = ledger_lines(tmp_path / folder / "default")
        return [(one["key"], one["scores"], one["epochs"]) for one in lines]

    assert kept("api") == kept("command")
    assert len(kept("api")) == 8
    assert main(arguments(tasks, tmp_path / "api", "--preset", "quick", "--seeds", "2")) == 0
    again = evaluate(models, tasks_dir=tasks, results=tmp_path / "api", **QUICK)
    assert len(kept("api")) == 8, "nothing was trained twice"
    pd.testing.assert_frame_equal(found.scores(), again.scores())
    written = pd.read_csv(tmp_path / "api" / "default" / "tables" / "scores.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(written, found.scores(), check_dtype=False)


@pytest.mark.filterwarnings("ignore:left out of the report")
def test_the_frames_hold_what_the_tables_say(tasks: Path, tmp_path: Path) -> None:
    models = ["band_energy", "one_by_one"]
    found = evaluate(models, tasks_dir=tasks, results=tmp_path, **QUICK)
    scores = found.scores()
    assert set(scores.model) == set(models)
    assert sorted(set(scores.seed)) == [0, 1]
    means = scores.groupby(["model", "task"]).score.mean()
    summary = found.summary().set_index(["model", "task"])
    for place, mean in means.items():
        assert summary.loc[place, "mean"] == pytest.approx(mean)
    overall = found.overall().set_index("model")
    for model in models:
        assert overall.average[model] == pytest.approx(means[model].mean())
    assert set(found.folds().score) == {"top1_acc", "mAP"}
    assert (found.folds().query("score == 'top1_acc'").value * 100).mean() == pytest.approx(means.mean())
    assert {"over_tasks", "per_task", "rank"} <= set(found.statistics().part)
    assert "| band_energy" in repr(found).replace("|--", "")
    page = found.report(tmp_path / "page")
    assert page.is_file()
    assert found._repr_html_().count("<tr>") == 3
    alone = read_run(tmp_path / "default")
    pd.testing.assert_frame_equal(alone.overall(), found.overall())
    assert json.loads((tmp_path / "default" / "run.json").read_text())["command"][0] == "evaluate"


def test_modules_objects_and_tasks_are_taken_as_they_are(tasks: Path, tmp_path: Path) -> None:
    import band_energy

    class Mine:
        load_model = staticmethod(lambda path="": band_energy.BandEnergy(1e-3))
        get_scene_embeddings = staticmethod(lambda audio, model: model(audio))

    task = read_task(tasks / "tiny-v1-full")
    found = evaluate([band_energy, Mine()], task, results=tmp_path, **QUICK)
    scores = found.scores().pivot(index="seed", columns="model", values="score")
    assert list(scores.columns) == ["Mine", "band_energy"]
    assert (scores.Mine == scores.band_energy).all(), "the same embeddings, the same scores"
    assert read_run(tmp_path / "default").scores().equals(found.scores())
    one = evaluate(band_energy, str(tasks / "tiny-v1-full"), results=tmp_path / "one", **QUICK)
    assert list(one.table.models) == ["band_energy"]


def test_runs_are_read_together(tasks: Path, tmp_path: Path) -> None:
    for model in ("band_energy", "one_by_one"):
        evaluate(model, "tiny", tasks_dir=tasks, results=tmp_path, run=model, **QUICK)
    both = read_run(tmp_path / "band_energy", tmp_path / "one_by_one")
    assert list(both.overall().model) == ["band_energy", "one_by_one"]
    with pytest.raises(EvaluationError, match="needs a folder"):
        both.report()


def test_a_failure_is_a_record_of_every_row_that_it_leaves_empty(tasks: Path, tmp_path: Path) -> None:
    bad = tasks / "tiny-v1-full" / "16000" / "test" / "test-3.wav"
    bad.write_bytes(bad.read_bytes()[:44])
    with pytest.warns(UserWarning, match=r"failed: band_energy on tiny-v1-full(@50%)?: .*test-3.wav"):
        found = evaluate("band_energy", tasks_dir=tasks, results=tmp_path, budgets=[50, 100], **QUICK)
    assert [(one.model, one.task, one.stage, one.budget) for one in found.failures] == [
        ("band_energy", "tiny-v1-full", "embed", 50),
        ("band_energy", "tiny-v1-full", "embed", 100),
    ]
    assert found.failures == read_run(tmp_path / "default").failures
    assert set(found.scores().task) == {"other-v1-full@50%", "other-v1-full"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"models": types.SimpleNamespace(load_model=print)}, "it has no function get_scene_embeddings"),
        ({"models": "no_such_module"}, "there is no module 'no_such_module'"),
        ({"seeds": []}, "at least one seed|give how many"),
        ({"seeds": [1.5]}, "give how many"),
        ({"seeds": 0}, "at least one seed"),
        ({"seeds": "9-0"}, "runs backwards"),
        ({"models": []}, "models is empty"),
        ({"tasks": []}, "tasks is empty"),
        ({"tasks": "nonesuch"}, "nonesuch"),
        ({"budgets": [0]}, "give per cent above 0"),
        ({"budgets": 101}, "give per cent above 0"),
        ({"preset": "nonesuch"}, "nonesuch"),
        ({"probe": {"lr": "high"}}, "lr"),
        ({"run": "../up"}, "use letters"),
        ({"max_memory": 0}, "above 0"),
        ({"head": "svm"}, "svm"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    tasks: Path, tmp_path: Path, settings: dict, sentence: str
) -> None:
    with pytest.raises((EvaluationError, TaskError), match=sentence) as caught:
        evaluate(**{"models": "band_energy", "tasks_dir": tasks, "results": tmp_path, **QUICK, **settings})
    assert "\n" not in str(caught.value)


def test_a_page_cannot_be_made_to_run_a_models_name(tasks: Path, tmp_path: Path) -> None:
    import band_energy

    mine = types.SimpleNamespace(__name__="<script>alert(1)</script>")
    mine.load_model, mine.get_scene_embeddings = band_energy.load_model, band_energy.get_scene_embeddings
    shown = evaluate(mine, "tiny", tasks_dir=tasks, results=tmp_path, **QUICK)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_functions_of_a_notebook_are_known_by_what_they_do() -> None:
    """Comments and names of files do not count; helpers, constants and closures of the same module do."""
    plain = "def helper(x):\n    return x * FACTOR\n\ndef f(x):\n    return helper(x)\n\nFACTOR = 2\n"
    cells = {
        "plain": plain,
        "comment": f"# Twice.\n{plain}".replace("return helper", "\n    # As above.\n    return helper"),
        "helper": plain.replace("x * FACTOR", "x + FACTOR"),
        "factor": plain.replace("FACTOR = 2", "FACTOR = 3"),
    }
    found = {}
    for name, cell in cells.items():
        space = {"__name__": "__main__"}
        exec(compile(cell, name, "exec"), space)
        found[name] = code_digest([space["f"]])
    assert found["plain"] == found["comment"]
    assert len(set(found.values())) == 3


def test_numbers_may_be_numpys(tasks: Path, tmp_path: Path) -> None:
    given = {"tasks_dir": tasks, "results": tmp_path, "preset": "quick"}
    found = evaluate("band_energy", "tiny", seeds=np.arange(2), budgets=np.array([50, 100]), **given)
    assert sorted(set(found.scores().seed)) == [0, 1]
    assert sorted(set(evaluate("band_energy", "tiny", seeds=np.int64(1), **given).scores().seed)) == [0]


def test_a_run_that_another_process_writes_is_left_alone(tasks: Path, tmp_path: Path) -> None:
    evaluate("band_energy", "tiny", tasks_dir=tasks, results=tmp_path, **QUICK)
    kept = (tmp_path / "default" / "run.json").read_bytes()
    with FileLock(tmp_path / "default" / ".lock"), pytest.raises(EvaluationError, match="another process"):
        evaluate(["band_energy", "one_by_one"], "tiny", tasks_dir=tasks, results=tmp_path, **QUICK)
    assert (tmp_path / "default" / "run.json").read_bytes() == kept


def test_layers_that_are_embedded_do_not_fail_with_the_others(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"tasks_dir": tasks, "results": tmp_path, **QUICK}
    evaluate("layered", "tiny", layers="first", **given)

    def broken(*_: object, **__: object) -> None:
        raise EvaluationError("it broke")

    monkeypatch.setattr("evaluation.runs.execute.embed_task", broken)
    with pytest.warns(UserWarning, match="it broke"):
        found = evaluate("layered", "tiny", layers="all", **given)
    assert [(one.layer, one.stage) for one in found.failures] == [("second", "embed"), ("third", "embed")]
    assert set(found.scores().model) == {"layered[layer=first]"}
