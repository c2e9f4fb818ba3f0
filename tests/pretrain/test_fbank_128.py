"""The numpy filter bank against the torch one, Kaldi's own and what the released Audio-MAE reads."""

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import DATA

from hear_mwmae import kaldi_fbank
from hear_mwmae.pretrain.data import kaldi_fbank as numpy_front_end
from hear_mwmae.pretrain.data.kaldi_fbank import BANDS, LOG_FLOOR, fbank, hann_window, mel_filter_bank

COPY = DATA / "kaldi_fbank.npz"
CASES = (
    "audioset_clip0_10s", "audioset_clip0_10p5s", "audioset_clip1_10s", "audioset_clip2_3p3s",
    "esc50_clip0_5s", "esc50_clip1_5s", "esc50_clip1_5p2s",
    "speechcommands_clip0_1s", "speechcommands_clip1_1s", "speechcommands_clip2_1p5s",
)  # fmt: skip


def golden(shared: Path) -> Mapping[str, np.ndarray]:
    return np.load(shared / "golden_audiomae" / "frontend.npz")


def case_audio(arrays: Mapping[str, np.ndarray], case: str) -> np.ndarray:
    audio = arrays[f"audio/{arrays[f'{case}/clip']}"][: arrays[f"{case}/n_samples"]]
    return audio.astype(np.float32) / 32768


def padded_or_cut(features: np.ndarray, frames: int) -> np.ndarray:
    """The first frames, and rows of 0 where there are too few."""
    out = np.zeros((frames, BANDS), np.float32)
    out[: len(features)] = features[:frames]
    return out


def torch_fbank(audio: np.ndarray) -> np.ndarray:
    return kaldi_fbank.KaldiFbank("hanning")(torch.from_numpy(audio)[None])[0].numpy()


def test_the_constants_are_those_of_the_torch_filter_bank() -> None:
    for name in (
        "SAMPLE_RATE",
        "FRAME_LENGTH",
        "HOP_LENGTH",
        "N_FFT",
        "BANDS",
        "LOWEST_HZ",
        "PREEMPHASIS",
    ):
        assert getattr(numpy_front_end, name) == getattr(kaldi_fbank, name)
    assert np.float32(kaldi_fbank.LOG_FLOOR) == LOG_FLOOR
    expected = kaldi_fbank.KaldiFbank("hanning")
    # Seen: equal; a library of another processor may round a logarithm or a cosine otherwise.
    np.testing.assert_allclose(mel_filter_bank(), expected.filters.numpy(), rtol=0, atol=3e-5)
    np.testing.assert_allclose(hann_window(), expected.window.numpy(), rtol=0, atol=1e-6)


def test_equal_to_kaldi() -> None:
    arrays = np.load(COPY)
    found = fbank(arrays["audio"].astype(np.float32) / 32768)
    # Seen: 2.3e-4 at most, in bands of one bin; 2.4e-6 in the median.
    np.testing.assert_allclose(found, arrays["hanning"], rtol=0, atol=1e-3)
    assert np.median(np.abs(found - arrays["hanning"])) < 2e-5


@pytest.mark.parametrize("samples", [400, 401, 559, 560, 16000, 50001])
def test_noise_of_any_length_equals_the_torch_filter_bank(samples: int) -> None:
    audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    found = fbank(audio)
    expected = torch_fbank(audio)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # Seen: 4.7e-4 at most, in quiet bins beside loud ones; 1.8e-6 in the mean.
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-3)
    assert np.abs(found - expected).mean() < 1e-5


@pytest.mark.parametrize("samples", [1, 160, 399])
def test_a_clip_shorter_than_a_frame_ends_in_silence(samples: int) -> None:
    audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    assert np.array_equal(fbank(audio), fbank(np.pad(audio, (0, 400 - samples))))
    assert fbank(audio).shape == (1, BANDS)


def test_silence_is_the_floor_and_one_band_is_empty() -> None:
    assert np.array_equal(fbank(np.zeros(800, np.float32)), np.full((3, BANDS), np.log(LOG_FLOOR)))
    assert np.flatnonzero(mel_filter_bank().sum(axis=0) == 0).tolist() == [3]


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.random.default_rng(5).normal(0, 0.1, 20000).astype(np.float32)
    whole = fbank(audio)
    monkeypatch.setattr(numpy_front_end, "FRAMES_AT_ONCE", 7)
    # Matrix products of another size may round otherwise.
    assert np.abs(fbank(audio) - whole).max() < 1e-4


def test_a_long_sound_needs_little_more_memory_than_its_filter_bank() -> None:
    audio = np.zeros(16000 * 120, np.float32)
    tracemalloc.start()
    found = fbank(audio)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < audio.nbytes + found.nbytes + (4 << 20)


def test_filters_and_window_are_torchaudios(shared: Path) -> None:
    arrays = golden(shared)
    # Seen: 1.1e-5 and 1.9e-7.
    assert np.abs(mel_filter_bank() - arrays["mel_banks"].T).max() < 3e-5
    assert np.abs(hann_window() - arrays["window"]).max() < 1e-6


@pytest.mark.parametrize("case", CASES)
def test_normalised_it_is_what_the_released_model_reads(shared: Path, case: str) -> None:
    arrays = golden(shared)
    config = json.loads((shared / "golden_audiomae" / "config.json").read_text())
    settings = config["datasets"][str(arrays[f"{case}/dataset"])]
    audio = case_audio(arrays, case)
    for features in (fbank(audio), torch_fbank(audio)):
        assert len(features) == arrays[f"{case}/n_frames"]
        padded = padded_or_cut(features, settings["frames"])
        difference = (padded - settings["mean"]) / (2 * settings["std"]) - arrays[f"{case}/normalised"]
        # Seen: 7.0e-4 (torch 5.3e-4) at most, 2.2e-6 in the mean.
        assert np.abs(difference).max() < 2e-3
        assert np.abs(difference).mean() < 1e-5


@pytest.mark.parametrize("case", ["speechcommands_clip0_1s", "speechcommands_clip1_1s"])
def test_rows_of_0_come_before_normalisation(shared: Path, case: str) -> None:
    arrays = golden(shared)
    expected = arrays[f"{case}/fbank_padded"]
    found = padded_or_cut(fbank(case_audio(arrays, case)), len(expected))
    assert not expected[98:].any()
    # Seen: 5.0e-4 at most, 2.5e-6 in the mean.
    assert np.abs(found - expected).max() < 5e-3
    assert np.abs(found - expected).mean() < 2e-5
