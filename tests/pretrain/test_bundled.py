"""The models that the package carries: what they say of themselves is true, and they are trained."""

import json
import re
import warnings
from importlib import import_module, resources
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

from hear_mwmae.audio import read_audio
from hear_mwmae.model_file import DECODER_PREFIX
from hear_mwmae.pretrain.configs import find_run
from hear_mwmae.pretrain.data.log_mel import SAMPLE_RATE, log_mel, standardise
from hear_mwmae.pretrain.model.mae import forward
from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.export import import_params
from hear_mwmae.weights import Weights, read_model_file

NAMES = ("mae_t", "mw_mae_t")
DATA = resources.files("hear_mwmae") / "data"


def bundled(name: str) -> Weights:
    with resources.as_file(DATA / f"{name}.safetensors") as path:
        return read_model_file(path, decoder=True)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_the_runs_that_the_card_names(name: str) -> None:
    weights, run = bundled(name), find_run(f"small:{name}").train
    origin = weights.provenance
    assert weights.config == run.model
    assert TrainConfig.from_json(json.dumps(origin["train"])) == run
    assert origin["step"] == run.total_steps(run.steps_per_epoch(find_run(f"small:{name}").clips))
    assert origin["loss"][-1][0] == origin["step"]
    assert origin["loss"][-1][1] < 0.5 * origin["loss"][0][1]
    card = (DATA / "README.md").read_text(encoding="utf-8")
    assert origin["data_hash"] in card
    assert f"{origin['loss'][-1][1]:.3f}" in card
    assert any(start.get("processor") for start in origin["starts"])
    assert not re.search(r"/(home|root|opt|work|tmp|Users)/", json.dumps(origin))


def test_both_had_the_same_budget_on_the_same_data() -> None:
    mae, mw_mae = (bundled(name).provenance for name in NAMES)
    assert mae["data_hash"] == mw_mae["data_hash"]
    budgets = [{k: v for k, v in origin["train"].items() if k != "model"} for origin in (mae, mw_mae)]
    assert budgets[0] == budgets[1]


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_half_precision_and_the_decoder_is_there(name: str) -> None:
    tensors = bundled(name).tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert any(key.startswith(DECODER_PREFIX) for key in tensors)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_finds_its_own_without_a_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_MWMAE_WEIGHTS", raising=False)
    module = import_module(f"hear_mwmae.{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = module.load_model()
    assert model.pretrained
    audio = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20000)).astype(np.float32))
    scene = module.get_scene_embeddings(audio, model)
    assert scene.shape == (2, model.scene_embedding_size)
    assert torch.isfinite(scene).all()


@pytest.mark.parametrize("name", NAMES)
def test_they_fill_in_recordings_that_they_never_saw(name: str, shared: Path) -> None:
    """To put nothing in place of what is masked has a loss of about 1, as spectra are standardised."""
    files = sorted((shared / "data" / "esc50_part" / "audio").iterdir())[::30]
    spectra = [standardise(log_mel(read_audio(file, SAMPLE_RATE))) for file in files]
    with resources.as_file(DATA / f"{name}.safetensors") as path:
        config, params = import_params(path)
    features = np.stack([spectrum[100 : 100 + config.input_size[0]] for spectrum in spectra])
    noise = mask_noise(jax.random.key(0), len(features), config.tokens)
    out = jax.jit(forward, static_argnums=3)(params, features, noise, config)
    masked = np.asarray(out["mask"], bool)
    nothing = np.square(np.asarray(out["target"]))[masked].mean()
    assert out["loss"] < 0.6 * nothing
