"""Every named module against HEAR's rules: by our own asserts, and by the real validator in slow tests."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import golden
import pytest
import torch
from paths import ROOT

from hear_mwmae import NAMED_MODELS, EmbeddingModel, UserError, from_checkpoint
from hear_mwmae.convert import convert_checkpoint, decoder_shapes, encoder_shapes
from hear_mwmae.encoder import Encoder
from hear_mwmae.weights import write_model_file

TINY = ("mae_t", "mw_mae_t")
MODULES = [f"hear_mwmae.{name}" for name in NAMED_MODELS]
NEWER_VALIDATOR = "hearvalidator==2021.0.6"
# Parameters in thousands, counted in the released code's modules: encoder, encoder and decoder of the row.
PARAMETERS = {
    "mae_b": (85_299, 92_815),
    "mw_mae_b": (85_298, 92_815),
    "mae_b_5x5": (None, 93_219),
    "mw_mae_b_5x5": (None, 93_224),
    "mae_l_8l": (302_636, 317_348),
    "mw_mae_l_8l": (302_634, 317_349),
    "mae_t": (5_400, 12_694),
    "mw_mae_t": (5_399, 12_695),
    "audio_mae_b": (85_648, 136_992),
}
EMBEDDING_SIZES = {"b": 3840, "b_5x5": 12288, "l_8l": 5120, "t": 960}


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no weights are found but those in the package."""
    monkeypatch.delenv("HEAR_MWMAE_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def check_hear_rules(module: object, model: torch.nn.Module) -> None:
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate in (16000, 22050, 32000, 44100, 48000)
    assert type(model.scene_embedding_size) is int
    assert type(model.timestamp_embedding_size) is int
    for seconds in (1.07, 1.98, 2.0, 3.74):
        audio = torch.rand(2, int(seconds * model.sample_rate)) * 2 - 1
        scenes = module.get_scene_embeddings(audio, model)
        assert scenes.shape == (2, model.scene_embedding_size)
        embeddings, times = module.get_timestamp_embeddings(audio, model)
        assert embeddings.shape == (2, times.shape[1], model.timestamp_embedding_size)
        assert scenes.dtype == embeddings.dtype == times.dtype == torch.float32
        assert torch.isfinite(embeddings).all()
        steps = times.diff(dim=1)
        assert (steps - steps.mean()).abs().max() < 1e-3
        assert 0 <= times.min() <= steps.mean()
        assert 1000 * seconds - 50 < times.max() <= 1000 * seconds


@pytest.mark.parametrize("name", TINY)
def test_tiny_models_follow_hear(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = NAMED_MODELS[name]
    encoder = Encoder(model.config)
    encoder.initialise(torch.Generator().manual_seed(0))
    check_hear_rules(importlib.import_module(f"hear_mwmae.{name}"), EmbeddingModel(encoder))


def test_from_checkpoint_follows_hear(tmp_path: Path) -> None:
    check_hear_rules(from_checkpoint, golden.model("mwmae_small_float32"))


@pytest.mark.parametrize("name", NAMED_MODELS)
def test_every_name_is_a_module_of_the_right_size(name: str) -> None:
    module = importlib.import_module(f"hear_mwmae.{name}")
    assert {"load_model", "get_scene_embeddings", "get_timestamp_embeddings"} <= set(vars(module))
    config = NAMED_MODELS[name].config
    with torch.device("meta"):
        encoder = EmbeddingModel(Encoder(config)).encoder
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    shapes = encoder_shapes(config) | decoder_shapes(config)
    total = sum(torch.Size(shape).numel() for shape in shapes.values())
    expected_encoder, expected_total = PARAMETERS[name]
    assert total == pytest.approx(1000 * expected_total, abs=1000)
    if expected_encoder:
        assert parameters == pytest.approx(1000 * expected_encoder, abs=1000)
    expected_size = 768 if name == "audio_mae_b" else EMBEDDING_SIZES[name.split("mae_", 1)[1]]
    assert config.embedding_size == expected_size


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("name", NAMED_MODELS)
def test_each_module_loads_its_own_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def record(path: str, **options: str) -> EmbeddingModel:
        asked.append((path, options))
        return golden.model("mae_small_float32")

    monkeypatch.setattr("hear_mwmae.loading.load_model", record)
    importlib.import_module(f"hear_mwmae.{name}").load_model("w", precision="bf16")
    times = "centre" if name == "audio_mae_b" else "hear"
    assert asked == [("w", {"model": name, "precision": "bf16", "timestamps": times})]


@pytest.mark.usefixtures("no_weights")
def test_without_weights_a_model_is_random_and_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_mwmae.loading.find_weights", lambda _: None)
    module = importlib.import_module("hear_mwmae.mw_mae_t")
    with pytest.warns(UserWarning, match="No weights found for mw_mae_t: it has RANDOM weights"):
        first = module.load_model()
    with pytest.warns(UserWarning, match="RANDOM"):
        second = module.load_model("")
    assert not first.pretrained
    assert first.weights_path == ""
    audio = torch.rand(2, 5000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module.get_scene_embeddings(audio, first), module.get_scene_embeddings(audio, second))


def test_options_are_keywords_and_checked(tmp_path: Path) -> None:
    module = importlib.import_module("hear_mwmae.mw_mae_t")
    with pytest.raises(TypeError):
        module.load_model("", "bf16")
    with pytest.raises(UserError, match="no such file"):
        module.load_model(str(tmp_path / "x"), precision="bf16")


def test_import_loads_no_other_framework() -> None:
    code = (
        "import sys, hear_mwmae, hear_mwmae.embed_files, hear_mwmae.from_checkpoint\n"
        "foreign = {'jax', 'flax', 'tensorflow', 'tasks', 'evaluation'}\n"
        "print({name.split('.')[0] for name in sys.modules} & foreign)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"


def test_unknown_names_are_named() -> None:
    with pytest.raises(UserError, match="no model 'mae_x'; use one of mae_b, "):
        from_checkpoint.load_model("", model="mae_x")


# The real validator: one process per version goes through the modules by its own entry point.

DRIVER = """
import sys
from hearvalidator import validate
for arguments in (line.split("\\t") for line in open(sys.argv[1]).read().splitlines()):
    sys.argv = ["hear-validator", *arguments]
    print("validating", *arguments)
    validate.main()
"""


def run_validator(tmp_path: Path, extra_path: str = "") -> str:
    """Validate all modules with the `hearvalidator` that is found first."""
    checkpoint = tmp_path / "small.safetensors"
    name = "ckpt_mwmae_small_float32"
    write_model_file(checkpoint, convert_checkpoint(golden.COMPACT / name, heads=golden.HEADS))
    arguments = [*MODULES, f"hear_mwmae.from_checkpoint\t--model\t{checkpoint}"]
    (tmp_path / "arguments").write_text("\n".join(arguments))
    root = ROOT
    path = os.pathsep.join(filter(None, [extra_path, str(root), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "arguments")]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert run.stdout.count("Looks good!") == len(MODULES) + 1
    return run.stdout


def skip_or_fail(reason: str) -> None:
    """A missing validator is an error in continuous integration and a skipped test elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.slow
def test_installed_validator_accepts_every_module(tmp_path: Path) -> None:
    if importlib.util.find_spec("hearvalidator") is None or importlib.util.find_spec("tensorflow") is None:
        skip_or_fail("hearvalidator or tensorflow is not installed (extra `validate`)")
    run_validator(tmp_path)
    script = Path(sys.executable).parent / "hear-validator"
    run = subprocess.run([script, "hear_mwmae.mw_mae_t"], capture_output=True, text=True,
                         cwd=ROOT,
                         env=os.environ | {"PYTHONPATH": "."})  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Looks good!" in run.stdout


@pytest.mark.slow
def test_newer_validator_accepts_every_module(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        skip_or_fail("tensorflow is not installed (extra `validate`)")
    target = tmp_path / "newer"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
    run = subprocess.run([*install, "--target", target, NEWER_VALIDATOR], capture_output=True, text=True)
    if run.returncode:
        skip_or_fail(f"{NEWER_VALIDATOR} cannot be installed: {run.stderr[-500:]}")
    run_validator(tmp_path, str(target))
