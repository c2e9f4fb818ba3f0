"""The clips that a page plays: what is heard does not depend on how a clip's file keeps its samples."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.report.html.clips import _sound_of_clip


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_clip_is_as_loud_as_its_recording(tmp_path: Path, subtype: str) -> None:
    audio = 0.4 * np.sin(np.arange(16000) / 10)
    soundfile.write(tmp_path / "clip.wav", audio, 16000, subtype=subtype)
    content, said = _sound_of_clip(tmp_path / "clip.wav", 1_000_000)
    heard, _ = soundfile.read(io.BytesIO(content))
    assert said == ""
    assert np.abs(heard).max() == pytest.approx(0.4, rel=0.1)
