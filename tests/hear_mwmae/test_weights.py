"""Model files, finding weights, and the checkpoints of the released code."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import golden
import msgpack
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hear_mwmae import NAMED_MODELS, ModelConfig, UserError, from_checkpoint, load_model, mw_mae_t
from hear_mwmae.config import paper_windows
from hear_mwmae.convert import convert_checkpoint, decoder_shapes, encoder_shapes
from hear_mwmae.encoder import Encoder
from hear_mwmae.flax_checkpoint import read_flax_checkpoint
from hear_mwmae.named_weights import find_weights
from hear_mwmae.weights import Weights, read_model_file, write_model_file

MWMAE = golden.COMPACT / "ckpt_mwmae_small_float32"
MAE = golden.COMPACT / "ckpt_mae_small_float32"
TINY = NAMED_MODELS["mw_mae_t"].config


def named_weights(config: ModelConfig, seed: int = 0) -> Weights:
    encoder = Encoder(config)
    encoder.initialise(torch.Generator().manual_seed(seed))
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    return Weights(config, tensors, {"step": seed})


def checkpoint_copy(folder: Path, change: object, source: Path = MWMAE) -> Path:
    """A checkpoint directory in which `change` has altered the parameters."""
    state = msgpack.unpackb((source / "checkpoint_7").read_bytes(), strict_map_key=False)
    change(state)
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint_7").write_bytes(msgpack.packb(state))
    return folder


def array(values: np.ndarray, dtype: str = "") -> msgpack.ExtType:
    content = (values.shape, dtype or values.dtype.name, values.tobytes())
    return msgpack.ExtType(1, msgpack.packb(content))


# Configuration


@pytest.mark.parametrize("name", NAMED_MODELS)
def test_configuration_survives_json(name: str) -> None:
    config = NAMED_MODELS[name].config
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widht": 3}, "x.json: unknown key 'widht'"),
        ({"width": "768"}, "width = '768'"),
        ({"class_token": 1}, "class_token = 1"),
        ({"patch_size": [4]}, "patch_size"),
        ({"decoder_windows": 2}, "decoder_windows"),
        ({"patch_size": [3, 16]}, "does not tile"),
        ({"heads": 5}, "head counts 5"),
        ({"depth": 0}, "at least 1"),
        ({"decoder_windows": [2, 5]}, "2 decoder_windows for 8"),
        ({"decoder_windows": [3, 0, 0, 0, 0, 0, 0, 0]}, "must divide the 250 tokens"),
        ({"front_end": "mfcc"}, "front_end 'mfcc'"),
        ({"input_size": [200, 128]}, "80 bands"),
        ({"position_codes": "learned"}, "position_codes 'learned'"),
        ({"mask_ratio": 1}, "mask_ratio"),
    ],
)
def test_a_wrong_configuration_is_named(change: dict[str, object], sentence: str) -> None:
    text = json.dumps(json.loads(ModelConfig().to_json()) | change)
    with pytest.raises(UserError, match=sentence):
        ModelConfig.from_json(text, source="x.json")
    with pytest.raises(UserError, match="not JSON"):
        ModelConfig.from_json("{")


def test_windows_of_the_paper() -> None:
    assert paper_windows(250) == (2, 5, 10, 25, 50, 125, 0, 0)
    assert [len(paper_windows(n)) for n in (125, 250, 500, 640)] == [4, 8, 12, 16]


# Model files


def test_a_model_file_keeps_everything(tmp_path: Path) -> None:
    weights = named_weights(TINY)
    weights.tensors["decoder.mask_token"] = torch.ones(384)
    path = tmp_path / "tiny.safetensors"
    write_model_file(path, weights)
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "ordinary").touch()
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    back = read_model_file(path, decoder=True)
    assert (back.config, back.provenance) == (weights.config, weights.provenance)
    assert back.tensors.keys() == weights.tensors.keys()
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in weights.tensors.items())
    assert not any(name.startswith("decoder") for name in read_model_file(path).tensors)


def test_half_precision_files_are_widened(tmp_path: Path) -> None:
    weights = named_weights(TINY)
    half = {name: tensor.half() for name, tensor in weights.tensors.items()}
    write_model_file(tmp_path / "half.safetensors", Weights(TINY, half))
    model = mw_mae_t.load_model(str(tmp_path / "half.safetensors"))
    assert torch.equal(model.encoder.norm.weight, weights.tensors["encoder.norm.weight"])
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_shapes_in_files_are_those_of_the_encoder() -> None:
    for model in NAMED_MODELS.values():
        with torch.device("meta"):
            state = Encoder(model.config).state_dict()
        own = {f"encoder.{name}": tuple(tensor.shape) for name, tensor in state.items()}
        assert own == encoder_shapes(model.config)


def test_files_that_are_no_model_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_model(str(path))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="no model configuration"):
        load_model(str(path))
    metadata = {"format": "hear_mwmae", "format_version": "2", "config": TINY.to_json()}
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(UserError, match="format version 2"):
        load_model(str(path))


def test_missing_and_wrongly_shaped_parameters_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for name, tensor, sentence in [
        ("encoder.norm.weight", None, "norm.weight is missing"),
        ("encoder.norm.weight", torch.zeros(5), "norm.weight is of shape \\(5,\\)"),
        ("encoder.extra", torch.zeros(5), "extra is of shape \\(5,\\) where the model has none"),
    ]:
        tensors = {**named_weights(TINY).tensors, name: tensor}
        kept = {key: value for key, value in tensors.items() if value is not None}
        write_model_file(path, Weights(TINY, kept))
        with pytest.raises(UserError, match=sentence):
            load_model(str(path))


def test_a_file_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_model_file(path, named_weights(dataclasses.replace(TINY, class_token=True)))
    with pytest.raises(UserError, match="class_token True where mw_mae_t has False"):
        mw_mae_t.load_model(str(path))
    assert from_checkpoint.load_model(str(path)).config.class_token
    for windows in ((), (2, 2, 10, 25, 50, 125, 0, 0)):
        write_model_file(path, named_weights(dataclasses.replace(TINY, decoder_windows=windows)))
        with pytest.raises(UserError, match=r"decoder_windows .* where mw_mae_t has \(2, 5, 10,"):
            mw_mae_t.load_model(str(path))


def test_a_smaller_decoder_is_no_other_model(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    config = dataclasses.replace(TINY, decoder_width=64, decoder_depth=1)
    write_model_file(path, named_weights(config))
    assert mw_mae_t.load_model(str(path)).config == config


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("hear_mwmae.weights.save_file", full)
    with pytest.raises(UserError, match=r"x\.safetensors: cannot be written .*No space left"):
        write_model_file(tmp_path / "x.safetensors", named_weights(TINY))
    assert not list(tmp_path.iterdir())


# Finding weights


def test_weights_are_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, cache = tmp_path / "own", tmp_path / "cache" / "weights"
    own.mkdir()
    cache.mkdir(parents=True)
    monkeypatch.setenv("HEAR_MWMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEAR_MWMAE_WEIGHTS", raising=False)
    assert find_weights("some_model") is None
    (cache / "some_model.safetensors").touch()
    assert find_weights("some_model") == cache / "some_model.safetensors"
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(own))
    assert find_weights("some_model") == cache / "some_model.safetensors"
    (own / "some_model.safetensors").touch()
    assert find_weights("some_model") == own / "some_model.safetensors"
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"nowhere: \$HEAR_MWMAE_WEIGHTS must be a folder"):
        find_weights("some_model")


def test_found_weights_are_used_and_pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model_file(tmp_path / "mw_mae_t.safetensors", named_weights(TINY, seed=3))
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path))
    model = mw_mae_t.load_model()
    assert model.pretrained
    assert model.weights_path == str(tmp_path / "mw_mae_t.safetensors")
    patch_embed = named_weights(TINY, seed=3).tensors["encoder.patch_embed.weight"]
    assert torch.equal(model.encoder.patch_embed.weight, patch_embed)


def test_a_folder_serves_by_name_or_by_being_unambiguous(tmp_path: Path) -> None:
    write_model_file(tmp_path / "some.safetensors", named_weights(TINY))
    assert load_model(str(tmp_path)).weights_path == str(tmp_path)
    write_model_file(tmp_path / "mw_mae_t.safetensors", named_weights(TINY))
    assert mw_mae_t.load_model(str(tmp_path)).pretrained
    with pytest.raises(UserError, match="holds 2 model files"):
        load_model(str(tmp_path))


def test_a_missing_path_is_never_a_random_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing: there is no such file or directory"):
        mw_mae_t.load_model(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="holds 0 model files"):
        mw_mae_t.load_model(str(tmp_path))
    with pytest.raises(UserError, match="No model was given"):
        from_checkpoint.load_model()
    assert not list(tmp_path.iterdir())


# Checkpoints of the released code


def test_shape_is_read_off_a_checkpoint() -> None:
    config = convert_checkpoint(MWMAE, heads=4).config
    assert config.decoder_windows == (2, 5, 10, 25, 50, 125, 0, 0)
    assert (config.width, config.depth, config.heads, config.class_token) == (64, 2, 4, False)
    assert (config.decoder_width, config.decoder_depth, config.decoder_heads) == (48, 2, 8)
    assert convert_checkpoint(MAE, heads=4).config == dataclasses.replace(
        config, class_token=True, decoder_windows=()
    )


@pytest.mark.parametrize("source", [MWMAE, MAE])
def test_a_converted_file_is_the_checkpoint(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    weights = convert_checkpoint(source, heads=4, decoder=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    assert shapes == encoder_shapes(weights.config) | decoder_shapes(weights.config)
    write_model_file(path, weights)
    direct, converted = from_checkpoint.load_model(str(source), heads=4), load_model(str(path))
    for a, b in zip(direct.parameters(), converted.parameters(), strict=True):
        assert torch.equal(a, b)
    assert weights.provenance == {"converted_from": f"{source.name}/checkpoint_7", "step": 7}


def test_the_newest_checkpoint_of_a_run_is_read(tmp_path: Path) -> None:
    for step in (9, 10):
        folder = checkpoint_copy(tmp_path, lambda state, step=step: state.update(step=step))
        (folder / "checkpoint_7").rename(folder / f"checkpoint_{step}")
    assert read_flax_checkpoint(tmp_path).step == 10
    assert read_flax_checkpoint(tmp_path / "checkpoint_9").step == 9


def test_bfloat16_arrays_are_understood(tmp_path: Path) -> None:
    values = torch.randn(1, 1, 48).bfloat16()

    def change(state: dict) -> None:
        state["params"]["mask_token"] = array(values.view(torch.int16).numpy(), "bfloat16")

    params = read_flax_checkpoint(checkpoint_copy(tmp_path, change)).params
    np.testing.assert_array_equal(params["mask_token"], values.float().numpy())


@golden.needs_full
def test_the_released_codes_own_bfloat16_checkpoint() -> None:
    weights = convert_checkpoint(golden.FULL / "ckpt_mwmae_small_bfloat16", heads=4, decoder=True)
    token = weights.tensors["decoder.mask_token"]
    assert torch.equal(token, token.bfloat16().float())
    assert token.std() > 0.01


def test_optimiser_state_of_any_kind_is_ignored(tmp_path: Path) -> None:
    def change(state: dict) -> None:
        state["opt_state"] = {"0": [1, {"x": msgpack.ExtType(77, b"?")}, msgpack.ExtType(1, b"broken")]}

    weights = convert_checkpoint(checkpoint_copy(tmp_path, change), heads=4)
    assert torch.equal(
        weights.tensors["encoder.norm.bias"], convert_checkpoint(MWMAE, heads=4).tensors["encoder.norm.bias"]
    )


def test_heads_of_supervised_runs_are_ignored_and_their_missing_decoder_too(tmp_path: Path) -> None:
    def change(state: dict) -> None:
        params = state["params"]
        for name in [
            name for name in params if name.startswith(("decoder_block", "decoder_norm", "decoder_pred"))
        ]:
            del params[name]
        params["head"] = {"bias": array(np.zeros(10, np.float32))}

    folder = checkpoint_copy(tmp_path, change)
    assert convert_checkpoint(folder, heads=4).config.depth == 2
    with pytest.raises(UserError, match=r"decoder\.\S+ has no entry"):
        convert_checkpoint(folder, heads=4, decoder=True, decoder_heads=8, mask_ratio=0.8)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("pos_embed", np.zeros((1, 250, 60), np.float32), "position_codes has \\(250, 60\\)"),
        ("surprise", np.zeros(3, np.float32), "surprise belongs to no model"),
        ("patch_embed", None, "not a masked autoencoder"),
    ],
)
def test_other_parameters_are_named(
    name: str, values: np.ndarray | None, sentence: str, tmp_path: Path
) -> None:
    def change(state: dict) -> None:
        del state["params"][name if name in state["params"] else "encoder_norm"]
        if values is not None:
            state["params"][name] = array(values)

    with pytest.raises(UserError, match=sentence):
        convert_checkpoint(checkpoint_copy(tmp_path, change), heads=4)


def test_a_checkpoint_of_another_model_is_refused() -> None:
    with pytest.raises(UserError, match=r"checkpoint_7: encoder\.patch_embed\.weight has \(64, 64\)"):
        mw_mae_t.load_model(str(MWMAE))
    with pytest.raises(UserError, match="give heads or the model"):
        from_checkpoint.load_model(str(MWMAE))


@pytest.mark.parametrize("content", [b"", b"\x00", b"garbage, not msgpack", b"\x81\xa6params\xc0"])
def test_damaged_checkpoints_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint_1").write_bytes(content)
    with pytest.raises(
        UserError, match=r"checkpoint_1: neither a \.safetensors model file nor a whole checkpoint"
    ):
        convert_checkpoint(tmp_path, heads=4)


def test_truncated_checkpoints_are_named(tmp_path: Path) -> None:
    content = (MWMAE / "checkpoint_7").read_bytes()
    (tmp_path / "checkpoint_1").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="nor a whole checkpoint"):
        convert_checkpoint(tmp_path, heads=4)


@pytest.mark.slow
def test_base_is_ready_in_a_gibibyte(tmp_path: Path) -> None:
    path = tmp_path / "mw_mae_b.safetensors"
    write_model_file(path, named_weights(NAMED_MODELS["mw_mae_b"].config))
    code = (
        "import sys\n"
        "from hear_mwmae import mw_mae_b; mw_mae_b.load_model(sys.argv[1])\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])\n"
    )
    run = subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 2**20
