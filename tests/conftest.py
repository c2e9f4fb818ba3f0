"""Fixtures that many tests share: the reference folder, sample tasks, a cache of their own."""

import os
from pathlib import Path

import hypothesis
import pytest
from children import hear_signals
from filelock import FileLock
from jaxtyping import install_import_hook
from paths import SHARED


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--shapes`; with it the tests take twice as long."""
    parser.addoption("--shapes", action="store_true", help="check the shapes that signatures state")


def pytest_configure(config: pytest.Config) -> None:
    """Let the tests' children be interrupted wherever pytest was started, and torch have one core by default.

    Tests run beside each other. Where there are more threads than cores, each small sum of torch's waits
    for a core; a test that is about threads asks for them itself.
    """
    if config.getoption("--shapes"):
        install_import_hook(["evaluation", "hear_mwmae", "tasks"], "shapes.shapes_checked")
        hypothesis.settings.register_profile("shapes", deadline=None)
        hypothesis.settings.load_profile("shapes")
    hear_signals()
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def shared() -> Path:
    """The folder of references and real audio beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder of reference outputs and real audio is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or sees the user's tasks and weights."""
    monkeypatch.setenv("HEAR_MWMAE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HEAR_TASKS_DIR", raising=False)
    monkeypatch.delenv("HEAR_MWMAE_WEIGHTS", raising=False)


@pytest.fixture(autouse=True)
def _processor_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of a processor that only emulates bfloat16 depends on the machine; tests do not."""
    monkeypatch.setattr("hear_mwmae.processor.multiplies_bf16", lambda: True)


@pytest.fixture(scope="session")
def sample_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all ten sample tasks, written once."""
    from tasks.sample.tasks import write_sample_tasks  # now, that its shapes are checked

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the workers of one run share it
    directory = root / "sample-tasks"
    with FileLock(root / "sample-tasks.lock"):
        if not (root / "sample-tasks-are-there").exists():
            write_sample_tasks(directory)
            (root / "sample-tasks-are-there").touch()
    return directory
