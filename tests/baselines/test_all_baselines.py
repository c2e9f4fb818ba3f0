"""What holds for every baseline: real validator, memory, device; a user's adapter; a missing package."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_baselines
import torch
from paths import ROOT
from tiny_task import make_task
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from evaluation.models.systems import SYSTEMS
from evaluation.run import main as run

OURS = ("evaluation.baselines.hear_naive", "hear_mwmae.log_mel", "hear_mwmae.random_init")
HEAVY = ("hear_mwmae.random_init",)
"""Of these, what has a network of some size."""
FILES = ("audio_mae", "ssast", "ssast-frame", "beats")
SPEECH = ("wav2vec2_base", "wav2vec2_large", "hubert_base", "hubert_large", "wavlm_base", "wavlm_large")
OTHER_KINDS = ("whisper", "ast")


def test_all_baselines_are_among_these() -> None:
    names = {s.module.rpartition(".")[2] for s in SYSTEMS if s.module.startswith("evaluation.")}
    # The first is among OURS; the last is a package of its own, see test_passt.py.
    assert names - {*FILES, *SPEECH} == {"hear_naive", "passt"}


def everything(folder: Path) -> list[tuple[str, str]]:
    """Save tiny models; return modules and their weights ("" for none), one line per kind of baseline."""
    hub_models = importlib.import_module("hub_models")
    lines = []
    for name in (*FILES, *SPEECH, *OTHER_KINDS):
        (folder / name).mkdir()
        if name in FILES:
            lines.append((name.partition("-")[0], str(tiny_baselines.save(name, folder / name))))
        else:
            path = hub_models.save(name.replace("_", "-"), folder / name)
            lines.append((name if name in SPEECH else "huggingface", str(path)))
    released = [(f"evaluation.baselines.{module}", weights) for module, weights in lines]
    return [*((name, "") for name in OURS), *released]


SMALLER_IS_FINE = """
import dataclasses, importlib, json, sys
lines = json.load(open(sys.argv[1]))
for name, _ in lines:
    module = importlib.import_module(name)
    if getattr(getattr(module, "WEIGHTS", None), "shape", None):
        shape = {"model_type": module.WEIGHTS.shape["model_type"]}
        module.WEIGHTS = dataclasses.replace(module.WEIGHTS, shape=shape)
"""

VALIDATE = """
from hearvalidator import validate
for name, weights in lines:
    sys.argv = ["hear-validator", name, *(["--model", weights] if weights else [])]
    validate.main()
"""

MEASURE = """
import resource, torch
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
torch.set_num_threads(1)
lines = [line for line in lines if line[1]]
modules = [importlib.import_module(name) for name, _ in lines]
models = [module.load_model(path) for module, (_, path) in zip(modules, lines)]
for seconds in (60, 600):
    for module, model in zip(modules, models):
        audio = torch.rand(1, seconds * model.sample_rate) * 2 - 1
        module.get_scene_embeddings(audio, model)
        print(json.dumps([seconds, module.__name__, peak()]), flush=True)
"""


def in_a_process(code: str, folder: Path) -> str:
    """Run code over all baselines in one process of its own and return what it prints."""
    (folder / "lines.json").write_text(json.dumps(everything(folder)))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SMALLER_IS_FINE + code, str(folder / "lines.json")]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    return process.stdout


@pytest.mark.slow
def test_the_real_validator_accepts_every_baseline(tmp_path: Path) -> None:
    for package in ("hearvalidator", "tensorflow", "transformers"):
        pytest.importorskip(package, reason=f"{package} is not installed (extras validate, baselines)")
    output = in_a_process(VALIDATE, tmp_path)
    assert output.count("Looks good!") == len(OURS + FILES + SPEECH + OTHER_KINDS)


@pytest.mark.slow
def test_ten_minutes_need_hardly_more_memory_than_one(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra `baselines`)")
    peaks = [json.loads(line) for line in in_a_process(MEASURE, tmp_path).splitlines()]
    growth = peaks[-1][2] - peaks[len(peaks) // 2 - 1][2]
    assert growth < 200, peaks  # measured: 81 MB, of which the sound itself is 38 and its copy as much


class OneDevice(TorchDispatchMode):
    """Fails for an operation on tensors of two devices; some of the device "meta" let them pass."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves, _ = tree_flatten((args, kwargs))
        assert len({leaf.device for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.dim()}) < 2, (
            func
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*(name for name in OURS if name not in HEAVY), *FILES])
def test_everything_is_computed_where_the_sound_is(name: str, tmp_path: Path) -> None:
    place = name if name in OURS else f"evaluation.baselines.{name.partition('-')[0]}"
    module = importlib.import_module(place)
    weights = [str(tiny_baselines.save(name, tmp_path))] if name in FILES else []
    model = module.load_model(*weights).to("meta")
    for seconds in (1, 25):
        audio = torch.zeros(2, seconds * model.sample_rate, device="meta")
        with OneDevice():
            scenes = module.get_scene_embeddings(audio, model)
            embeddings, times = module.get_timestamp_embeddings(audio, model)
        assert {scenes.device.type, embeddings.device.type, times.device.type} == {"meta"}


ADAPTER = """
import torch
from evaluation.baselines.wrap import FrameModel, get_scene_embeddings, get_timestamp_embeddings

class MyNetwork(torch.nn.Module):
    def forward(self, audio):
        return audio.unfold(1, 160, 160)[..., :12]

def load_model(path=""):
    network = MyNetwork()
    return FrameModel(network, sample_rate=16000, embedding_size=12, hop=160)
"""


def test_a_users_adapter_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_adapter.py").write_text(ADAPTER)
    monkeypatch.syspath_prepend(tmp_path)
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000)
    places = ["--tasks-dir", str(tmp_path / "tasks"), "--results", str(tmp_path / "results")]
    fast = ["--preset", "quick", "--seeds", "1", "--no-report", "--cache", str(tmp_path / "cache")]
    assert run(["--tasks", "all", "--models", "my_adapter", *places, *fast]) == 0
    assert "my_adapter" in (tmp_path / "results" / "default" / "tables" / "table.md").read_text()


WITHOUT_PACKAGES = """
import sys
sys.modules["transformers"] = sys.modules["huggingface_hub"] = None
from evaluation.cli.models import main
from evaluation.models.systems import missing_weights
assert main([]) == 0
print(missing_weights("evaluation.baselines.hubert_base"))
"""


def test_without_the_packages_the_list_works_and_its_models_say_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_PACKAGES]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == (
        "evaluation.baselines.hubert_base: models of the Hugging Face kind need the package "
        "'huggingface_hub': pip install -e '.[baselines]'"
    )
