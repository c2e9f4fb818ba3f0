"""Tests of supervised training need the packages of pre-training; without them they are skipped by name."""

import os
from pathlib import Path

import pytest

pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')

# Read when JAX starts. The programs of tests are small, and optimising them takes longer than running them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled tones in four folds."""
    from labelled_runs import write_table  # JAX, which must not start before the flags are set

    return write_table(tmp_path_factory.mktemp("pitches"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's file."""
    from labelled_runs import write_small_model  # JAX, as above

    return write_small_model(tmp_path_factory.mktemp("model"))
