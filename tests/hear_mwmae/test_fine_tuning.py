"""Gradients through the embedding model, and the file of a model that was trained further in torch."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from hear_mwmae import (
    EmbeddingModel,
    ModelConfig,
    UserError,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
    mw_mae_t,
    save_model,
)
from hear_mwmae.cli.show import main as show
from hear_mwmae.config import AUDIO_MAE_B, NAMED_MODELS
from hear_mwmae.encoder import Encoder
from hear_mwmae.weights import read_model_file

SMALL = ModelConfig(width=32, depth=2, heads=4, decoder_width=16, decoder_heads=2)
SMALL_AUDIO_MAE = dataclasses.replace(AUDIO_MAE_B, input_size=(64, 128), width=32, depth=2, heads=2)
CONFIGS = {
    "mae_t": NAMED_MODELS["mae_t"].config,
    "mw_mae_t": NAMED_MODELS["mw_mae_t"].config,
    "windows": dataclasses.replace(SMALL, encoder_windows=(2, 10, 25, 0)),
    "audio_mae": SMALL_AUDIO_MAE,
    "norm_after_pooling": dataclasses.replace(
        SMALL_AUDIO_MAE, norm_after_pooling=True, position_codes="trained"
    ),
}
Embed = Callable[[EmbeddingModel, Sequence[torch.Tensor]], torch.Tensor]
WAYS: dict[str, Embed] = {
    "scenes": lambda model, clips: model.scene_embeddings(clips),
    "timestamps": lambda model, clips: torch.cat(model.timestamp_embeddings(clips)[0]),
    "HEAR scenes": lambda model, clips: get_scene_embeddings(clips[1], model),
    "HEAR timestamps": lambda model, clips: get_timestamp_embeddings(clips[1], model)[0],
    "layers": lambda model, clips: torch.cat(model.layer_scene_embeddings(clips, ["block1", "norm"])),
}


def new_model(config: ModelConfig, precision: str = "float32") -> EmbeddingModel:
    encoder = Encoder(config)
    encoder.initialise(torch.Generator().manual_seed(0))
    return EmbeddingModel(encoder, precision=precision)


def noise(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


def weighted(embeddings: torch.Tensor) -> torch.Tensor:
    """A loss that no normalisation makes constant."""
    return (embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))).sum()


def without_gradient(model: EmbeddingModel) -> list[str]:
    parameters = model.encoder.named_parameters()
    return [name for name, value in parameters if value.grad is None or not value.grad.any()]


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_reach_every_parameter_that_training_trains(name: str) -> None:
    model = new_model(CONFIGS[name]).requires_grad_(True)
    weighted(model.scene_embeddings(noise(4000))).backward()
    fixed = CONFIGS[name].position_codes == "fixed"
    assert without_gradient(model) == ["position_codes"] * fixed
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("way", WAYS)
def test_gradients_come_through_every_function(way: str, precision: str) -> None:
    model = new_model(CONFIGS["windows"], precision).requires_grad_(True)
    weighted(WAYS[way](model, noise(4000, 40000))).backward()
    assert without_gradient(model) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_frozen_model_keeps_no_graph(way: str) -> None:
    embeddings = WAYS[way](new_model(CONFIGS["windows"]), noise(4000, 40000))
    assert embeddings.grad_fn is None
    assert not embeddings.requires_grad


def test_a_gradient_is_that_of_finite_differences() -> None:
    model = new_model(CONFIGS["windows"]).double().requires_grad_(True)
    clips = noise(4000, 40000)
    weighted(model.scene_embeddings(clips)).backward()
    with torch.no_grad():
        for parameter in (model.encoder.blocks[0].attention.bias_tables["1"], model.encoder.patch_embed.bias):
            index, step = int(parameter.grad.abs().argmax()), 1e-3
            parameter[index] += step
            above = weighted(model.scene_embeddings(clips))
            parameter[index] -= 2 * step
            below = weighted(model.scene_embeddings(clips))
            parameter[index] += step
            expected = (above - below).item() / (2 * step)
            assert parameter.grad[index].item() == pytest.approx(expected, rel=0.02)


def test_gradients_reach_the_waveform_of_a_frozen_model() -> None:
    clip = noise(5000)[0].requires_grad_(True)
    model = new_model(CONFIGS["mw_mae_t"])
    weighted(model.scene_embeddings([clip])).backward()
    assert clip.grad.isfinite().all()
    assert clip.grad.any()
    assert all(value.grad is None for value in model.parameters())


def test_an_optimiser_leaves_fixed_position_codes_where_they_are() -> None:
    model = new_model(SMALL_AUDIO_MAE).requires_grad_(True)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    weighted(model.scene_embeddings(noise(12000))).backward()
    optimiser.step()
    same = [name for name, value in model.named_parameters() if torch.equal(value, before[name])]
    assert same == ["encoder.position_codes"]


def test_a_few_steps_learn_clips_by_heart() -> None:
    torch.manual_seed(0)
    model, head = new_model(SMALL).requires_grad_(True), torch.nn.Linear(160, 2)
    time, labels = torch.arange(8000) / 16000, torch.tensor([0, 1, 1, 0])
    clips = [0.1 * torch.sin(2 * torch.pi * pitch * time) for pitch in (200, 400, 800, 1600)]
    optimiser = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(head(model.scene_embeddings(clips)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["windows", "audio_mae", "norm_after_pooling"])
def test_a_tuned_model_comes_back_from_its_file(name: str, precision: str, tmp_path: Path) -> None:
    model, path = new_model(CONFIGS[name], precision).requires_grad_(True), tmp_path / "tuned.safetensors"
    weighted(model.scene_embeddings(noise(4000))).backward()
    torch.optim.SGD(model.parameters(), lr=1e-2).step()
    save_model(model, path)
    assert {tensor.dtype for tensor in read_model_file(path).tensors.values()} == {torch.float32}
    again = load_model(str(path), precision=precision)
    assert again.config == model.config
    assert again.pretrained
    assert not again.scene_embeddings(noise(4000)).requires_grad
    with torch.no_grad():
        expected = model.scene_embeddings(noise(4000))
    torch.testing.assert_close(again.scene_embeddings(noise(4000)), expected, atol=0, rtol=0)


def test_a_file_says_what_is_known_of_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "tuned.safetensors"
    save_model(new_model(SMALL), path)
    assert read_model_file(path).provenance == {"loaded_from": "random weights"}
    save_model(mw_mae_t.load_model(), str(path), note='folds 2 to 5\n"ESC-10"')
    assert show([str(path)]) == 0
    provenance = json.loads(capsys.readouterr().out)["provenance"]
    assert provenance == {"loaded_from": "mw_mae_t.safetensors", "note": 'folds 2 to 5\n"ESC-10"'}
    assert mw_mae_t.load_model(str(path)).pretrained


def test_what_no_model_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors"
    with pytest.raises(UserError, match="A Sequential has no model file: give the EmbeddingModel in it"):
        save_model(torch.nn.Sequential(new_model(SMALL)), path)
    with pytest.raises(UserError, match=r"tuned\.pt: the name of a model file must end in \.safetensors"):
        save_model(new_model(SMALL), tmp_path / "tuned.pt")
    with pytest.raises(UserError, match=r"nowhere.*cannot be written"):
        save_model(new_model(SMALL), tmp_path / "nowhere" / "tuned.safetensors")
    model = new_model(SMALL)
    model.encoder.norm.bias[3] = torch.nan
    with pytest.raises(UserError, match=r"encoder\.norm\.bias holds NaN or infinite values"):
        save_model(model, path)
    model = new_model(SMALL)
    model.encoder.blocks[1].mlp.out = torch.nn.Identity()
    with pytest.raises(
        UserError, match=r"model to save: encoder parameter blocks\.1\.mlp\.out\.bias is miss"
    ):
        save_model(model, path)
    assert not list(tmp_path.iterdir())
