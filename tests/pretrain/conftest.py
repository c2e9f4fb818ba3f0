"""Tests of pre-training need its packages; without them they are skipped by name."""

import pytest

pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')
