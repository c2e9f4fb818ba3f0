"""BEATs: a small random file of the released layout against slow formulas, one query at a time."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import patch_references as references
import pytest
import tiny_baselines
import torch

from evaluation.baselines import beats
from evaluation.baselines.beats_network import BeatsConfig, BeatsNetwork, relative_buckets
from evaluation.errors import EvaluationError
from hear_mwmae.kaldi_fbank import KaldiFbank

CONFIG = tiny_baselines.BEATS_CONFIG
LAYERS = ["block1", "block2"]
table_name = tiny_baselines.beats_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_baselines.save("beats", tmp_path)


def bucket(offset: int, *, buckets: int, farthest: int) -> int:
    """T5's bucket of a key `offset` positions after the query, by cases."""
    half, distance = buckets // 2, abs(offset)
    exact = half // 2
    first = half if offset > 0 else 0
    if distance < exact:
        return first + distance
    share = math.log(distance / exact) / math.log(farthest / exact)
    return first + min(half - 1, exact + int(share * (half - exact)))


@pytest.mark.parametrize(("buckets", "farthest"), [(16, 20), (320, 800)])
def test_buckets_are_those_of_the_formula(buckets: int, farthest: int) -> None:
    found = relative_buckets(512, buckets=buckets, max_distance=farthest)
    by_offset = {offset: bucket(offset, buckets=buckets, farthest=farthest) for offset in range(-511, 512)}
    expected = [[by_offset[key - query] for key in range(512)] for query in range(512)]
    # A logarithm that is a whole number may round either way: none is in these two.
    assert found.tolist() == expected


def naive_attention(x: np.ndarray, w: dict[str, np.ndarray], table: np.ndarray) -> np.ndarray:
    heads = CONFIG["encoder_attention_heads"]
    size = x.shape[1] // heads
    query, key, value = (x @ w[f"self_attn.{n}_proj.weight"].T + w[f"self_attn.{n}_proj.bias"] for n in "qkv")
    mixed = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            gates = w["self_attn.grep_linear.weight"] @ query[i, part] + w["self_attn.grep_linear.bias"]
            reset, update = (1 / (1 + np.exp(-total)) for total in (gates[:4].sum(), gates[4:].sum()))
            gate = reset * (update * w["self_attn.grep_a"][0, head, 0, 0] - 1) + 2
            bias = [table[bucket(j - i, buckets=16, farthest=20), head] for j in range(len(x))]
            scores = key[:, part] @ query[i, part] / np.sqrt(size) + gate * np.array(bias)
            mixed[i, part] = references.softmax(scores) @ value[:, part]
    return mixed @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]


def naive_position_convolution(x: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    direction = w["encoder.pos_conv.0.weight_v"]
    length = np.sqrt((direction**2).sum(axis=(0, 1)))
    kernel = direction / length * w["encoder.pos_conv.0.weight_g"][0, 0]
    tokens, width = x.shape
    inputs, taps = kernel.shape[1:]
    found = np.tile(w["encoder.pos_conv.0.bias"], (tokens, 1))
    for t in range(tokens):
        for out in range(width):
            group = out // inputs
            for tap in range(taps):
                at = t + tap - taps // 2
                if 0 <= at < tokens:
                    found[t, out] += kernel[out, :, tap] @ x[at, group * inputs : (group + 1) * inputs]
    return references.gelu(found)


def norm(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    return references.layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)


def expected_columns(audio: torch.Tensor) -> list[np.ndarray]:
    w = references.as_float64(tiny_baselines.beats())
    fbank = KaldiFbank("povey")(audio[None] * 32768)[0].double().numpy()
    picture = (fbank - 15.41663) / (2 * 6.55582)
    columns = len(picture) // 16
    tiles = [picture[16 * t : 16 * t + 16, 16 * f : 16 * f + 16] for t in range(columns) for f in range(8)]
    patches = np.stack([(w["patch_embedding.weight"][:, 0] * tile).sum(axis=(1, 2)) for tile in tiles])
    x = norm(patches, w, "layer_norm") @ w["post_extract_proj.weight"].T + w["post_extract_proj.bias"]
    x = norm(x + naive_position_convolution(x, w), w, "encoder.layer_norm")
    found, alpha = [], 4**0.25
    for index in range(2):
        block = {name.removeprefix(f"encoder.layers.{index}."): value for name, value in w.items()}
        x = norm(alpha * x + naive_attention(x, block, w[table_name(0)]), block, "self_attn_layer_norm")
        hidden = references.gelu(x @ block["fc1.weight"].T + block["fc1.bias"])
        x = norm(alpha * x + hidden @ block["fc2.weight"].T + block["fc2.bias"], block, "final_layer_norm")
        found.append(x.reshape(columns, 8, -1).mean(axis=1))
    return found


def test_every_layer_equals_the_formulas(path: Path) -> None:
    audio = references.sound(
        (70 * 160 + 400) / 16000, clips=1
    )  # 71 frames: four columns, seven frames unheard
    found = beats.get_timestamp_embeddings(audio, beats.load_model(str(path)), layers=LAYERS)
    assert found[0][1].tolist() == [[87.5, 247.5, 407.5, 567.5]]
    for (embeddings, _), expected in zip(found, expected_columns(audio[0]), strict=True):
        np.testing.assert_allclose(embeddings[0], expected, rtol=0, atol=1e-5)


def test_hear_rules(path: Path) -> None:
    model = beats.load_model(str(path))
    references.check_hear_rules(beats, model, hop_ms=160)
    references.check_layers(beats, model, LAYERS)


def test_a_minute_goes_in_parts_of_64_columns_at_most(path: Path) -> None:
    model = beats.load_model(str(path))
    with torch.no_grad():
        lengths = [frames[0].shape[1] for frames in model.parts(references.sound(61, clips=1), [])]
    assert set(lengths) == {63, 64}
    assert sum(lengths) == (61 * 16000 - 2800) // 2560 + 1


def test_the_third_iteration_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = BeatsNetwork(BeatsConfig(deep_norm=True, max_distance=800))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6) == 90


def test_a_fine_tuned_file_loses_its_classifier(path: Path, tmp_path: Path) -> None:
    classifier = {"predictor.weight": torch.zeros(527, 32), "predictor.bias": torch.zeros(527)}
    content = {"cfg": CONFIG | {"finetuned_model": True}, "model": tiny_baselines.beats() | classifier}
    torch.save(content, tmp_path / "tuned.pt")
    audio = references.sound(0.5)
    found = [beats.get_scene_embeddings(audio, beats.load_model(str(file)))
             for file in (path, tmp_path / "tuned.pt")]  # fmt: skip
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({}, {"encoder.layers.1.fc1.bias": None}, "'encoder.layers.1.fc1.bias' is missing"),
        ({}, {"label_embs": torch.zeros(3)}, "'label_embs' is (3,) where the model has no such tensor"),
        ({}, {table_name(0): None}, f"it lacks '{table_name(0)}'"),
        ({}, {table_name(1): torch.zeros(16, 4)}, f"'{table_name(1)}' is not '{table_name(0)}'"),
        ({"embed_dim": 25}, {}, "'layer_norm.bias' is (24,) where the model has (25,)"),
        ({"layer_norm_first": True}, {}, "has layer_norm_first = True, not False"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor | None], message: str
) -> None:
    kept = {name: tensor for name, tensor in (tiny_baselines.beats() | tensors).items() if tensor is not None}
    torch.save({"cfg": CONFIG | config, "model": kept}, tmp_path / "changed.pt")
    with pytest.raises(EvaluationError, match=re.escape(message)):
        beats.load_model(str(tmp_path / "changed.pt"))


def test_a_file_without_configuration_is_refused(tmp_path: Path) -> None:
    torch.save(tiny_baselines.beats(), tmp_path / "bare.pt")
    with pytest.raises(
        EvaluationError, match=r"bare\.pt is no released BEATs: it has no configuration 'cfg'"
    ):
        beats.load_model(str(tmp_path / "bare.pt"))


def test_missing_weights_say_where_they_come_from() -> None:
    with pytest.raises(
        EvaluationError, match=r"no BEATs_iter3\.pt in .*: download .*unilm/tree/master/beats"
    ):
        beats.load_model()
