"""Layers that a module exposes: one pass of the model, then an entry and a row of the table for each."""

import json
from pathlib import Path

import numpy as np
import pytest
from event_task import make_event_task
from run_helpers import arguments, ledger_lines, scores
from tiny_task import make_task

from evaluation.embedding.embed import embed_task, is_embedded, store_entry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from evaluation.run import main
from tasks import Task, read_task

NAMES = ("first", "second", "third")


def line(tmp_path: Path, *more: str, models: tuple[str, ...] = ("layered",)) -> list[str]:
    quick = ("--preset", "quick", "--seeds", "2")
    return arguments(tmp_path / "tasks", tmp_path, *quick, *more, models=models)


def labels(*names: str) -> list[str]:
    return [f"layered[layer={name}]" for name in names]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], ("",)),
        (["all"], NAMES),
        (["last"], ("third",)),
        (["second", "first", "second"], ("first", "second")),
        (["last", "first"], ("first", "third")),
    ],
)
def test_layers_come_in_the_models_order(wanted: list[str], expected: tuple[str, ...]) -> None:
    models = HearModel(ModelSpec("layered")).at_layers(wanted)
    assert tuple(model.spec.layer for model in models) == expected
    sizes = {"": 3, "first": 1, "second": 2, "third": 3}
    for model in models:
        for kind in ("scene", "event"):
            assert model.embedding_size(kind) == sizes[model.spec.layer]
        answer = model.scene_embeddings(np.full((2, 800), 0.5, np.float32))
        np.testing.assert_allclose(answer, [[0.5, 0.25, 0.125][: sizes[model.spec.layer]]] * 2, rtol=1e-6)


def test_the_label_names_layer_and_options() -> None:
    assert ModelSpec("m", "w", {"b": 1}, "block3").label == "m@w[layer=block3,b=1]"


def entries_of(task: Task, cache: Path, fault: str = "none") -> tuple[HearModel, list]:
    whole = HearModel(ModelSpec("layered", options={"fault": fault}), "cpu")
    return whole, [store_entry(one, task, cache) for one in whole.at_layers(["all"])]


def test_all_layers_are_stored_from_one_pass(tmp_path: Path) -> None:
    task = read_task(make_task(tmp_path / "tiny-v1-full", rate=16000, clips=6))
    model, entries = entries_of(task, tmp_path)
    assert len({entry.key for entry in entries} | {store_entry(model, task, tmp_path).key}) == 4
    embed_task(model, task, entries, tmp_path, advance=lambda n: None, warn=pytest.fail)
    # One clip twice; it, another, both; then the batches, one of each split; and one to count its operations.
    assert model._model.calls == 2 + 3 + 3 + 1
    assert all(is_embedded(entry, task) for entry in entries)
    by_layer = {entry.identity["layer"]: entry.read("test") for entry in entries}
    for name, size in (("first", 1), ("second", 2)):
        np.testing.assert_allclose(by_layer[name], by_layer["third"][:, :size], rtol=5e-7)


def test_layers_of_frames_are_stored_from_one_pass(tmp_path: Path) -> None:
    task = read_task(make_event_task(tmp_path / "tones-v1-full", clips=3, seconds=1.0))
    model, entries = entries_of(task, tmp_path)
    embed_task(model, task, entries, tmp_path, advance=lambda n: None, warn=pytest.fail)
    first, second, third = (entry.read_frames("valid") for entry in entries)
    np.testing.assert_array_equal(second.embeddings, third.embeddings[:, :2])
    np.testing.assert_array_equal(first.embeddings, third.embeddings[:, :1])
    for frames in (first, second):
        np.testing.assert_array_equal(frames.timestamps, third.timestamps)
        np.testing.assert_array_equal(frames.boundaries, third.boundaries)


def test_every_layer_is_a_row_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    assert main(line(tmp_path, "--layers", "all", models=("band_energy", "layered"))) == 0
    shown = capsys.readouterr().out
    assert "Plan: 4 models x 1 task" in shown
    assert shown.count("exposes no layers: --layers changes nothing for it") == 1
    found = scores(tmp_path / "default")
    assert [model for model, _ in found] == ["band_energy", *labels(*NAMES)]
    run = json.loads((tmp_path / "default" / "run.json").read_text())
    assert [model["layer"] for model in run["models"]] == ["", *NAMES]
    assert [model["dim"] for model in run["models"]] == [32, 1, 2, 3]
    assert main(line(tmp_path, "--layers", "last")) == 0
    assert "embedded: 1 of 1 tasks; fits done: 2 of 2" in capsys.readouterr().out
    assert list(scores(tmp_path / "default")) == [(labels("third")[0], "tiny-v1-full")]
    assert main(line(tmp_path)) == 0, "the module as it is"
    assert list(scores(tmp_path / "default")) == [("layered", "tiny-v1-full")]
    whole = scores(tmp_path / "default")["layered", "tiny-v1-full"]
    assert whole == found[labels("third")[0], "tiny-v1-full"]
    fits = [fit["model"] for fit in ledger_lines(tmp_path / "default")]
    assert len(fits) == 2 * 4, "the same embeddings have the same fits"


def test_the_last_layer_of_hear_mwmae_is_what_it_gives_by_itself(tmp_path: Path) -> None:
    model = HearModel(ModelSpec("hear_mwmae.mw_mae_t"), "cpu")
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000)).astype(np.float32)
    (last,) = model.at_layers(["last"])
    assert last.spec.layer == "norm"
    np.testing.assert_array_equal(last.scene_embeddings(audio), model.scene_embeddings(audio))
    for ours, theirs in zip(last.timestamp_embeddings(audio), model.timestamp_embeddings(audio), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    depth = model._model.config.depth
    names = [one.spec.layer for one in model.at_layers(["all"])]
    assert names == [*(f"block{number}" for number in range(1, depth + 1)), "norm"]


@pytest.mark.parametrize(
    ("module", "name", "sentence"),
    [
        ("layered", "fourth", "layered has no layer 'fourth': it has first, second, third"),
        ("band_energy", "first", "band_energy has no layer 'first': it exposes none; leave --layers out"),
        ("layered", "all", "--layers and --import-heareval exclude each other"),
    ],
)
def test_a_layer_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, module: str, name: str, sentence: str
) -> None:
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    given = line(tmp_path, "--layers", name, models=(module,))
    if "import" in sentence:
        given = ["--import-heareval", str(tmp_path), "--layers", name]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_module_that_breaks_the_convention_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"layer_embedding_sizes = \[1, 2\]; give a mapping"):
        HearModel(ModelSpec("layered", options={"fault": "sizes"}))
    task = read_task(make_task(tmp_path / "tiny-v1-full", rate=16000))
    model, entries = entries_of(task, tmp_path, "one")
    with pytest.raises(EvaluationError, match="get_scene_embeddings with 3 layers must return a list of as"):
        embed_task(model, task, entries, tmp_path, advance=lambda n: None, warn=pytest.fail)
