"""AudioMAE: a small random file of the released layout, loaded as the real one, against slow formulas."""

import re
from pathlib import Path

import numpy as np
import patch_references as references
import pytest
import tiny_baselines
import torch

from evaluation.baselines import audio_mae
from evaluation.errors import EvaluationError
from hear_mwmae.kaldi_fbank import KaldiFbank

WIDTH = references.WIDTH


@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    return tiny_baselines.audio_mae()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_baselines.save("audio_mae", tmp_path)


def expected_columns(audio: torch.Tensor, released: dict[str, torch.Tensor]) -> np.ndarray:
    """Columns of one clip below 10.24 s, from the released names: [layers, 64, width]."""
    weights = references.as_float64(released)
    fbank = KaldiFbank("hanning")(audio[None])[0].double().numpy()
    picture = np.zeros((1024, 128))
    picture[: len(fbank)] = fbank
    picture = (picture + 4.2677393) / (2 * 4.5689974)
    kernel = weights["patch_embed.proj.weight"].reshape(WIDTH, 256)
    tiles = [picture[16 * t : 16 * t + 16, 16 * f : 16 * f + 16] for t in range(64) for f in range(8)]
    patches = [kernel @ tile.ravel() + weights["patch_embed.proj.bias"] for tile in tiles]
    x = np.stack([weights["cls_token"][0, 0], *patches]) + weights["pos_embed"][0]
    layers = references.naive_vit(x, weights, references.HEADS)
    return np.stack([layer[1:].reshape(64, 8, WIDTH).mean(axis=1) for layer in layers])


def test_every_layer_equals_the_formulas(path: Path, released: dict[str, torch.Tensor]) -> None:
    frames = 24  # one column and a half: the middle of the second one is in the clip
    audio = references.sound(((frames - 1) * 160 + 400) / 16000, clips=1)[0] + 0.1
    filled = torch.cat([audio - audio.mean(), torch.zeros(8 * 160)])
    names = ["block1", "block2", "norm"]
    found = audio_mae.get_timestamp_embeddings(audio[None], audio_mae.load_model(str(path)), layers=names)
    assert found[0][1].tolist() == [[87.5, 247.5]]
    for (embeddings, _), expected in zip(found, expected_columns(filled, released), strict=True):
        np.testing.assert_allclose(embeddings[0], expected[:2], rtol=0, atol=1e-5)


def test_hear_rules(path: Path) -> None:
    references.check_hear_rules(audio_mae, audio_mae.load_model(str(path)), hop_ms=160)


def test_layers(path: Path) -> None:
    references.check_layers(audio_mae, audio_mae.load_model(str(path)), ["block1", "block2", "norm"])


@pytest.mark.parametrize(("seconds", "parts"), [(10.3, [64]), (10.4, [32, 33]), (25.0, [52, 52, 52])])
def test_sound_goes_in_equal_parts_of_the_input_length(path: Path, seconds: float, parts: list[int]) -> None:
    model = audio_mae.load_model(str(path))
    audio = references.sound(seconds, clips=1)
    embeddings, times = audio_mae.get_timestamp_embeddings(audio, model)
    assert model.chunks.columns_of_chunks(model.column_count(audio.shape[1])) == parts
    assert embeddings.shape[1] == times.shape[1] == sum(parts)
    assert 1000 * seconds - 160 < times[0, -1] <= 1000 * seconds


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.1.attn.qkv.bias": None}, "'blocks.1.attn.qkv.bias' is missing"),
        ({"cls_token": None}, "'cls_token' is missing"),
        ({"head.weight": torch.zeros(2, WIDTH)}, "'head.weight' is (2, 128) where the model has no such"),
        ({"pos_embed": torch.zeros(1, 513, 64)}, "'pos_embed' is (1, 513, 64) where"),
        ({"pos_embed": torch.zeros(1, 260, WIDTH)}, "'pos_embed' has 260 rows, which are not a class token"),
    ],
)
def test_a_tensor_out_of_place_is_named(
    tmp_path: Path, released: dict[str, torch.Tensor], change: dict[str, torch.Tensor | None], message: str
) -> None:
    tensors = {name: tensor for name, tensor in (released | change).items() if tensor is not None}
    torch.save({"model": tensors}, tmp_path / "changed.pth")
    with pytest.raises(EvaluationError, match=re.escape(message)):
        audio_mae.load_model(str(tmp_path / "changed.pth"))


class Unwelcome:
    """What no file of weights should hold."""


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    torch.save({"model": Unwelcome()}, tmp_path / "code.pth")
    with pytest.raises(EvaluationError, match=r"code\.pth: cannot be read as weights of torch"):
        audio_mae.load_model(str(tmp_path / "code.pth"))
    (tmp_path / "text.pth").write_text("<html>Too many requests</html>")
    with pytest.raises(EvaluationError, match=r"text\.pth: cannot be read as weights of torch"):
        audio_mae.load_model(str(tmp_path / "text.pth"))


def test_missing_weights_say_where_they_come_from() -> None:
    with pytest.raises(
        EvaluationError, match=r"no pretrained\.pth in .*: download .*facebookresearch/AudioMAE"
    ):
        audio_mae.load_model()
