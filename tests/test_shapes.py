"""With --shapes the shapes that signatures state are checked: a call that breaks one fails."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from evaluation.metrics.scenes import average_precision
from hear_mwmae.frontend import LogMel
from tasks.format.audio import write_clip


def test_a_wrong_shape_fails(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--shapes"):
        pytest.skip("shapes are checked with --shapes only")
    with pytest.raises(TypeCheckError, match="average_precision"):
        average_precision(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(TypeCheckError, match="write_clip"):
        write_clip(tmp_path / "a.wav", np.zeros((2, 100), np.float32), 16000)
    with pytest.raises(TypeCheckError, match="forward"):
        LogMel()(np.zeros((1, 1000), np.float32))
