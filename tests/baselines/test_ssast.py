"""SSaST: small random files of the released layout, patch and frame based, against slow formulas."""

import re
from pathlib import Path

import numpy as np
import patch_references as references
import pytest
import tiny_baselines
import torch

from evaluation.baselines import ssast
from evaluation.errors import EvaluationError
from hear_mwmae.kaldi_fbank import KaldiFbank

WIDTH = references.WIDTH
SHAPES = tiny_baselines.SSAST_PATCHES
LAYERS = ["block1", "block2", "norm"]


@pytest.fixture(params=list(SHAPES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(tmp_path: Path, kind: str) -> Path:
    return tiny_baselines.save("ssast" if kind == "patch" else "ssast-frame", tmp_path)


def expected_columns(audio: torch.Tensor, kind: str) -> np.ndarray:
    """Columns of one clip of whole columns, from the released names: [layers, columns, width]."""
    weights = references.as_float64(
        {name.removeprefix("module.v."): tensor for name, tensor in tiny_baselines.ssast(kind).items()}
    )
    height, length = SHAPES[kind]
    fbank = KaldiFbank("hanning")(audio[None])[0].double().numpy()
    picture = ((fbank + 4.2677393) / (2 * 4.5689974)).T
    bands, columns, all_columns = 128 // height, picture.shape[1] // length, 1024 // length
    kernel, table = weights["patch_embed.proj.weight"][:, 0], weights["pos_embed"][0]
    x = [weights["cls_token"][0, 0] + table[0], weights["dist_token"][0, 0] + table[1]]
    for f in range(bands):
        for t in range(columns):
            tile = picture[f * height : (f + 1) * height, t * length : (t + 1) * length]
            middle = all_columns // 2 - columns // 2 + t
            patch = (kernel * tile).sum(axis=(1, 2)) + weights["patch_embed.proj.bias"]
            x.append(patch + table[2 + f * all_columns + middle])
    layers = references.naive_vit(np.stack(x), weights, references.HEADS)
    return np.stack([layer[2:].reshape(bands, columns, WIDTH).mean(axis=0) for layer in layers])


def test_every_layer_equals_the_formulas(path: Path, kind: str) -> None:
    audio = references.sound((47 * 160 + 400) / 16000, clips=1) + 0.1
    found = ssast.get_timestamp_embeddings(audio, ssast.load_model(str(path)), layers=LAYERS)
    for (embeddings, _), expected in zip(
        found, expected_columns((audio - audio.mean())[0], kind), strict=True
    ):
        np.testing.assert_allclose(embeddings[0], expected, rtol=0, atol=1e-5)


def test_hear_rules(path: Path, kind: str) -> None:
    model = ssast.load_model(str(path))
    references.check_hear_rules(ssast, model, hop_ms=10 * SHAPES[kind][1])
    references.check_layers(ssast, model, LAYERS)


def test_long_sound_goes_in_equal_parts_of_the_position_table(path: Path, kind: str) -> None:
    columns = 1024 // SHAPES[kind][1]
    exact = references.sound((columns * SHAPES[kind][1] * 160 + 240) / 16000, clips=1)
    embeddings, _ = ssast.get_timestamp_embeddings(exact, ssast.load_model(str(path)))
    assert embeddings.shape[1] == columns
    embeddings, times = ssast.get_timestamp_embeddings(references.sound(25.0), ssast.load_model(str(path)))
    assert embeddings.shape[1] == times.shape[1]
    assert 25000 - 160 < times.max() <= 25000


def test_a_file_trained_on_shorter_input_takes_shorter_parts(tmp_path: Path) -> None:
    tensors = tiny_baselines.ssast("patch")
    tensors["module.v.pos_embed"] = tensors["module.v.pos_embed"][:, : 2 + 8 * 32]
    tensors["module.p_input_tdim"] = torch.tensor(512)
    torch.save(tensors, tmp_path / "short.pth")
    model = ssast.load_model(str(tmp_path / "short.pth"))
    with torch.no_grad():
        lengths = [frames.shape[1] for (frames,) in model.parts(references.sound(8.0), [])]
    assert lengths == [25, 25]


def test_the_base_size_has_the_published_number_of_parameters() -> None:
    shapes = tiny_baselines.ssast_shapes(768, 12, (16, 16)).values()
    assert round(sum(int(np.prod(shape)) for shape in shapes) / 1e6) == 89


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v.norm.weight": None}, "'norm.weight' is missing where the model has (128,)"),
        ({"v.dist_token": None}, "it lacks 'v.dist_token'"),
        ({"p_input_tdim": None}, "it lacks 'p_input_tdim'"),
        (
            {"p_input_tdim": torch.tensor(512)},
            "'pos_embed' is (514, 128) where the model has (258, 128)",
        ),
        ({"v.extra": torch.zeros(1)}, "'extra' is (1,) where the model has no such tensor"),
    ],
)
def test_a_tensor_out_of_place_is_named(
    tmp_path: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    changed = tiny_baselines.ssast("patch") | {f"module.{name}": tensor for name, tensor in change.items()}
    file = tmp_path / "changed.pth"
    torch.save({name: tensor for name, tensor in changed.items() if tensor is not None}, file)
    with pytest.raises(EvaluationError, match=re.escape(message)):
        ssast.load_model(str(file))


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}, "epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(EvaluationError, match=r"its entry 'model' is a dict, no tensor"):
        ssast.load_model(str(tmp_path / "other.pth"))


def test_missing_weights_say_where_they_come_from() -> None:
    with pytest.raises(EvaluationError, match=r"no SSAST-Base-Patch-400\.pth in .*: download .*/ssast"):
        ssast.load_model()
