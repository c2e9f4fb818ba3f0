"""HEAR-Naive against what the original program computed on real speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from paths import DATA

from evaluation.baselines.hear_naive import get_scene_embeddings, get_timestamp_embeddings, load_model

COPY = DATA / "hear_naive.npz"
LARGEST = 82.0
"""The largest embedding value; differences seen with the original were 6e-5 on this scale."""


def test_the_projection_is_the_originals_on_every_machine() -> None:
    projection = load_model().projection
    expected = torch.tensor([0.0310160369, 0.0480138622, 0.0055298395, 0.0082519054])
    torch.testing.assert_close(projection[0, :4], expected, rtol=0, atol=1e-9)
    assert float(projection.sum()) == pytest.approx(32782.0625, abs=0.05)


def test_scene_embeddings_equal_the_originals_on_three_clips() -> None:
    golden = np.load(COPY)
    audio = torch.from_numpy(golden["audio_int16"].astype(np.float32) / 32768)
    embeddings = get_scene_embeddings(audio, load_model())
    np.testing.assert_allclose(embeddings.numpy(), golden["embeddings"], atol=2e-4)


def test_scene_embeddings_equal_the_originals_on_all_reference_clips(shared: Path) -> None:
    golden = np.load(shared / "golden_heareval" / "naive_embeddings.npz")
    model = load_model()
    for file, expected in zip(golden["files"], golden["embeddings"], strict=True):
        path = shared / "data" / "fsdd" / "audio" / Path(str(file)).with_suffix(".flac").name
        audio, rate = soundfile.read(path, dtype="int16")
        length = round(0.56 * rate)
        clip = soxr.resample(np.pad(audio[:length], (0, max(0, length - len(audio)))), rate, 44100)
        embedding = get_scene_embeddings(torch.from_numpy(clip.astype(np.float32) / 32768)[None], model)
        np.testing.assert_allclose(embedding[0].numpy(), expected, atol=2e-4)


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 21), (1e-4, 1), (0.0501, 2)])
def test_timestamps_are_50_ms_apart_and_inside_the_clip(seconds: float, frames: int) -> None:
    audio = torch.rand(2, round(seconds * 44100))
    embeddings, times = get_timestamp_embeddings(audio, load_model())
    assert embeddings.shape == (2, frames, 4096)
    assert times[0].tolist() == [50.0 * k for k in range(frames)]


def test_state_dicts_of_the_original_load(tmp_path: Path) -> None:
    state = load_model().state_dict()
    assert set(state) == {"projection", "window", "mel_scale"}
    assert state["mel_scale"].shape == (256, 2049)
    torch.save({**state, "projection": state["projection"] * 2}, tmp_path / "naive.pt")
    doubled = load_model(str(tmp_path / "naive.pt"))
    torch.testing.assert_close(doubled.projection, state["projection"] * 2)
