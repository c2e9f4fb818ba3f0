"""Model files and checkpoints of outside origin: what lies or would fill the memory is one sentence."""

import dataclasses
import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import golden
import msgpack
import pytest
import torch

from hear_mwmae import ModelConfig, UserError, from_checkpoint, load_model, processor, weights
from hear_mwmae.__main__ import main
from hear_mwmae.convert import convert_checkpoint
from hear_mwmae.encoder import Encoder
from hear_mwmae.flax_checkpoint import read_flax_checkpoint
from hear_mwmae.weights import Weights, read_model_file, write_model_file

CONFIG = ModelConfig(width=16, depth=1, heads=2, decoder_width=8, decoder_heads=2, decoder_depth=1)
MWMAE = golden.COMPACT / "ckpt_mwmae_small_float32"
MAE = golden.COMPACT / "ckpt_mae_small_float32"
DEEP = "[" * 200_000


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    encoder = Encoder(CONFIG)
    encoder.initialise(torch.Generator().manual_seed(0))
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    write_model_file(tmp_path / "m.safetensors", Weights(CONFIG, tensors, {"step": 3}))
    return tmp_path / "m.safetensors"


def header_of(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, header: object, rest: bytes) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(struct.pack("<Q", len(text.encode())) + text.encode() + rest)


def refused_in_little_memory(path: Path, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message) as error:
            load_model(str(path))
        assert "\n" not in str(error.value)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 10**9},
        {"depth": 1000},
        {"width": 10**18},
        {"width": 65536, "heads": 1, "depth": 1024},
        {"heads": 10**12},
        {"mlp_ratio": 10**9},
        {"decoder_depth": 10**9},
        {"decoder_width": 10**18},
        {"input_size": [10**15, 80]},
        {"decoder_windows": [0] * 100_000, "decoder_heads": 100_000},
    ],
)
def test_a_model_of_any_size_is_refused_before_it_is_built(model_file: Path, change: dict) -> None:
    header, rest = header_of(model_file)
    header["__metadata__"]["config"] = json.dumps(json.loads(CONFIG.to_json()) | change)
    with_header(model_file, header, rest)
    refused_in_little_memory(model_file, "m.safetensors|Model configuration: ")


def change_metadata(name: str, value: object) -> Callable[[dict], object]:
    return lambda header: header["__metadata__"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_metadata("provenance", "no json"), "provenance is not JSON"),
        (change_metadata("provenance", "[1]"), "provenance is no JSON object"),
        (change_metadata("provenance", DEEP), "provenance is nested more than"),
        (change_metadata("provenance", '{"step": ' + "9" * 5000 + "}"), "integer beyond 64 bits"),
        (change_metadata("config", DEEP), "nested more than"),
        (change_metadata("config", '{"width": ' + "9" * 5000 + "}"), "integer beyond 64 bits"),
        (change_metadata("config", 7), "metadata are no texts"),
        (change_metadata("config", '{"width\\u001b[2J": 7}'), r"unknown key '.*\\x1b"),
        (lambda header: header.update(__metadata__=[]), "no model configuration"),
        (lambda header: header["encoder.norm.bias"].update(shape=[10**18]), "header contradicts itself"),
        (lambda header: header["encoder.norm.bias"].update(shape=["16"]), "header contradicts itself"),
        (lambda header: header["encoder.norm.bias"].update(data_offsets=[0, 2**60]), "contradicts itself"),
        (lambda header: header["encoder.norm.bias"].update(dtype="I32"), "no floating-point"),
        (lambda header: header.update({"encoder.norm.bias": 5}), "header contradicts itself"),
        (lambda header: header.pop("encoder.norm.bias"), "norm.bias is missing"),
    ],
)
def test_a_header_that_lies_is_one_sentence(model_file: Path, change: Callable, message: str) -> None:
    header, rest = header_of(model_file)
    change(header)
    with_header(model_file, header, rest)
    refused_in_little_memory(model_file, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable safetensors file"),
        (struct.pack("<Q", 2**62) + b"{}", "its header would have"),
        (struct.pack("<Q", 1000) + b"{}", "is cut off"),
        (struct.pack("<Q", len(DEEP)) + DEEP.encode(), "nested more than"),
        (struct.pack("<Q", 2) + b"\xff\xff", "is not UTF-8"),
        (struct.pack("<Q", 15) + b'{"a": 1,"a": 2}', "twice"),
    ],
)
def test_what_is_no_header_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    refused_in_little_memory(tmp_path / "m.safetensors", message)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model_file: Path, value: float) -> None:
    header, rest = header_of(model_file)
    start = header["encoder.norm.bias"]["data_offsets"][0]
    with_header(model_file, header, rest[:start] + struct.pack("<f", value) + rest[start + 4 :])
    with pytest.raises(UserError, match=r"encoder\.norm\.bias holds NaN or infinite values"):
        load_model(str(model_file))


def test_a_file_that_is_overwritten_later_does_not_change_the_model(model_file: Path) -> None:
    model = load_model(str(model_file))
    before = model.encoder.norm.weight.clone()
    with model_file.open("r+b") as file:
        file.write(bytes(model_file.stat().st_size))
    assert torch.equal(model.encoder.norm.weight, before)


def test_a_file_that_changes_while_it_is_read_is_refused(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = weights.safe_open

    def replaced(path: Path, **options: str) -> object:
        os.utime(path, ns=(1, 1))
        return reading(path, **options)

    monkeypatch.setattr(weights, "safe_open", replaced)
    with pytest.raises(UserError, match=r"m\.safetensors: was changed while it was read"):
        read_model_file(model_file)


# Checkpoints of the released code


def checkpoint(folder: Path, change: Callable[[dict], object], source: Path = MWMAE) -> Path:
    state = msgpack.unpackb((source / "checkpoint_7").read_bytes(), strict_map_key=False)
    change(state)
    (folder / "checkpoint_7").write_bytes(msgpack.packb(state))
    return folder


def array(shape: tuple, dtype: str, content: bytes) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, content)))


def nested(depth: int) -> dict:
    tree: dict = {"x": 1}
    for _ in range(depth):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(step=float("inf")),
        lambda state: state.update(step=float("nan")),
        lambda state: state.update(step=-1),
        lambda state: state.update(step=2**63),
        lambda state: state.update(step=[1]),
        lambda state: state.update(step=True),
        lambda state: state.update(params=nested(900)),
        lambda state: state.update(params=[1, 2]),
        lambda state: state["params"].update(pos_embed=array((10**18,), "float32", b"")),
        lambda state: state["params"].update(pos_embed=array((-1,), "float32", bytes(8))),
        lambda state: state["params"].update(pos_embed=array((1,), "O", bytes(8))),
        lambda state: state["params"].update(pos_embed=array((1,), "complex64", bytes(8))),
        lambda state: state["params"].update(pos_embed=msgpack.ExtType(9, b"?")),
        lambda state: state["params"].update(many=list(range(1000))),
    ],
)
def test_a_checkpoint_that_lies_is_one_sentence(tmp_path: Path, change: Callable[[dict], object]) -> None:
    with pytest.raises(UserError, match="nor a whole checkpoint of the released code"):
        read_flax_checkpoint(checkpoint(tmp_path, change))


@pytest.mark.parametrize("header", [b"\xdf\xff\xff\xff\xff", b"\x81\xa6params\xdd\xff\xff\xff\xff"])
def test_counts_in_a_checkpoint_are_not_believed(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "checkpoint_7").write_bytes(header)
    tracemalloc.start()
    with pytest.raises(UserError, match="nor a whole checkpoint"):
        read_flax_checkpoint(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_values_of_a_checkpoint_are_finite(tmp_path: Path) -> None:
    def change(state: dict) -> None:
        state["params"]["pos_embed"] = array((1,), "float32", struct.pack("<f", float("nan")))

    with pytest.raises(UserError, match="pos_embed holds NaN or infinite values"):
        read_flax_checkpoint(checkpoint(tmp_path, change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEEP, "nested more than"),
        ("{", "not JSON"),
        ("[]", "not the config.json of a training run"),
        (
            '{"model": {"model_args": {"decoder_num_heads": "8"}}}',
            "= '8' is no such number",
        ),
        ('{"model": {"model_args": {"decoder_num_heads": 1000000000}}}', "is no such number"),
        ('{"model": {"model_args": {"decoder_num_heads": 1e999}}}', "no finite number"),
        ('{"model": {"model_args": {"mask_ratio": [1]}}}', "mask_ratio"),
    ],
)
def test_a_config_of_a_checkpoint_that_lies_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    folder = checkpoint(tmp_path, lambda state: None)
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        convert_checkpoint(folder, heads=4)


@pytest.mark.parametrize("source", [MAE, MWMAE])
def test_a_decoder_that_nothing_describes_is_asked_for(tmp_path: Path, source: Path) -> None:
    folder = checkpoint(tmp_path, lambda state: None, source)
    with pytest.raises(UserError, match=r"do not tell decoder_heads and mask_ratio.*--decoder-heads"):
        convert_checkpoint(folder, heads=4, decoder=True)
    given = convert_checkpoint(folder, heads=4, decoder=True, decoder_heads=8, mask_ratio=0.75)
    assert (given.config.decoder_heads, given.config.mask_ratio) == (8, 0.75)
    assert "assumed" not in given.provenance
    alone = convert_checkpoint(folder, heads=4)
    assert alone.provenance["assumed"] == {"decoder_heads": 8, "mask_ratio": 0.8}
    stated = convert_checkpoint(source, heads=4, decoder=True)
    assert stated.config == dataclasses.replace(given.config, mask_ratio=0.8)
    assert "assumed" not in stated.provenance


def test_the_command_keeps_and_says_what_it_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = checkpoint(tmp_path, lambda state: None), tmp_path / "x.safetensors"
    assert main(["convert", str(folder), "--heads", "4", "--out", str(out), "--decoder"]) == 2
    assert "--decoder-heads and --mask-ratio" in capsys.readouterr().err
    assert main(["convert", str(folder), "--heads", "4", "--out", str(out)]) == 0
    assert "warning: nothing tells decoder_heads 8, mask_ratio 0.8: assumed" in capsys.readouterr().err
    assert read_model_file(out).provenance["assumed"] == {"decoder_heads": 8, "mask_ratio": 0.8}


def test_other_heads_than_the_named_model_has_are_refused(tmp_path: Path) -> None:
    config = convert_checkpoint(MWMAE, heads=4).config
    with pytest.raises(UserError, match="is said to have 16 decoder heads"):
        convert_checkpoint(MWMAE, config=config, decoder=True, decoder_heads=16)


# The processor


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 fma\n", False),
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : fpu amx_bf16\n\nflags : fpu amx_bf16\n", True),
        ("flags : fpu amx_bf16\n\nflags : fpu\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_the_processor_says_what_it_multiplies(
    text: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    assert processor._multiplies_bf16() is native


@pytest.mark.parametrize("native", [True, False, None])
def test_bf16_is_warned_of_where_it_is_emulated(
    native: bool | None, model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processor, "multiplies_bf16", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if native is False:
        with pytest.warns(processor.SlowPrecisionWarning, match="bf16 is emulated and slower than float32"):
            from_checkpoint.load_model(str(model_file), precision="bf16")
    else:
        from_checkpoint.load_model(str(model_file), precision="bf16")
    assert main(["models"]) == 0
    assert processor.describe_bf16() in capsys.readouterr().out
