"""A fingerprint follows what the model depends on, and nothing else."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import MODELS

from evaluation.models.fingerprint import own_sources
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec

MODULE = """
import torch
{imports}

class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 2

def load_model(model_file_path=""):
    return Model()

def get_scene_embeddings(audio, model):
    return audio[:, :2] * FACTOR
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a plain module, a package, and what they do and do not import."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plain_model.py").write_text(MODULE.format(imports="from plain_helper import FACTOR"))
    (tmp_path / "plain_helper.py").write_text("from plain_constant import FACTOR")
    (tmp_path / "plain_constant.py").write_text("FACTOR = 2")
    (tmp_path / "plain_stranger.py").write_text("A = 1")
    package = tmp_path / "a_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text(MODULE.format(imports="from .inner.net import FACTOR"))
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "net.py").write_text("FACTOR = 3")
    (package / "cli.py").write_text("import plain_stranger")
    return tmp_path


def fingerprint(module: str) -> str:
    """Load afresh, as a new process would."""
    for name in [name for name in sys.modules if name.startswith(("plain_", "a_package"))]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return HearModel(ModelSpec(module)).fingerprint


@pytest.mark.parametrize(
    ("module", "matters", "does_not"),
    [
        ("plain_model", ["plain_model.py", "plain_helper.py", "plain_constant.py"], ["plain_stranger.py"]),
        ("a_package", ["a_package/__init__.py", "a_package/inner/net.py"], ["a_package/cli.py"]),
    ],
)
def test_code_that_the_module_uses_matters_and_its_neighbours_do_not(
    project: Path, module: str, matters: list[str], does_not: list[str]
) -> None:
    before = fingerprint(module)
    for file in does_not:
        (project / file).write_text((project / file).read_text() + "\nCHANGED = 1")
        assert fingerprint(module) == before, file
    for file in matters:
        (project / file).write_text("# Changed.\n" + (project / file).read_text() + "\n\n\n'A remark.'")
        assert fingerprint(module) == before, "words and formatting do not"
        (project / file).write_text((project / file).read_text() + "\nCHANGED = 1")
        after = fingerprint(module)
        assert after != before, file
        before = after


def test_weights_that_no_framework_knows_of_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    fingerprints = set()
    for folder, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "weights.npy", np.full(2, value, np.float32))
        for path in (tmp_path / folder, tmp_path / folder / "weights.npy"):
            if path.is_file():
                fingerprints.add(HearModel(ModelSpec("hidden_weights", str(path))).fingerprint)
    assert len(fingerprints) == 2


def test_our_own_modules_do_not_depend_on_commands_and_other_baselines() -> None:
    module = importlib.import_module("evaluation.baselines.hear_naive")
    assert {path.name for path in own_sources(module)} == {"__init__.py", "hear_naive.py"}
    names = {path.name for path in own_sources(importlib.import_module("evaluation.baselines.audio_mae"))}
    assert {"encoder.py", "kaldi_fbank.py"} <= names, "baselines are made of parts of hear_mwmae"
    module = importlib.import_module("hear_mwmae.mw_mae_t")
    names = {path.name for path in own_sources(module)}
    assert {"mw_mae_t.py", "embedding.py", "encoder.py", "frontend.py"} <= names
    assert not {"embed_files.py", "mae_b.py", "random_init.py"} & names


def test_models_on_our_front_end_depend_on_it() -> None:
    module = importlib.import_module("hear_mwmae.log_mel")
    names = {path.name for path in own_sources(module)}
    assert {"log_mel.py", "frontend.py"} <= names
    assert not {"convert.py", "embedding.py", "weights.py"} & names, "it has no weights"
    module = importlib.import_module("hear_mwmae.random_init")
    assert {"random_init.py", "embedding.py", "encoder.py"} <= {path.name for path in own_sources(module)}


def test_an_environment_in_the_modules_folder_is_not_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = project / ".venv" / "lib" / "python3" / "site-packages"
    (installed / "plain_installed").mkdir(parents=True)
    (installed / "plain_installed" / "__init__.py").write_text("from plain_installed.broken import FACTOR")
    (installed / "plain_installed" / "broken.py").write_text("FACTOR = 4")
    monkeypatch.syspath_prepend(str(installed))
    (project / "plain_model.py").write_text(MODULE.format(imports="from plain_installed import FACTOR"))
    before = fingerprint("plain_model")
    assert [path.name for path in own_sources(importlib.import_module("plain_model"))] == ["plain_model.py"]
    (installed / "plain_installed" / "broken.py").write_text("FACTOR = 5")
    assert fingerprint("plain_model") == before


def test_imports_under_a_condition_are_followed_without_importing(project: Path) -> None:
    (project / "plain_model.py").write_text(
        "try:\n    from .plain_helper import FACTOR\n"
        "except ImportError:\n    from plain_helper import FACTOR\n"
        + MODULE.format(imports="")
        + "\ndef later():\n    import plain_lazy.inner\n    import plain_other_python\n"
    )
    (project / "plain_lazy").mkdir()
    (project / "plain_lazy" / "__init__.py").write_text("raise RuntimeError('imported')")
    (project / "plain_lazy" / "inner.py").write_text("A = 1")
    (project / "plain_other_python.py").write_text("print 'of another Python'")
    before = fingerprint("plain_model")
    assert "plain_lazy" not in sys.modules
    for name in ("plain_helper.py", "plain_lazy/inner.py", "plain_other_python.py"):
        (project / name).write_text((project / name).read_text() + "\nCHANGED = 1")
        after = fingerprint("plain_model")
        assert after != before, name
        before = after


LAZY = """
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a_package.inner.net import FACTOR
    from a_package.other import OTHER


def __getattr__(name):
    home = {"FACTOR": "a_package.inner.net", "OTHER": "a_package.other"}
    if name not in home:
        raise AttributeError(name)
    return getattr(import_module(home[name]), name)
"""


def test_what_a_package_loads_lazily_counts_for_whoever_takes_it(project: Path) -> None:
    """PEP 562: the package's file states its parts for type checkers only."""
    package = project / "a_package"
    (package / "__init__.py").write_text(LAZY)
    (package / "other.py").write_text("OTHER = 1")
    (package / "model.py").write_text(MODULE.format(imports="from a_package import FACTOR"))
    (package / "whole.py").write_text(
        MODULE.format(imports="import a_package").replace("* F", "* a_package.F")
    )

    def names(module: str) -> set[str]:
        return {path.name for path in own_sources(importlib.import_module(module))}

    assert names("a_package.model") == {"__init__.py", "net.py", "model.py"}
    assert names("a_package.whole") == {"__init__.py", "net.py", "other.py", "whole.py"}
