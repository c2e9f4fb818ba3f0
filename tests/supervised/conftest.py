"""Tests of supervised training need the packages of pre-training; without them they are skipped by name."""

import os

import pytest

pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')

# Read when JAX starts. The programs of tests are small, and optimising them takes longer than running them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
