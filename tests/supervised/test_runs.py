"""Supervised runs from the command line: what they reach, what they leave, how they stop and go on."""

import json
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from labelled_runs import command, tone, write_small_model
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from small_models import LOG_MEL

from hear_mwmae import load_model
from hear_mwmae.cli import export
from hear_mwmae.pretrain.training.checkpoints import read_config, restore_params
from hear_mwmae.pretrain.training.loop import TrainingLoop
from hear_mwmae.pretrain.training.step import data_mesh, state_shardings
from hear_mwmae.supervised.data.find import read_labelled_data
from hear_mwmae.supervised.data.loader import evaluation_batches
from hear_mwmae.supervised.model.classifier import classify
from hear_mwmae.supervised.model.probe import init_probe, probe_logits
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.step import begin_state, make_step

FAST = ("--epochs", "12", "--warmup-epochs", "1", "--base-learning-rate", "0.3", "--log-every", "9")


@pytest.fixture(scope="module")
def finetuned(table: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finetuned") / "run"
    assert command("finetune", table, model, workdir, *FAST) == 0
    return workdir


def record_of(workdir: Path) -> dict:
    return json.loads((workdir / "scores.json").read_text(encoding="utf-8"))


def test_fine_tuning_learns_what_can_be_learnt(finetuned: Path) -> None:
    record = record_of(finetuned)
    assert record["test"]["last"]["accuracy"] == 1
    assert record["metric"] == "accuracy"
    assert record["clips"] == {"training": 24, "validation": 12, "test": 12, "missing": 0}
    assert (record["data"], record["fold"], record["seed"]) == ("pitches", "f0", 0)
    assert (record["model"], record["init"], record["mode"]) == ("small", "pretrained", "finetune")
    assert record["test"]["best"]["chosen_on"] == "validation"
    with np.load(finetuned / "predictions.npz") as arrays:
        assert arrays["logits"].shape == (12, 3)
        assert arrays["ids"][0] == "000.wav"


def test_a_finished_run_is_not_done_again(
    finetuned: Path, table: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("hear_mwmae.supervised.series.train", None)
    assert command("finetune", table, model, finetuned, *FAST) == 0
    assert "f0 seed 0: accuracy 100.0 on 12 test clips" in capsys.readouterr().out


def test_a_run_that_was_stopped_ends_with_the_same_bits(
    finetuned: Path, table: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_stop_wanted", lambda loop: loop.step == 7)
        assert command("finetune", table, model, tmp_path, *FAST) == 128 + signal.SIGTERM
        assert "stopped after step 7 of 36" in capsys.readouterr().err
    assert restore_params(tmp_path)[1] == 7
    assert command("finetune", table, model, tmp_path, *FAST) == 0
    for one, other in zip(
        *(jax.tree.leaves(restore_params(run)[0]) for run in (tmp_path, finetuned)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert record_of(tmp_path) == record_of(finetuned)


def test_a_probe_reports_all_its_heads(table: Path, model: Path, tmp_path: Path) -> None:
    options = ("--epochs", "15", "--learning-rates", "0.01", "0.3", "3", "--validate-every", "0")
    assert command("probe", table, model, tmp_path, "--fold", "all", *options) == 0
    records = [record_of(path.parent) for path in sorted(tmp_path.rglob("scores.json"))]
    assert [(one["fold"], one["seed"]) for one in records] == [(f"f{fold}", 0) for fold in range(4)]
    for record in records:
        heads = record["heads"]
        assert [(head["learning_rate"], head["batch_norm"]) for head in heads] == [
            (rate, normal) for normal in (False, True) for rate in (0.01, 0.3, 3.0)
        ]
        best = max(heads, key=lambda head: head["validation"])
        assert record["test"]["last"]["accuracy"] == best["test"] > 0.8


def test_a_probe_is_logistic_regression() -> None:
    """Without batch normalisation, with decay: the same optimum as scikit-learn's of the same features."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 90)
    features = (generator.standard_normal((90, 4)) + 0.7 * np.eye(3, 4)[labels]).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[labels]
    decay = 0.02
    config = SupervisedConfig(
        LOG_MEL, mode="probe", epochs=1500, warmup_epochs=0, batch_size=90, weight_decay=decay,
        learning_rates=(1.0,), precision="float32",
    )  # fmt: skip
    mesh = data_mesh()
    state = begin_state(config, init_probe(config, 4, 3), 1)
    step = make_step(config, 1, mesh, state_shardings(state, mesh))
    for _ in range(1500):
        state, metrics = step(state, features, targets)
    found = jax.nn.softmax(probe_logits(state.params, features, training=False), axis=-1)
    reference = LogisticRegression(C=1 / (decay * 90), tol=1e-8, max_iter=1000).fit(features, labels)
    np.testing.assert_allclose(found[0], reference.predict_proba(features), atol=2e-4)
    normal = (features - features.mean(axis=0)) / features.std(axis=0)
    reference.fit(normal, labels)
    # Its running variance is the unbiased one.
    np.testing.assert_allclose(found[1], reference.predict_proba(normal), atol=5e-3)
    assert np.isfinite(metrics["loss"])


@pytest.mark.slow
def test_random_weights_are_others_for_every_seed(table: Path, model: Path, tmp_path: Path) -> None:
    options = ("--random-init", "--seeds", "2", "--epochs", "1", "--warmup-epochs", "0")
    assert command("finetune", table, model, tmp_path, *options) == 0
    first, second = (restore_params(tmp_path / "f0" / f"seed{seed}")[0] for seed in (0, 1))
    weights = [params["encoder"]["patch_embed"]["weight"] for params in (first, second)]
    assert not np.allclose(*weights)
    assert record_of(tmp_path / "f0" / "seed0")["init"] == "random"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--fold", "f9"), "f9"),
        (("--batch-size", "25"), "24 inputs are too few for one batch of 25"),
        (("--mixup", "0.5"), "mixtures have two labels"),
        (("--loss", "bce", "--label-smoothing", "0.1"), "label_smoothing is of the loss 'ce'"),
        (("--init", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--init", "mae_q"), "mae_q"),
        (("--config", "esc50:mae_q"), "There is no model 'mae_q'"),
        (("--config", "esc51:mae_t"), "There is no data set 'esc51'"),
        (("--config", "imagenet:mae_t"), "the model reads log_mel_80"),
        (("--config", "esc50:mae_b"), "is of another model than this run: width is 16, not 768"),
        (("--frames", "0"), "--seeds and --frames must be at least 1"),
        (("--seeds", "0"), "--seeds and --frames must be at least 1"),
        (("--seed", "1", "--seeds", "2"), "--seed is one seed and --seeds several"),
        (("--subset", "esc10"), "there is no subset"),
        (("--clip-norm", "-1"), "must not be negative, nor infinite"),
        (
            ("--base-learning-rate", "nan"),
            "base_learning_rate, weight_decay and clip_norm must not be negative, nor",
        ),
        (("--tiny",), "give it with --config"),
        (("--tiny", "--config", "esc50:mae_t"), "add --random-init"),
        (
            ("--config", "esc50:mae_t", "--init", "mae_b", "--random-init"),
            "mae_b: is of another model than this run: width is 768, not 192",
        ),
        (("--epochs", "1e300"), "lower --epochs"),
        (("--mask-time", "0.99"), "leave none of (10, 5) patches"),
        (("--noise-db", "nan"), "noise_db must not be negative"),
        (("--loss", "bce", "--mixup", "0.5", "--mixup-shape", "nan"), "its shape nan not above 0"),
    ],
)
def test_a_mistake_is_one_sentence(
    table: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    assert command("finetune", table, model, tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_decoder_alone_is_no_start(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from safetensors.numpy import load_file, save_file

    whole = write_small_model(tmp_path)
    tensors = load_file(whole)
    save_file({"decoder.mask_token": next(iter(tensors.values()))}, tmp_path / "decoder.safetensors")
    assert command("finetune", table, tmp_path / "decoder.safetensors", tmp_path / "run") == 2
    assert "carries no model configuration" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_keeps_the_last_state(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ("--epochs", "4", "--warmup-epochs", "0", "--base-learning-rate", "1e30", "--log-every", "1")
    assert command("finetune", table, model, tmp_path, *options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the loss is" in error
    assert "lower --base-learning-rate" in error


def test_another_run_in_the_same_folder_is_refused(
    finetuned: Path, table: Path, model: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command("finetune", table, model, finetuned, *FAST, "--drop-path", "0.2") == 2
    assert "holds a run with drop_path = 0.1, not 0.2" in capsys.readouterr().err


def test_a_fine_tuned_model_embeds_and_is_tuned_further(
    finetuned: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "tuned.safetensors"
    assert export.main([str(finetuned), "--out", str(out)]) == 0
    loaded = load_model(str(out))
    assert loaded.config.norm_after_pooling
    with safe_open(out, framework="np") as file:
        head = {name: file.get_tensor(f"head.{name}") for name in ("weight", "bias")}
    assert head["weight"].shape == (3, LOG_MEL.width)
    config, _ = read_config(finetuned, SupervisedConfig)
    clips = read_labelled_data(table, fold="f0").test
    params, _ = restore_params(finetuned)
    (batch,) = evaluation_batches(clips, 3, config, 16)
    with np.load(finetuned / "predictions.npz") as arrays:
        logits = arrays["logits"]
    np.testing.assert_allclose(classify(params, jnp.asarray(batch.features), config)[0], logits, atol=1e-4)
    # Torch's encoder and the file's head say the same: the mean over columns, then over bands.
    tokens = loaded.encoder.tokens(torch.from_numpy(batch.features))[:, -LOG_MEL.tokens :]
    pooled = loaded.encoder.norm(tokens.mean(dim=1)).numpy()
    np.testing.assert_allclose(pooled @ head["weight"].T + head["bias"], logits, atol=1e-4)
    sound = loaded.scene_embeddings([torch.from_numpy(tone(600, 99))])
    assert sound.shape == (1, LOG_MEL.embedding_size)
    assert command("finetune", table, out, tmp_path / "further", "--epochs", "1", "--warmup-epochs", "0") == 0
    norm = restore_params(tmp_path / "further")[0]["norm"]["weight"]
    np.testing.assert_allclose(norm, restore_params(finetuned)[0]["norm"]["weight"], atol=0.02)


def test_a_probe_has_no_model_to_export(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command("probe", table, model, tmp_path / "probe", "--epochs", "1") == 0
    assert export.main([str(tmp_path / "probe"), "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "A probe leaves the encoder as it is" in capsys.readouterr().err


@pytest.mark.slow
def test_an_accumulated_update_is_the_same(finetuned: Path, table: Path, model: Path, tmp_path: Path) -> None:
    assert command("finetune", table, model, tmp_path, *FAST, "--accumulation-steps", "2") == 0
    for one, other in zip(
        *(jax.tree.leaves(restore_params(run)[0]) for run in (tmp_path, finetuned)), strict=True
    ):
        # Twice what was measured: Adam blows up the rounding of gradients that are nearly zero.
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(("mode", "option"), [("probe", "--drop-path"), ("finetune", "--learning-rates")])
def test_options_of_the_other_mode_are_unknown(
    table: Path, model: Path, tmp_path: Path, mode: str, option: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(mode, table, model, tmp_path, option, "0.1")
    assert ended.value.code == 2
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err
