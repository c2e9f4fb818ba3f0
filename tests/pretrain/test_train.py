"""A run goes on after a kill, Ctrl-C or a damaged checkpoint, and stops where it must, with a sentence."""

import contextlib
import dataclasses
import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from sounds import write_tones
from training_runs import (
    AUDIO_MAE,
    CONFIG,
    STEPS,
    assert_equal_params,
    prepare_tones,
    shared_compilation,
    start,
    wait_for,
)

import hear_mwmae.pretrain.training.train as loop
from hear_mwmae.cli.export import main as export_main
from hear_mwmae.config import AUDIO_MAE_B
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.__main__ import main
from hear_mwmae.pretrain.data.crops import Normalisation
from hear_mwmae.pretrain.data.data_sets import whole_pass
from hear_mwmae.pretrain.data.loader import load_clips, training_batches
from hear_mwmae.pretrain.data.prepare import Options, prepare
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training import validation
from hear_mwmae.pretrain.training.checkpoints import read_config, restore_params
from hear_mwmae.pretrain.training.interruption import InterruptedRun
from hear_mwmae.pretrain.training.logs import loss_curve, truncate_log
from hear_mwmae.pretrain.training.step import place_batch
from hear_mwmae.pretrain.training.train import TrainingOptions, train
from hear_mwmae.weights import read_model_file

FINE = {"log_every": 1, "checkpoint_every": 2, "picture_every": 0}


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all runs of this file share what the first one compiles."""
    with shared_compilation(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def whole_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a run that nothing disturbed, with validation and pictures."""
    workdir = tmp_path_factory.mktemp("whole")
    train(
        CONFIG,
        TrainingOptions(
            data=data, workdir=workdir, validation=data, log_every=1, checkpoint_every=2, picture_every=5
        ),
    )
    return workdir


def log(workdir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send this process a signal in the middle of an update."""
    place_batch, count = loop.place_batch, iter(range(1, 100))

    def place(*arguments: object) -> jax.Array:
        if next(count) == step:
            signal.raise_signal(number)
        return place_batch(*arguments)

    monkeypatch.setattr(loop, "place_batch", place)


def test_a_run_learns_and_leaves_everything_it_should(whole_run: Path) -> None:
    records = log(whole_run)
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    assert records[-1]["loss"] < 0.9 * records[0]["loss"]
    assert records[0]["learning_rate"] == 0
    assert records[4]["learning_rate"] == pytest.approx(CONFIG.learning_rate)
    validation = [record["validation_loss"] for record in records if "validation_loss" in record]
    assert len(validation) == 3
    assert validation[-1] < validation[0]
    assert records[-1]["clips_per_second"] * 50 == pytest.approx(records[-1]["tokens_per_second"])
    assert sorted(path.name for path in (whole_run / "pictures").iterdir()) == [
        "step_000005.png",
        "step_000010.png",
        "step_000012.png",
    ]
    assert sorted(path.name for path in (whole_run / "checkpoints").iterdir()) == ["10", "12", "8"]
    assert any((whole_run / "tensorboard").iterdir())
    start_record = json.loads((whole_run / "run.json").read_text())["starts"][0]
    assert start_record["packages"]["jax"] == jax.__version__
    config, data_hash = read_config(whole_run, TrainConfig)
    assert config == CONFIG
    assert len(data_hash) == 64


def test_a_run_of_audio_mae_reads_normalised_and_varied_filter_banks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = write_tones(tmp_path / "sounds", [0.3, 0.5, 0.7, 0.9, 1.1])
    prepare([sounds], tmp_path / "data", options=Options(front_end="fbank_128"), workers=1)
    model = dataclasses.replace(
        AUDIO_MAE_B, input_size=(64, 128), width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1
    )
    config = TrainConfig(
        model, epochs=2, warmup_epochs=1, batch_size=4, precision="float32", seed=3, roll=True, gain=True
    )
    batches: dict[str, list[np.ndarray]] = {"training": [], "validation": []}
    for name, module in (("training", loop), ("validation", validation)):

        def place(batch: np.ndarray, mesh: Mesh, *, seen: list[np.ndarray] = batches[name]) -> jax.Array:
            seen.append(np.array(batch))
            return place_batch(batch, mesh)

        monkeypatch.setattr(module, "place_batch", place)
    options = TrainingOptions(
        data=tmp_path / "data", workdir=tmp_path / "run", validation=tmp_path / "data", **FINE
    )
    train(config, options)
    clips, normalisation = load_clips(tmp_path / "data"), Normalisation(model.feature_mean, model.feature_std)
    taken = training_batches(
        clips, frames=64, batch_size=4, seed=3, normalisation=normalisation, roll=True, gain=True
    )
    with contextlib.closing(taken):
        assert np.array_equal(batches["training"], [np.array(next(taken)) for _ in range(2)])
    (expected,) = whole_pass(clips, 64, 5, normalisation)
    assert np.array_equal(np.concatenate(batches["validation"][:2])[:5], expected)
    # Clips of 0.3 and 0.5 s fill no crop: rows of 0 before normalisation.
    assert expected[0, -1] == pytest.approx(-model.feature_mean / (2 * model.feature_std), abs=1e-6)
    assert all(np.isfinite(record["validation_loss"]) for record in log(tmp_path / "run"))


def test_a_finished_run_started_again_does_nothing(whole_run: Path, data: Path) -> None:
    before = log(whole_run)
    train(CONFIG, TrainingOptions(data=data, workdir=whole_run, **FINE))
    assert log(whole_run) == before


@pytest.mark.parametrize("moments", [(5,), pytest.param((1, 2, 3, 6, 7, 9, 11), marks=pytest.mark.slow)])
def test_killed_and_restarted_it_ends_with_the_same_bits(
    whole_run: Path, data: Path, tmp_path: Path, moments: tuple[int, ...]
) -> None:
    for moment in moments:
        with start(CONFIG, data, tmp_path, "--checkpoint-every", "2", "--picture-every", "3") as process:
            wait_for(process, f"step {moment}/")
            process.kill()
    with start(CONFIG, data, tmp_path, "--checkpoint-every", "2") as process:
        messages = process.stderr.read()
        assert process.wait() == 0, messages
    assert_equal_params(tmp_path, whole_run)
    assert [record["step"] for record in log(tmp_path)] == list(range(1, STEPS + 1))
    losses = [[record["loss"] for record in log(run)] for run in (tmp_path, whole_run)]
    assert losses[0] == losses[1]
    starts = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert len(starts) == len(moments) + 1
    assert starts[-1]["step"] > 0


@pytest.mark.slow
def test_a_killed_audio_mae_ends_with_the_same_bits(tmp_path: Path) -> None:
    """What its local decoder drops, its masks, rolls and gains follow from the step."""
    data, whole, killed = (
        prepare_tones(tmp_path, front_end="fbank_128"),
        tmp_path / "whole",
        tmp_path / "killed",
    )
    train(AUDIO_MAE, TrainingOptions(data=data, workdir=whole, **FINE))
    with start(AUDIO_MAE, data, killed, "--checkpoint-every", "2") as process:
        wait_for(process, "step 5/")
        process.kill()
    with start(AUDIO_MAE, data, killed, "--checkpoint-every", "2") as process:
        messages = process.stderr.read()
        assert process.wait() == 0, messages
    assert_equal_params(killed, whole)
    assert json.loads((killed / "run.json").read_text())["starts"][-1]["step"] > 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_after_its_step(
    whole_run: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    number: signal.Signals,
    status: int,
) -> None:
    stop_after(monkeypatch, 7, number)
    # Where the tests run under nohup it is ignored, and stays so.
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    with pytest.raises(InterruptedRun, match=r"stopped after step 7 of 12.*saved in") as stop:
        train(
            CONFIG,
            TrainingOptions(data=data, workdir=tmp_path, log_every=1, checkpoint_every=0, picture_every=0),
        )
    assert stop.value.exit_status == status
    assert signal.getsignal(number) == signal.SIG_DFL
    assert restore_params(tmp_path)[1] == 7
    train(
        CONFIG, TrainingOptions(data=data, workdir=tmp_path, log_every=1, checkpoint_every=0, picture_every=0)
    )
    assert_equal_params(tmp_path, whole_run)


def test_a_run_out_of_memory_goes_on_in_smaller_parts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_run(data, tmp_path, monkeypatch)
    train(
        dataclasses.replace(CONFIG, accumulation_steps=2),
        TrainingOptions(data=data, workdir=tmp_path, **FINE),
    )
    assert restore_params(tmp_path)[1] == STEPS


def test_checkpoints_nearest_to_whole_epochs_are_kept(data: Path, tmp_path: Path) -> None:
    options = TrainingOptions(
        data=data, workdir=tmp_path, checkpoint_every=3, keep_every_epochs=2, picture_every=0
    )
    train(dataclasses.replace(CONFIG, epochs=9), options)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    # Nearest to 8, 16, 24 and 32 steps; the last three are kept anyway.
    assert kept == [9, 15, 24, 30, 33, 36]


def stopped_run(data: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run after step 5, with checkpoints of steps 2, 4 and 5."""
    with monkeypatch.context() as patch:
        stop_after(patch, 5, signal.SIGTERM)
        with pytest.raises(InterruptedRun):
            train(CONFIG, TrainingOptions(data=data, workdir=workdir, **FINE))


def damage(checkpoint: Path) -> None:
    """Flip one bit in the middle of a checkpoint's largest file."""
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


def test_damaged_checkpoints(
    whole_run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_run(data, tmp_path, monkeypatch)
    damage(tmp_path / "checkpoints" / "5")
    with (tmp_path / "log.jsonl").open("ab") as log_file:
        log_file.write(b"\xff\xfe\n")
    (tmp_path / "run.json").write_text("{")
    with (
        pytest.warns(UserWarning, match=r"step 5 cannot be read \(state/.* is damaged\).*from the one"),
        pytest.warns(UserWarning, match=r"log\.jsonl: 1 lines of it cannot be read"),
        pytest.warns(UserWarning, match=r"run\.json: is not the list of a run's starts"),
    ):
        train(CONFIG, TrainingOptions(data=data, workdir=tmp_path, **FINE))
    assert_equal_params(tmp_path, whole_run)
    assert (tmp_path / "damaged").is_dir()
    first, *others = (tmp_path / "checkpoints").iterdir()
    (first / "sha256.json").write_text("{}")
    for checkpoint in others:
        damage(checkpoint)
    with pytest.raises(UserError, match="none of the 3 checkpoints can be read"):
        train(CONFIG, TrainingOptions(data=data, workdir=tmp_path, **FINE))
    with pytest.raises(UserError, match="12: this checkpoint cannot be read"):
        restore_params(tmp_path)


def test_a_checkpoint_of_another_run_is_refused(
    data: Path, tmp_path: Path, whole_run: Path, capfd: pytest.CaptureFixture
) -> None:
    other = dataclasses.replace(CONFIG, seed=4, model=dataclasses.replace(CONFIG.model, mlp_ratio=2))
    with pytest.raises(
        UserError, match=r"run with model\.mlp_ratio = 4, not 2: go on with the same settings"
    ):
        train(other, TrainingOptions(data=data, workdir=whole_run))
    with pytest.raises(UserError, match="other data"):
        train(CONFIG, TrainingOptions(data=prepare_tones(tmp_path, 36), workdir=whole_run))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs come every ten steps, and yet the first bad one is named and nothing bad is saved."""
    place_batch, count = loop.place_batch, iter(range(1, 100))

    def place(features: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
        bad = next(count) == 6
        return place_batch(features * np.float32("nan") if bad else features, mesh)

    monkeypatch.setattr(loop, "place_batch", place)
    options = TrainingOptions(data=data, workdir=tmp_path, log_every=10, checkpoint_every=4, picture_every=0)
    with pytest.raises(UserError, match=r"At step 6 the loss is nan.*the checkpoint of step 4 is kept"):
        train(CONFIG, options)
    params, step = restore_params(tmp_path)
    assert step == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_out_of_memory_says_what_to_change(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 byte.")

    monkeypatch.setattr(loop, "place_batch", fail)
    with pytest.raises(UserError, match=r"--accumulation-steps.*--remat.*--batch-size"):
        train(CONFIG, TrainingOptions(data=data, workdir=tmp_path, **FINE))


def test_a_full_disk_is_found_before_a_checkpoint_is_begun(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"a checkpoint takes 0 MB and only 0 MB are free.*Make room"):
        train(CONFIG, TrainingOptions(data=data, workdir=tmp_path, **FINE))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_truncated_logs_lose_later_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 2')
    truncate_log(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_loss_curve_is_thinned_evenly_and_ends_at_its_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert loss_curve(path, 5) == []
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, 10)]
    path.write_text("\n".join([*lines, '{"step": 9, "validation_loss": 1.0}', '{"st']))
    assert loss_curve(path, 9, points=3) == [(1, 1.0), (5, 0.2), (9, 0.11111)]
    assert loss_curve(path, 2) == [(1, 1.0), (2, 0.5)]


def test_an_exported_file_says_where_it_is_from(whole_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert export_main([str(whole_run), "--out", str(path), "--step", "10", "--dtype", "float16"]) == 0
    origin = read_model_file(path).provenance
    config, data_hash = read_config(whole_run, TrainConfig)
    assert TrainConfig.from_json(json.dumps(origin["train"])) == config
    assert (origin["step"], origin["data_hash"]) == (10, data_hash)
    assert origin["loss"] == [[r["step"], round(r["loss"], 5)] for r in log(whole_run)[:10]]
    assert origin["starts"][0]["cores"] >= 1
    assert not {"command", "host"} & origin["starts"][0].keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mae_t"], "--workdir"),
        (["--model", "mae_t", "--tiny", "--workdir", "w"], "--tiny.*--config"),
        (["--config", "table7:none", "--workdir", "w"], "There is no run 'table7:none'"),
        (["--model", "mae_t", "--workdir", "w", "--warmup-epochs", "200"], "warmup_epochs 200"),
        (["--model", "mae_t", "--workdir", "w", "--processes", "2"], "--coordinator, --processes"),
        (["--model", "mae_t", "--workdir", "w", "--log-every", "0"], "--log-every"),
        (["--model", "mae_t", "--workdir", "w"], "there is no such folder of prepared data"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--data", "nowhere"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_wandb_is_asked_for_and_not_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        train(CONFIG, TrainingOptions(data=data, workdir=tmp_path, wandb="project"))
