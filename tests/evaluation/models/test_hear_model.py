"""Any HEAR module by name: attributes, frameworks, fingerprints, and clear words for what is missing."""

import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import MODELS

from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.parse import parse_model
from evaluation.models.spec import ModelSpec


def test_a_torch_module_answers_with_float32_numpy() -> None:
    model = HearModel(ModelSpec("band_energy"))
    embeddings = model.scene_embeddings(np.random.default_rng(0).random((3, 4000), dtype=np.float32))
    assert embeddings.shape == (3, 32)
    assert embeddings.dtype == np.float32
    assert (model.kind, model.sample_rate, model.pretrained) == ("torch", 16000, True)


def test_half_precision_is_widened() -> None:
    model = HearModel(ModelSpec("one_by_one"))
    assert model.scene_embeddings(np.ones((1, 100), np.float32)).dtype == np.float32


def test_models_are_put_into_evaluation_mode_without_gradients() -> None:
    model = HearModel(ModelSpec("band_energy"))
    assert not model._model.training
    audio = np.ones((1, 2000), np.float32)
    model._model.offset = torch.nn.Buffer(torch.tensor(1.0))
    assert isinstance(model.scene_embeddings(audio), np.ndarray)


def test_operations_are_those_counted_by_hand() -> None:
    model = HearModel(ModelSpec("one_transformer_layer"))
    audio = np.ones((2, 16000), np.float32)
    frames = (16000 - 400) // 160 + 1
    convolution, attention = 400 * 8, 2 * frames * 8  # multiplications per frame
    layer = 8 * 3 * 8 + attention + 8 * 8 + 2 * 8 * 16
    assert model.flops("get_scene_embeddings", audio, [""]) == 2 * 2 * frames * (convolution + layer)
    assert torch.backends.mha.get_fastpath_enabled()


def test_operations_that_cannot_be_counted_are_not_known() -> None:
    audio = np.ones((1, 2000), np.float32)
    assert HearModel(ModelSpec("band_energy")).flops("get_scene_embeddings", audio, [""]) is None
    assert HearModel(ModelSpec("one_transformer_layer")).flops("no_function", audio, [""]) is None


def test_fingerprints_follow_weights_and_options(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("0.5")
    (tmp_path / "b").write_text("0.25")
    specs = [
        ModelSpec("band_energy"),
        ModelSpec("band_energy", str(tmp_path / "a")),
        ModelSpec("band_energy", str(tmp_path / "b")),
        ModelSpec("band_energy", options={"offset": 0.75}),
    ]
    assert len({HearModel(spec).fingerprint for spec in specs}) == 4
    assert HearModel(specs[0]).fingerprint == HearModel(specs[0]).fingerprint


def test_checkpoints_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.pt").write_text("1")
    labels = [
        parse_model(f"band_energy@{tmp_path / name / 'model.pt'}").label for name in ("first", "second")
    ]
    assert labels[0] != labels[1]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (ModelSpec("no_such_module"), "there is no module 'no_such_module'"),
        (ModelSpec("no_such.module"), "there is no module 'no_such.module'"),
        (ModelSpec("json"), "json is not a HEAR module: it has no function load_model"),
        (
            ModelSpec("faulty", options={"fault": "load"}),
            r"load_model\(fault='load'\) failed: RuntimeError: size mismatch for encoder.weight",
        ),
        (ModelSpec("faulty", options={"fault": "type"}), "load_model of faulty returned a str"),
        (
            ModelSpec("faulty", options={"fault": "no rate"}),
            "sample_rate = None; HEAR wants a positive integer",
        ),
        (
            ModelSpec("faulty", options={"fault": "kHz"}),
            "sample_rate = 16; it is given in Hz, from 1000 to 192000",
        ),
        (ModelSpec("my_model.py"), "'my_model.py' is a file, not a module's name; write my_model$"),
        (ModelSpec("./mine/my_model.py"), "write my_model, with its folder on PYTHONPATH: PYTHONPATH=mine$"),
        (ModelSpec("band_energy", options={"depth": 3}), r"load_model\(depth=3\) failed: TypeError"),
    ],
)
def test_what_a_module_lacks_is_said_in_one_sentence(spec: ModelSpec, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence) as caught:
        HearModel(spec)
    assert "\n" not in str(caught.value)


def test_a_missing_package_of_the_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("import some_package_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        EvaluationError, match="needy needs the package 'some_package_nobody_has'; install it"
    ):
        HearModel(ModelSpec("needy"))


def test_weights_that_do_not_exist_are_refused_before_any_module_sees_them() -> None:
    with pytest.raises(EvaluationError, match=r"the weights 'nowhere.pt' given for band_energy do not exist"):
        parse_model("band_energy@nowhere.pt")


def test_a_module_may_take_names_in_the_place_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "named.py").write_text(
        "WEIGHTS_ARE_NAMES = True\nload_model = get_scene_embeddings = print\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parse_model("named@owner/model") == ModelSpec("named", "owner/model")


def test_an_impossible_device_is_refused() -> None:
    with pytest.raises(EvaluationError, match="the device 'abacus' cannot be used"):
        HearModel(ModelSpec("band_energy"), "abacus")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow is not installed (extra `validate`)")
@pytest.mark.parametrize(("module", "kind"), [("tf_model", "tensorflow"), ("keras_model", "keras")])
def test_tensorflow_and_keras_models_work(module: str, kind: str) -> None:
    program = f"""
        import numpy as np
        from evaluation.models.hear_model import HearModel
        from evaluation.models.spec import ModelSpec
        model = HearModel(ModelSpec({module!r}), "cpu")
        audio = np.full((2, 100), 0.5, np.float32)
        embeddings = model.scene_embeddings(audio)
        assert model.kind == {kind!r}, model.kind
        assert embeddings.shape == (2, 2) and embeddings.dtype == np.float32
        assert abs(embeddings[0, 0] - 0.25) < 1e-6
        assert model.n_parameters == 2
        assert model.fingerprint == HearModel(ModelSpec({module!r}), "cpu").fingerprint
    """
    environment = {"PYTHONPATH": f"{MODELS}:{MODELS.parents[1]}", "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, env=environment)
