"""The log-mel front end against the released code's output and against plain numpy."""

import golden
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hear_mwmae import frontend
from hear_mwmae.frontend import LogMel, frame_count, mel_filter_bank, split_chunks, standardise


def numpy_log_mel(audio: np.ndarray) -> np.ndarray:
    """The definition in float64, one frame at a time."""
    mels = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 8000 / 700), 82)
    corners = 700 * (10 ** (mels / 2595) - 1)
    hertz = np.arange(201) * 40.0
    filters = np.zeros((201, 80))
    for band in range(80):
        filters[:, band] = np.interp(hertz, corners[band : band + 3], [0, 1, 0], left=0, right=0)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    padded = np.pad(audio.astype(np.float64), 200, mode="reflect")
    frames = [padded[start : start + 400] * window for start in range(0, len(audio) + 1, 160)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    return np.log(power @ filters + np.finfo(np.float32).eps)


@pytest.mark.parametrize(("name", "samples"), [("2s", 32000), ("201samples", 201)])
def test_log_mel_is_that_of_the_released_code(name: str, samples: int) -> None:
    arrays = golden.compact()
    ours = LogMel()(golden.audio(arrays["audio_int16"])[:, :samples])
    golden.assert_equal_spectra(ours.transpose(1, 2).numpy(), arrays[f"log_mel_{name}"], axis=1)


def test_silence_has_the_log_offset_of_the_released_code() -> None:
    ours = LogMel()(torch.zeros(1, 16000)).transpose(1, 2)
    np.testing.assert_allclose(ours.numpy(), golden.compact()["log_mel_zeros_1s"], atol=2e-6, rtol=0)


@golden.needs_full
def test_log_mel_and_filters_of_the_full_set() -> None:
    arrays = np.load(golden.FULL / "logmel_torchaudio.npz")
    ours = LogMel()(golden.audio(arrays["audio_int16"]))
    golden.assert_equal_spectra(ours.transpose(1, 2).numpy(), arrays["logmel_10s"], axis=1)
    np.testing.assert_allclose(mel_filter_bank().numpy(), arrays["mel_fb"], atol=5e-7, rtol=0)


@pytest.mark.parametrize("samples", [201, 319, 320, 5000])
def test_log_mel_follows_the_definition(samples: int) -> None:
    audio = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    ours = LogMel()(torch.from_numpy(audio)[None])[0].numpy()
    assert ours.shape == (frame_count(samples), 80)
    np.testing.assert_allclose(ours, numpy_log_mel(audio), atol=3e-4, rtol=0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = torch.randn(3, 20000, generator=torch.Generator().manual_seed(0))
    whole = LogMel()(audio)
    monkeypatch.setattr(frontend, "FRAMES_AT_ONCE", 20)
    torch.testing.assert_close(LogMel()(audio), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("samples", [1, 7, 200])
def test_clips_shorter_than_half_a_frame_are_filled_with_silence(samples: int) -> None:
    audio = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    filled = torch.cat([audio, torch.zeros(1, 201 - samples)], dim=1)
    assert torch.equal(LogMel()(audio), LogMel()(filled))


def test_standardise_uses_the_whole_clip_and_the_unbiased_deviation() -> None:
    features = torch.randn(2, 30, 80, generator=torch.Generator().manual_seed(0)) * 3 - 5
    expected = (features[1].double() - features[1].double().mean()) / features[1].double().std()
    torch.testing.assert_close(standardise(features)[1].double(), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("samples", [1, 8000, 32000, 160000])
def test_silence_becomes_zeros(samples: int) -> None:
    assert not standardise(LogMel()(torch.zeros(2, samples))).any()


def test_a_faint_signal_is_not_taken_for_silence() -> None:
    faint = torch.zeros(1, 16000)
    faint[:, 8000] = 1 / 32768
    assert standardise(LogMel()(faint)).abs().max() > 1


@given(frames=st.integers(2, 450), length=st.sampled_from([50, 200]))
def test_chunks_reflect_as_numpy_does(frames: int, length: int) -> None:
    features = np.random.default_rng(frames).normal(size=(2, frames, 3)).astype(np.float32)
    padded = np.pad(features, [(0, 0), (0, -frames % length), (0, 0)], mode="reflect")
    ours = split_chunks(torch.from_numpy(features), length).numpy()
    np.testing.assert_array_equal(ours, padded.reshape(2, -1, length, 3))
