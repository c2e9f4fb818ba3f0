"""The numpy front end against the released one's output and against the torch front end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hear_mwmae import frontend
from hear_mwmae.pretrain.data import log_mel as numpy_front_end
from hear_mwmae.pretrain.data.log_mel import hann_window, log_mel, mel_filter_bank, standardise


def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "logmel_torchaudio.npz") as arrays:
        return dict(arrays)


def torch_log_mel(audio: np.ndarray) -> np.ndarray:
    return frontend.LogMel()(torch.from_numpy(audio)[None])[0].numpy()


def test_the_constants_are_those_of_the_torch_front_end() -> None:
    for name in (
        "SAMPLE_RATE",
        "FRAME_LENGTH",
        "HOP_LENGTH",
        "HOP_MS",
        "BANDS",
        "LOWEST_HZ",
        "SHORTEST_CLIP",
    ):
        assert getattr(numpy_front_end, name) == getattr(frontend, name)
    for name in ("LOG_OFFSET", "STD_OFFSET", "SMALLEST_STD"):
        assert getattr(numpy_front_end, name) == np.float32(getattr(frontend, name))


def test_filters_are_the_released_ones_to_the_last_bit(shared: Path) -> None:
    assert np.array_equal(mel_filter_bank(), golden(shared)["mel_fb"])
    assert np.abs(hann_window() - golden(shared)["window"]).max() < 1e-7


# Clip 1 has loud frames with nearly empty bands, where the reference itself is rounding noise of float32:
# float64 differs from it by 1.4e-3 too. Seen: 6.4e-5 and 1.3e-3 at most, 1.2e-6 and 7.8e-5 rms.
@pytest.mark.parametrize(("clip", "largest", "rms"), [(0, 2e-4, 5e-6), (1, 3e-3, 2e-4)])
@pytest.mark.parametrize(
    ("name", "samples"), [("logmel_10s", 160000), ("logmel_2s", 32000), ("logmel_201samples", 201)]
)
def test_log_mel_equals_the_released_one(
    shared: Path, name: str, samples: int, clip: int, largest: float, rms: float
) -> None:
    arrays = golden(shared)
    found = log_mel(arrays["audio_int16"][clip, :samples].astype(np.float32) / 32768)
    difference = found - arrays[name][clip].T
    assert found.dtype == np.float32
    assert np.abs(difference).max() < largest
    assert np.sqrt(np.mean(difference**2)) < rms


def test_silence_is_the_released_constant(shared: Path) -> None:
    assert np.array_equal(log_mel(np.zeros(16000, np.float32)), golden(shared)["logmel_zeros_1s"][0].T)


@pytest.mark.parametrize("samples", [1, 159, 160, 200, 201, 399, 400, 401, 16000, 50001])
def test_log_mel_of_any_length_equals_the_torch_front_end(samples: int) -> None:
    audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    found = log_mel(audio)
    expected = torch_log_mel(audio)
    assert found.shape == expected.shape
    # Seen: 1.5e-5.
    assert np.abs(found - expected).max() < 5e-5


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.random.default_rng(5).normal(0, 0.1, 20000).astype(np.float32)
    whole = log_mel(audio)
    monkeypatch.setattr(numpy_front_end, "FRAMES_AT_ONCE", 7)
    # Matrix products of another size may round otherwise.
    assert np.abs(log_mel(audio) - whole).max() < 1e-5


def test_standardised_is_what_the_released_pipeline_feeds(shared: Path) -> None:
    with np.load(shared / "golden" / "sample_spec.npz") as arrays:
        for number in range(3):
            found = standardise(arrays[f"raw{number}"])
            # Seen: 4.8e-7.
            assert np.abs(found - arrays[f"normalised{number}"]).max() < 2e-6


def test_standardised_has_mean_0_and_population_deviation_1() -> None:
    found = standardise(np.random.default_rng(0).normal(-8, 3, (37, 80)).astype(np.float32))
    assert found.dtype == np.float32
    assert abs(found.mean(dtype=np.float64)) < 1e-6
    assert abs(found.std(dtype=np.float64) - 1) < 1e-6


def test_a_constant_clip_becomes_zeros() -> None:
    silence = log_mel(np.zeros(8000, np.float32))
    assert np.array_equal(standardise(silence), np.zeros((51, 80), np.float32))
    # Rounding noise is no sound either.
    noisy = silence + np.random.default_rng(0).normal(0, 1e-6, silence.shape).astype(np.float32)
    assert not standardise(noisy).any()
