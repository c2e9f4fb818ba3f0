"""Files of the released Audio-MAE: read as they are, and held to what its code computed from them."""

import argparse
import json
import re
from pathlib import Path

import pytest
import tiny_baselines
import torch
from golden_audio_mae import GOLDEN, images, load, needs_golden
from patch_references import WIDTH

from hear_mwmae import ModelConfig, UserError, audio_mae_b, from_checkpoint, load_model
from hear_mwmae.__main__ import main
from hear_mwmae.config import AUDIO_MAE_B
from hear_mwmae.convert_audio_mae import convert_audio_mae, released_shapes
from hear_mwmae.parameter_shapes import decoder_shapes, encoder_shapes
from hear_mwmae.torch_file import is_torch_file
from hear_mwmae.weights import build_encoder, read_model_file

# Measured: 1.9e-6 for tokens, 4.8e-7 for the classifier's pooled ones.
TOKEN_TOLERANCE = 2e-5
POOLED_TOLERANCE = 3e-5
GOLDEN_HEADS = 4


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    return tiny_baselines.audio_mae()


def fine_tuned(tensors: dict[str, torch.Tensor], classes: int = 5) -> dict[str, torch.Tensor]:
    """The encoder with a classifier, as `models_vit.py` has them."""
    kept = {name: value for name, value in tensors.items() if not name.startswith(("decoder", "mask"))}
    for leaf in ("weight", "bias"):
        kept[f"fc_norm.{leaf}"] = kept.pop(f"norm.{leaf}")
    return kept | {"head.weight": torch.ones(classes, WIDTH), "head.bias": torch.ones(classes)}


def saved(folder: Path, content: object) -> Path:
    torch.save(content, folder / "released.pth")
    return folder / "released.pth"


def sizes(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


# What the released code computed


@needs_golden
@pytest.mark.parametrize(("name", "array"), [("global", "unmasked_sample0"),
                                             ("local", "unmasked_sample0_tokens")])  # fmt: skip
def test_tokens_are_those_of_the_released_code(name: str, array: str) -> None:
    weights = convert_audio_mae(GOLDEN / f"mae_{name}.pth", heads=GOLDEN_HEADS, decoder=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    assert shapes == encoder_shapes(weights.config) | decoder_shapes(weights.config)
    encoder = build_encoder(weights, name)
    with torch.no_grad():
        tokens = encoder.tokens(torch.from_numpy(images(f"mae_{name}")[:1]))
    expected = torch.from_numpy(load(f"mae_{name}")[array])
    torch.testing.assert_close(tokens[:, : expected.shape[1]], expected, atol=TOKEN_TOLERANCE, rtol=0)


@needs_golden
def test_a_fine_tuned_file_normalises_the_mean_of_its_tokens() -> None:
    weights = convert_audio_mae(GOLDEN / "classifier.pth", heads=GOLDEN_HEADS)
    encoder = build_encoder(weights, "classifier")
    with torch.no_grad():
        means = encoder.columns(encoder.tokens(torch.from_numpy(images("classifier")))).mean(dim=1)
        pooled = encoder.normalise_pooled(means, "norm")
    expected = torch.from_numpy(load("classifier")["pooled"])
    torch.testing.assert_close(pooled, expected, atol=POOLED_TOLERANCE, rtol=0)


@needs_golden
@pytest.mark.parametrize(
    ("entry", "change"),
    [
        (
            "mae_vit_base_patch16 decoder_mode=0",
            {"decoder_depth": 8, "decoder_attention": "global"},
        ),
        ("mae_vit_base_patch16 decoder_mode=1", {}),
    ],
)
def test_names_and_shapes_are_those_of_the_released_base(entry: str, change: dict[str, object]) -> None:
    released = json.loads((GOLDEN / "released_layouts.json").read_text())[entry]
    config = ModelConfig(**{**vars(AUDIO_MAE_B), **change})
    assert released_shapes(config) == {name: tuple(shape) for name, shape in released["shapes"].items()}


def test_a_base_model_has_as_many_parameters_as_its_authors_count() -> None:
    config = ModelConfig(**{**vars(AUDIO_MAE_B), "norm_after_pooling": True})
    encoder = encoder_shapes(config)
    # They do not count the position tables, which are not trained; their log is of 527 classes.
    codes = sizes({"": encoder["encoder.position_codes"]})
    assert sizes(encoder) - codes + 527 * 769 == 85_659_407
    assert sizes(encoder | decoder_shapes(config)) - codes - 512 * 512 == 136_336_128


# The kinds of files


def test_a_pre_trained_file_is_read_whole(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = saved(tmp_path, {"model": tensors})
    weights = convert_audio_mae(path, decoder=True)
    config = weights.config
    assert (config.width, config.depth, config.heads, config.input_size) == (WIDTH, 2, 2, (1024, 128))
    assert (config.decoder_attention, config.decoder_width, config.decoder_depth) == ("global", 32, 1)
    assert (config.position_codes, config.position_grid) == ("fixed", "audiomae-released")
    assert (config.conventions, config.class_token, config.norm_after_pooling) == ("audio_mae", True, False)
    assert torch.equal(weights.tensors["encoder.position_codes"], tensors["pos_embed"][0])
    assert torch.equal(weights.tensors["decoder.position_codes"], tensors["decoder_pos_embed"][0])
    kernel = tensors["patch_embed.proj.weight"].flatten(1)
    assert torch.equal(weights.tensors["encoder.patch_embed.weight"], kernel)
    assert weights.provenance == {
        "converted_from": "released.pth",
        "kind": "pre-trained with a global decoder of depth 1",
        "assumed": {"decoder_heads": 16, "mask_ratio": 0.8, "norm_pix_loss": True},
    }
    assert not any(name.startswith("decoder") for name in convert_audio_mae(path).tensors)


@needs_golden
def test_a_local_decoder_tells_its_heads_and_drops_the_row_of_the_class_token() -> None:
    weights = convert_audio_mae(GOLDEN / "mae_local.pth", heads=GOLDEN_HEADS, decoder=True)
    assert (weights.config.decoder_attention, weights.config.decoder_heads) == ("local", 16)
    assert weights.provenance["kind"] == "pre-trained with a local decoder of depth 16"
    assert weights.provenance["epoch"] == 32
    assert "assumed" not in weights.provenance
    table = torch.from_numpy(load("mae_local_weights")["decoder_pos_embed"])
    assert torch.equal(weights.tensors["decoder.position_codes"], table[0, 1:])
    temperature = weights.tensors["decoder.blocks.1.attention.temperature"]
    assert torch.equal(temperature, torch.from_numpy(load("mae_local_weights")["decoder_blocks.1.attn.tau"]))


def test_what_the_training_script_and_the_caller_say_is_not_assumed(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    arguments = argparse.Namespace(mask_ratio=0.75, norm_pix_loss=False, lr=1e-3)
    path = saved(tmp_path, {"model": tensors, "args": arguments, "epoch": 3, "optimizer": {"x": [1]}})
    weights = convert_audio_mae(path, decoder=True, decoder_heads=8)
    assert (weights.config.mask_ratio, weights.config.norm_pix_loss) == (0.75, False)
    assert weights.config.decoder_heads == 8
    assert "assumed" not in weights.provenance
    assert weights.provenance["epoch"] == 3
    assert convert_audio_mae(path, mask_ratio=0.5).config.mask_ratio == 0.5


def test_a_bare_encoder_and_a_fine_tuned_one(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    encoder = {name: value for name, value in tensors.items() if not name.startswith(("decoder", "mask"))}
    weights = convert_audio_mae(saved(tmp_path, encoder))
    assert weights.provenance == {"converted_from": "released.pth", "kind": "pre-trained, encoder only"}
    weights = convert_audio_mae(saved(tmp_path, {"model": fine_tuned(tensors)}))
    assert weights.config.norm_after_pooling
    assert weights.provenance["fine_tuned"] is True
    assert weights.provenance["kind"] == "fine-tuned with 5 classes"
    assert weights.provenance["ignored"] == ["head.weight", "head.bias"]
    with pytest.raises(UserError, match=r"holds no decoder \(fine-tuned with 5 classes\)"):
        convert_audio_mae(tmp_path / "released.pth", decoder=True)


def test_entries_of_a_notebook_are_ignored_and_listed(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    extra = {"decoder_emb_pixel.weight": torch.ones(2, 3), "encoder_emb.bias": torch.ones(2)}
    weights = convert_audio_mae(saved(tmp_path, {"model": tensors | extra}))
    assert weights.provenance["ignored"] == sorted(extra)
    with pytest.raises(UserError, match="'surprise' is \\(2,\\) where the model has no such parameter"):
        convert_audio_mae(saved(tmp_path, {"model": tensors | {"surprise": torch.ones(2)}}))


def test_the_position_table_tells_the_length_of_the_input(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    tensors = fine_tuned(tensors) | {"pos_embed": torch.zeros(1, 257, WIDTH)}
    path = saved(tmp_path, tensors)
    assert convert_audio_mae(path).config.input_size == (512, 128)
    model = load_model(str(path))
    assert model.chunks.columns_of_chunks(model.column_count(16000 * 7)) == [22, 22]
    assert model.scene_embeddings([torch.ones(16000 * 7)]).shape == (1, WIDTH)


# The command


def test_the_command_says_what_kind_of_file_it_was(
    tmp_path: Path, tensors: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = saved(tmp_path, {"model": tensors}), tmp_path / "x.safetensors"
    assert main(["convert", str(path), "--out", str(out), "--decoder"]) == 0
    shown = capsys.readouterr()
    assert "(pre-trained with a global decoder of depth 1), width 128, depth 2, 2 heads" in shown.out
    assert "nothing tells decoder_heads 16, mask_ratio 0.8, norm_pix_loss True: assumed" in shown.err
    back = read_model_file(out, decoder=True)
    assert torch.equal(back.tensors["decoder.predict.weight"], tensors["decoder_pred.weight"])
    for a, b in zip(load_model(str(path)).parameters(), load_model(str(out)).parameters(), strict=True):
        assert torch.equal(a, b)
    path = saved(tmp_path, {"model": fine_tuned(tensors)})
    assert main(["convert", str(path), "--out", str(out)]) == 0
    assert "(fine-tuned with 5 classes)" in capsys.readouterr().out
    assert load_model(str(out)).config.norm_after_pooling
    assert main(["show", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["fine_tuned"] is True


def test_a_file_of_another_size_is_refused_by_name(
    tmp_path: Path, tensors: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, {"model": tensors})
    with pytest.raises(UserError, match="holds a model with width 128 where audio_mae_b has 768"):
        audio_mae_b.load_model(str(path))
    for name in ("audio_mae_b", "mw_mae_b"):
        assert main(["convert", str(path), "--model", name, "--out", str(tmp_path / "x.safetensors")]) == 2
        assert "released.pth: holds a model with" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


# Files that are none


def test_a_head_count_that_nothing_tells_is_asked_for(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    narrow = {
        name: value[:48] if name == "patch_embed.proj.weight" else value for name, value in tensors.items()
    }
    path = saved(tmp_path, {"model": narrow})
    with pytest.raises(UserError, match="its width of 48 does not tell the encoder's head count; give heads"):
        convert_audio_mae(path)
    with pytest.raises(UserError, match=r"'blocks.0.attn.proj.bias' is \(128,\) where the model has \(48,\)"):
        convert_audio_mae(path, heads=4)


class Unwelcome:
    """What no file of weights should hold."""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": Unwelcome()}, "cannot be read as weights of torch (it holds other things than tensors"),
        ([1, 2], "holds a list, not named weights"),
        ({"model": [1]}, "its entry 'model' holds no named weights"),
        ({"model": {"x": 3}}, "its entry 'x' is a int, not a tensor of floating-point numbers"),
        ({"model": {1: torch.ones(1)}}, "its entry '1' is a tensor of another kind"),
        ({"x": torch.ones(2, dtype=torch.int64)}, "its entry 'x' is a tensor of another kind"),
        ({"x": torch.eye(2).to_sparse()}, "its entry 'x' is a tensor of another kind"),
        ({"x": torch.ones(1).expand(10**12)}, "its entry 'x' is a tensor of another kind"),
        ({}, "no Audio-MAE of the released code: 'patch_embed.proj.weight' is missing"),
        (tiny_baselines.ssast("patch") | {"module.p_input_fdim": torch.ones(1)}, "its entry 'module.p_input"),
        ({"patch_embed.proj.weight": torch.ones(0, 0, 0, 0)}, "'pos_embed' is missing"),
        ({"patch_embed.proj.weight": torch.ones(2)}, "is of shape (2,)"),
    ],
)
def test_other_contents_are_one_sentence(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)) as error:
        from_checkpoint.load_model(str(saved(tmp_path, content)))
    assert str(error.value).startswith(str(tmp_path / "released.pth"))
    assert "\n" not in str(error.value)


def test_sizes_that_are_nothing_are_one_sentence(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    for shape in [(0, 1, 16, 16), (WIDTH, 1, 0, 16), (WIDTH, 1, 16, 0), (WIDTH, 1, 16, 500)]:
        content = tensors | {"patch_embed.proj.weight": torch.ones(shape)}
        with pytest.raises(UserError):
            convert_audio_mae(saved(tmp_path, content), heads=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_values_are_finite(tmp_path: Path, tensors: dict[str, torch.Tensor], value: float) -> None:
    content = tensors | {"norm.bias": torch.full((WIDTH,), value, dtype=torch.float64)}
    with pytest.raises(UserError, match=r"encoder\.norm\.bias holds NaN or infinite values"):
        convert_audio_mae(saved(tmp_path, content))


@pytest.mark.parametrize(
    "content", [b"", b"<html>Too many requests</html>", b"PK\x03\x04", b"\x80\x02}q\x00"]
)
def test_what_is_no_file_of_torch_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "released.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"released\.pth: cannot be read as weights of torch") as error:
        load_model(str(path))
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    whole = saved(tmp_path, {"model": {"x": torch.ones(3)}}).read_bytes()
    path = tmp_path / "damaged.pth"
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(UserError):
            convert_audio_mae(path)
        path.write_bytes(whole[:place])
        with pytest.raises(UserError):
            convert_audio_mae(path)


def test_a_file_is_known_by_its_name_or_its_first_bytes(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    path = saved(tmp_path, {"model": tensors})
    assert is_torch_file(path)
    assert load_model(str(path.rename(tmp_path / "download"))).config.width == WIDTH
    assert not is_torch_file(tmp_path)
    (tmp_path / "checkpoint_1").write_bytes(b"\x81\xa6params\xc0")
    assert not is_torch_file(tmp_path / "checkpoint_1")
