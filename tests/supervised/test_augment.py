"""Each augmentation against a slow definition, and against what the released Audio-MAE makes of its draws."""

import dataclasses

import golden_audio_mae
import numpy as np
import pytest
from golden_audio_mae import needs_golden
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_mwmae.config import AUDIO_MAE_B, BASE, ModelConfig
from hear_mwmae.pretrain.data.kaldi_fbank import fbank
from hear_mwmae.pretrain.data.log_mel import log_mel, standardise
from hear_mwmae.supervised.data.augment import (
    AstNoise,
    Hiding,
    WhiteNoise,
    centred,
    hidden_span,
    mixed,
    rolled,
    with_ast_noise,
    with_white_noise,
)
from hear_mwmae.supervised.data.clips import targets_of
from hear_mwmae.supervised.data.features import model_input

WAVEFORM = np.random.default_rng(0).normal(0.1, 0.2, 16000).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_a_centred_waveform_has_no_mean_and_keeps_its_form() -> None:
    found = centred(WAVEFORM)
    assert found.dtype == np.float32
    assert abs(found.mean(dtype=np.float64)) < 1e-8
    assert np.allclose(found - found[0], WAVEFORM - WAVEFORM[0], atol=1e-6)


@given(length=st.integers(1, 30), start=st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_rolled_waveform_begins_at_its_start_and_goes_round(length: int, start: float) -> None:
    waveform = normal(length)
    first = int(start * length)
    plain = [waveform[(first + place) % length] for place in range(length)]
    assert rolled(waveform, start).tolist() == plain


@given(lengths=st.tuples(st.integers(1, 20), st.integers(1, 20)), share=st.floats(0, 1))
@settings(deadline=None)
def test_a_mixture_is_as_long_as_its_first(lengths: tuple[int, int], share: float) -> None:
    first, second = normal(lengths[0]), normal(lengths[1]) + 1
    plain = [
        share * first[place] + (1 - share) * (second[place] if place < len(second) else 0)
        for place in range(len(first))
    ]
    found = mixed(first, second, share)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-6)


def test_mixing_leaves_its_parts_alone() -> None:
    first, second = normal(8), normal(8)[::-1].copy()
    first.flags.writeable = second.flags.writeable = False
    mixed(first, second, 0.25)
    mixed(first, second, 1.0)


@given(
    draws=st.tuples(*[st.floats(0, 1, exclude_max=True, width=32)] * 4),
    most=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    shape=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    fill=st.sampled_from([0.0, -3.5]),
)
@settings(max_examples=200, deadline=None)
def test_what_is_hidden_is_one_span_of_bands_and_one_of_frames(
    draws: tuple[float, ...], most: tuple[int, int], shape: tuple[int, int], fill: float
) -> None:
    (bands, frames), spectrogram = most, normal(*shape)
    found = spectrogram.copy()
    Hiding(bands, frames, np.array(draws, np.float32))(found, fill)
    hidden = []
    for size, widest, width_draw, start_draw in (
        (shape[1], bands, *draws[:2]),
        (shape[0], frames, *draws[2:]),
    ):
        width = np.float32(width_draw) * np.float32(min(widest, size))
        start = np.float32(start_draw) * (np.float32(size) - width)
        hidden.append({place for place in range(size) if int(start) <= place < int(start) + int(width)})
    for (frame, band), value in np.ndenumerate(found):
        assert value == (fill if band in hidden[0] or frame in hidden[1] else spectrogram[frame, band])


def test_all_of_a_span_lies_inside_and_every_place_but_the_last_can_be_hidden() -> None:
    generator, counts, widths = np.random.default_rng(0), np.zeros(20), set()
    for draw in generator.random((4000, 2), np.float32):
        first, width = hidden_span(draw[0], draw[1], 6, 20)
        assert 0 <= first <= first + width <= 20
        counts[first : first + width] += 1
        widths.add(width)
    assert widths == {0, 1, 2, 3, 4, 5}
    assert counts[:-1].min() > 0


@pytest.mark.parametrize("decibels", [-3.0, 20.0])
def test_white_noise_has_the_power_that_the_ratio_leaves(decibels: float) -> None:
    features = 2 * normal(400, 80) + 1
    noise = WhiteNoise(decibels, np.random.default_rng(3))(features) - features
    power = float((features.astype(np.float64) ** 2).mean())
    expected = power / 10 ** (decibels / 10)
    # Of 32 000 independent squares the mean deviates by sqrt(2 / 32 000) of itself; five deviations.
    assert np.mean(noise.astype(np.float64) ** 2) == pytest.approx(expected, rel=5 * (2 / 32000) ** 0.5)
    assert abs(noise.mean()) < 5 * (expected / 32000) ** 0.5
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < 5 / 32000**0.5
    plain = features + np.sqrt(expected) * np.random.default_rng(3).standard_normal((400, 80), np.float32)
    np.testing.assert_allclose(features + noise, plain, rtol=0, atol=1e-5)


def test_silence_gets_no_white_noise() -> None:
    assert not with_white_noise(np.zeros((5, 4), np.float32), normal(5, 4), 20.0).any()


@pytest.mark.parametrize("shift", [-10, -1, 0, 9])
def test_noise_as_in_ast_is_scaled_uniform_and_moved_later(shift: int) -> None:
    features, uniform = normal(12, 3), np.abs(normal(12, 3)) % 1
    found = with_ast_noise(features, uniform, 0.5, shift)
    for (frame, band), value in np.ndenumerate(features):
        expected = value + uniform[frame, band] * 0.5 / 10
        assert found[(frame + shift) % 12, band] == pytest.approx(expected, abs=1e-6)
    drawn = AstNoise(0.5, shift, np.random.default_rng(2))(features)
    plain = with_ast_noise(features, np.random.default_rng(2).random((12, 3), np.float32), 0.5, shift)
    assert np.array_equal(drawn, plain)


def test_targets_are_one_for_every_class_of_a_clip() -> None:
    assert targets_of((0, 2), 4).tolist() == [1, 0, 1, 0]
    assert targets_of((), 2).tolist() == [0, 0]


def plain_input(waveform: np.ndarray, model: ModelConfig) -> np.ndarray:
    """Cell by cell: cut, or filled up as the model wants it, and normalised."""
    spectrogram = (fbank if model.front_end == "fbank_128" else log_mel)(waveform)
    if model.feature_std == 0:
        spectrogram = standardise(spectrogram)
    rows = []
    for frame in range(model.input_size[0]):
        if model.feature_std:
            row = spectrogram[frame] if frame < len(spectrogram) else np.zeros_like(spectrogram[0])
            rows.append((row - np.float32(model.feature_mean)) / np.float32(2 * model.feature_std))
        else:
            there_and_back = [*range(len(spectrogram)), *range(len(spectrogram) - 2, 0, -1)]
            rows.append(spectrogram[there_and_back[frame % len(there_and_back)]])
    return np.stack(rows)


SHORT = dataclasses.replace(AUDIO_MAE_B, input_size=(128, 128))
MODELS = {
    "fbank": SHORT,
    "log_mel": BASE,
    "log_mel with the data's mean": dataclasses.replace(BASE, feature_mean=-5.0, feature_std=3.0),
}


@pytest.mark.parametrize("samples", [1, 4000, 16000, 48000])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_reads_the_first_frames_normalised(model: ModelConfig, samples: int) -> None:
    waveform = np.resize(WAVEFORM, samples) * np.linspace(0.1, 1, samples, dtype=np.float32)
    found = model_input(waveform, model)
    assert found.dtype == np.float32
    assert np.array_equal(found, plain_input(waveform, model))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_silence_is_finite(model: ModelConfig) -> None:
    found = model_input(np.zeros(3000, np.float32), model)
    assert np.isfinite(found).all()
    assert found.any() == (model.feature_std > 0)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_is_hidden_is_0_before_the_normalisation_or_the_clips_mean(model: ModelConfig) -> None:
    plain = model_input(WAVEFORM, model)
    found = model_input(WAVEFORM, model, Hiding(20, 0, np.array([0.5, 0.5, 0.9, 0.9], np.float32)))
    first, width = hidden_span(np.float32(0.5), np.float32(0.5), 20, plain.shape[1])
    assert width == 10
    fill = -model.feature_mean / (2 * model.feature_std) if model.feature_std else 0
    np.testing.assert_allclose(found[:, first : first + width], fill, rtol=0, atol=1e-6)
    found[:, first : first + width] = plain[:, first : first + width]
    assert np.array_equal(found, plain)


def golden_model() -> ModelConfig:
    arrays = golden_audio_mae.load("augment")
    mean, std = float(arrays["norm/mean"]), float(arrays["norm/std"])
    return dataclasses.replace(SHORT, feature_mean=mean, feature_std=std)


def golden_waveform(item: int) -> np.ndarray:
    arrays, audio = golden_audio_mae.load("augment"), golden_audio_mae.load("frontend")
    start, samples = int(arrays["items/start"][item]), int(arrays["items/n_samples"][item])
    piece = audio[f"audio/{arrays['items/clip'][item]}"][start : start + samples]
    return centred(piece.astype(np.float32) / 32768)


def assert_is_golden(found: np.ndarray, expected: np.ndarray) -> None:
    # Seen: 1.1e-4 at most, 9e-7 in the mean.
    difference = np.abs(found - expected)
    assert difference.max() < 2e-3
    assert difference.mean() < 1e-5


@needs_golden
@pytest.mark.parametrize("case", ["equal", "partner_short", "partner_long", "gain"])
def test_a_mixture_is_the_released_one(case: str) -> None:
    arrays = golden_audio_mae.load("augment")
    first, second = (int(arrays[f"mixup_{case}/{which}"]) for which in ("first", "second"))
    share = float(arrays[f"mixup_{case}/lam"])
    gains = arrays[f"mixup_{case}/gain"].astype(np.float32) if case == "gain" else np.ones(2, np.float32)
    waveform = mixed(gains[0] * golden_waveform(first), gains[1] * golden_waveform(second), share)
    assert_is_golden(model_input(waveform, golden_model()), arrays[f"mixup_{case}/normalised"])


@needs_golden
def test_a_gain_is_the_released_one() -> None:
    arrays = golden_audio_mae.load("augment")
    waveform = np.float32(arrays["gain/gain"]) * golden_waveform(int(arrays["gain/item"]))
    assert_is_golden(model_input(waveform, golden_model()), arrays["gain/normalised"])


@needs_golden
def test_noise_as_in_ast_is_the_released_one() -> None:
    arrays = golden_audio_mae.load("augment")
    features = model_input(golden_waveform(int(arrays["noise/item"])), golden_model())
    level, shift = float(arrays["noise/level"]), int(arrays["noise/roll"])
    found = with_ast_noise(features, arrays["noise/uniform"], level, shift)
    assert_is_golden(found, arrays["noise/normalised"])


@needs_golden
def test_specaugment_is_the_released_one() -> None:
    arrays = golden_audio_mae.load("augment")
    spans = arrays["specaug/freqm_timem_fstart_fwidth_tstart_twidth"].tolist()
    for draws, (bands, frames, *expected) in zip(arrays["specaug/u"], spans, strict=True):
        found = [*hidden_span(draws[0], draws[1], bands, 128), *hidden_span(draws[2], draws[3], frames, 128)]
        for start, width, place in ((*expected[:2], 0), (*expected[2:], 2)):
            assert found[place + 1] == width
            assert found[place] == start or (start, width) == (-1, 0)
    hiding = Hiding(*spans[1][:2], arrays["specaug/u"][1])
    found = model_input(golden_waveform(int(arrays["specaug/item"])), golden_model(), hiding)
    assert_is_golden(found, arrays["specaug/normalised_1"])
