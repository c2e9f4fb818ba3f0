"""What a module does to the process is undone for everybody else and given back to the module."""

import importlib
import locale
import logging
import os
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from evaluation.models.surroundings import Quit, Surroundings

_guards: list[torch.inference_mode] = []


def _enter_inference_mode() -> None:
    _guards.append(torch.inference_mode())
    _guards[-1].__enter__()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


DISTURBANCES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "inference": (_enter_inference_mode, torch.is_inference_mode_enabled),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "matrix products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "cudnn": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "matrix products, newer": (
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: torch.backends.mkldnn.matmul.fp32_precision == "bf16",
    ),
    "convolutions": (
        lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
        lambda: torch.backends.cudnn.allow_tf32,
    ),
    "autocast": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "anomalies": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "denormals": (
        lambda: torch.set_flush_denormal(True),
        lambda: (torch.tensor(1e-40) * 1).item() == 0,
    ),
    "torch's random numbers": (lambda: torch.manual_seed(7), torch.initial_seed),
    "numpy's random numbers": (lambda: np.random.seed(7), lambda: np.random.get_state()[1].tobytes()),
    "Python's random numbers": (lambda: random.seed(7), random.getstate),
    "numpy's errors": (lambda: np.seterr(all="raise"), np.geterr),
    "directory": (lambda: os.chdir("/"), os.getcwd),
    "environment": (
        lambda: os.environ.update(OMP_NUM_THREADS="77"),
        lambda: os.environ.get("OMP_NUM_THREADS"),
    ),
    "path": (lambda: sys.path.insert(0, "/somewhere"), lambda: list(sys.path)),
    "path replaced": (lambda: setattr(sys, "path", ["/somewhere"]), lambda: sys.path),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "signals": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "Ctrl-C": (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGINT)),
    "filters of warnings": (
        lambda: warnings.filterwarnings("error", message="some words"),
        lambda: list(warnings.filters),
    ),
    "showing warnings": (lambda: setattr(warnings, "showwarning", print), lambda: warnings.showwarning),
    "output": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout),
    "errors": (lambda: setattr(sys, "stderr", None), lambda: sys.stderr),
    "mask of new files": (lambda: os.umask(0o77), _umask),
    "timer": (lambda: signal.setitimer(signal.ITIMER_REAL, 1000), lambda: signal.getitimer(0)[0] > 0),
    "limits": (
        lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        ),
        lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
    ),
    "attention": (
        lambda: torch.backends.cuda.enable_flash_sdp(False),
        torch.backends.cuda.flash_sdp_enabled,
    ),
    "exceptions": (lambda: setattr(sys, "excepthook", print), lambda: sys.excepthook),
    "generator of numbers": (
        lambda: np.random.set_bit_generator(np.random.PCG64(1)),
        lambda: type(np.random.get_bit_generator()).__name__,
    ),
    "arguments": (lambda: sys.argv.append("--more"), lambda: list(sys.argv)),
    "logging": (
        lambda: (logging.disable(50), logging.getLogger().setLevel(1)),
        lambda: (logging.root.level, logging.root.manager.disable),
    ),
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_what_a_module_does_is_undone_and_given_back(name: str) -> None:
    disturb, look = DISTURBANCES[name]
    before = look()
    surroundings = Surroundings()
    with surroundings.entered():
        disturb()
        inside = look()
    assert inside != before, "the test disturbs something"
    assert look() == before
    kept = (
        "path",
        "directory",
        "environment",
        "dtype",
        "device",
        "threads",
        "products",
        "recursion",
        "random",
    )
    with surroundings.entered():
        if any(word in name for word in kept) and name != "path replaced":
            assert look() == inside, "the module finds what it has set"
    assert look() == before


def test_a_locale_is_undone() -> None:
    wanted = next((one for one in ("de_DE.UTF-8", "C.UTF-8", "C") if _sets(one)), None)
    if wanted is None:
        pytest.skip("no other locale is installed")
    before = locale.setlocale(locale.LC_ALL)
    with Surroundings().entered():
        locale.setlocale(locale.LC_ALL, wanted)
    assert locale.setlocale(locale.LC_ALL) == before


def _sets(name: str) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        return locale.setlocale(locale.LC_ALL, name) != before
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_everything_is_undone_after_an_exception_too() -> None:
    def fail() -> None:
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), Surroundings().entered():
        fail()
    assert torch.get_default_dtype() == torch.float32
    assert os.getcwd() != "/"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_module_does_not_end_the_program(error: BaseException) -> None:
    with pytest.raises(Quit), Surroundings().entered():
        raise error


def test_the_users_ctrl_c_still_does() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Surroundings().entered():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_later_change_of_the_environment_reaches_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings = Surroundings()
    with surroundings.entered():
        os.environ["SOME_OWN_NAME"] = "1"
    assert "SOME_OWN_NAME" not in os.environ
    monkeypatch.setenv("SOME_OTHER_NAME", "2")
    with surroundings.entered():
        assert (os.environ["SOME_OWN_NAME"], os.environ["SOME_OTHER_NAME"]) == ("1", "2")


MODULE = """
import os, random, sys, torch
import numpy as np
{top}

class Model(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 2
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(2))

def load_model(model_file_path="", **options):
    {load}
    return Model()

def get_scene_embeddings(audio, model):
    {call}
    return audio[:, :2] * model.weight
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Write a module and return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(name: str, *, top: str = "", load: str = "pass", call: str = "pass") -> str:
        (tmp_path / f"{name}.py").write_text(MODULE.format(top=top, load=load, call=call))
        importlib.invalidate_caches()
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


AUDIO = np.linspace(-0.5, 0.5, 8, dtype=np.float32).reshape(2, 4)


def test_a_module_is_the_same_whoever_was_loaded_before(write: Callable[..., str]) -> None:
    alone = HearModel(ModelSpec(write("sur_alone")), "cpu")
    wide = write(
        "sur_wide", top="torch.set_default_dtype(torch.float64); torch.manual_seed(5); random.seed(1)"
    )
    assert HearModel(ModelSpec(wide), "cpu")._model.weight.dtype == torch.float64
    again = HearModel(ModelSpec("sur_alone"), "cpu")
    assert again.fingerprint == alone.fingerprint, "its random weights too"
    np.testing.assert_array_equal(alone.scene_embeddings(AUDIO), again.scene_embeddings(AUDIO))


def test_paths_of_the_command_line_mean_what_they_meant(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "w.txt").write_text("1")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    moves = f"os.chdir({str(tmp_path / 'there')!r})"
    name = write("sur_moves", top=moves, load=f"{moves}; open(model_file_path).close()")
    model = HearModel(ModelSpec(name, "w.txt"), "cpu")
    assert Path.cwd() == tmp_path / "here"
    assert tmp_path / "here" / "w.txt" in model.files


@pytest.mark.parametrize("where", ["top", "load"])
@pytest.mark.parametrize("what", ["sys.exit('usage: ...')", "raise KeyboardInterrupt"])
def test_a_module_that_ends_the_program_is_told(write: Callable[..., str], where: str, what: str) -> None:
    name = write(f"sur_ends_{where}", **{where: what})
    with pytest.raises(EvaluationError, match=name):
        HearModel(ModelSpec(name), "cpu")


def test_the_sound_is_the_modules_own_copy(write: Callable[..., str]) -> None:
    model = HearModel(ModelSpec(write("sur_writes", call="audio *= 2")), "cpu")
    audio = AUDIO.copy()
    model.scene_embeddings(audio)
    np.testing.assert_array_equal(audio, AUDIO)
    assert model.writes_input
    other = HearModel(ModelSpec(write("sur_reads")), "cpu")
    other.scene_embeddings(audio)
    assert not other.writes_input


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ("10**12", "scene_embedding_size = 1000000000000; at most 1000000 is believed"),
        ("10**5000", "an integer of more than 60 digits"),
        ("True", "scene_embedding_size = True; HEAR wants a positive integer"),
        ("property(lambda self: 1 / 0)", "fails when asked for scene_embedding_size: ZeroDivisionError"),
    ],
)
def test_a_size_that_cannot_be_is_refused(write: Callable[..., str], size: str, sentence: str) -> None:
    name = write("sur_size", load=f"Model.scene_embedding_size = {size}")
    with pytest.raises(EvaluationError, match=sentence.replace("*", r"\*")):
        HearModel(ModelSpec(name), "cpu")


def test_long_words_of_a_module_are_cut(write: Callable[..., str]) -> None:
    name = write("sur_talks", load="raise RuntimeError('\\x1b[1m' + 'x' * 5000)")
    with pytest.raises(EvaluationError) as caught:
        HearModel(ModelSpec(name), "cpu")
    assert len(str(caught.value)) < 700
    assert "\x1b" not in str(caught.value)
