"""The room needs JAX and librosa; without them its tests are skipped by name."""

import os

import pytest

for package in ("jax", "librosa"):
    pytest.importorskip(package, reason=f'{package} is not installed: pip install -e ".[pretrain]"')

# Read when JAX starts. The programs of tests are small, and optimising them takes longer than running them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
