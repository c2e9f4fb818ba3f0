"""Packet loss: what is lost, that nothing of it reaches the model, baselines, and how it is put together."""

import dataclasses
import re

import numpy as np
import pytest
import small_models

from hear_mwmae.analysis import concealment
from hear_mwmae.analysis.concealment import (
    FADE,
    conceal,
    draw_lost,
    interpolated,
    parse_spans,
    pasted,
    predict_lost,
    samples_in,
)
from hear_mwmae.analysis.measures import log_spectral_distance, signal_to_noise
from hear_mwmae.analysis.pieces import columns_with
from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError

kinds = pytest.mark.parametrize("config", small_models.CONFIGS.values(), ids=small_models.CONFIGS)
RATE = small_models.RATE


def test_spans_are_read() -> None:
    assert parse_spans("1.2-1.5,3.0-3.2") == [(1.2, 1.5), (3.0, 3.2)]
    assert parse_spans(" 1 - 2. , .5-.75") == [(1, 2), (0.5, 0.75)]
    lost = samples_in([(0.1, 0.2), (0.15, 0.3)], RATE)
    np.testing.assert_array_equal(np.flatnonzero(lost), np.arange(1600, 4800))


@pytest.mark.parametrize(
    "text", ["", "1.2", "1.2-", "-1.2-1.5", "1,2-3", "a-b", "1-2-3", "1e3-2e3", "1-2;3-4"]
)
def test_texts_that_are_no_spans(text: str) -> None:
    with pytest.raises(UserError, match=r"is no span of seconds; write it as 1\.2-1\.5,3\.0-3\.2"):
        parse_spans(text)


def test_spans_that_lose_nothing() -> None:
    for text in ("2-1", "1-1"):
        with pytest.raises(UserError, match="does not end after it begins"):
            parse_spans(text)
    with pytest.raises(UserError, match=re.escape("lasts 1.000 s, and --lost 0.9-1.1 is outside")):
        samples_in([(0.9, 1.1)], RATE)
    with pytest.raises(UserError, match="has no sample in --lost"):
        samples_in([(0.5, 0.50001)], RATE)


@kinds
@pytest.mark.parametrize("samples", [9600, 16000, 23456])
def test_lost_columns_are_lost_and_no_others(config: ModelConfig, samples: int) -> None:
    model = small_models.trained(config)
    frames, one = model.front_end.frames(samples), model.front_end
    for seed in range(5):
        lost = draw_lost(model, samples, loss=0.4, seed=seed)
        # The rule for given spans, applied to the lost samples, finds the drawn columns again.
        marked = one.touched(lost, frames)
        columns = np.concatenate([*columns_with(marked, config)])
        real = -(-frames // config.patch_size[0])
        full = config.grid[0] * (frames // config.input_size[0])
        share = columns[:full].reshape(-1, config.grid[0]).sum(axis=1)
        np.testing.assert_array_equal(share, round(0.4 * config.grid[0]))
        blocks = np.repeat(columns, config.patch_size[0])[:frames]
        np.testing.assert_array_equal(marked, blocks if config is small_models.KALDI else marked & blocks)
        if config is small_models.KALDI:
            assert not columns[real:].any()
        assert not (one.covered(~marked, samples) & lost).any()
    assert (draw_lost(model, samples, loss=0.4, seed=1) != draw_lost(model, samples, loss=0.4, seed=0)).any()


@kinds
def test_shares_that_lose_nothing_or_all(config: ModelConfig) -> None:
    model = small_models.trained(config)
    for loss in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="is not between 0 and 1"):
            draw_lost(model, RATE, loss=loss)
    for loss, count in ((0.01, 0), (0.99, config.grid[0])):
        with pytest.raises(UserError, match=f"loses {count} of {config.grid[0]} columns"):
            draw_lost(model, RATE, loss=loss)


@kinds
def test_nothing_that_is_lost_reaches_the_model(config: ModelConfig) -> None:
    model, sound = small_models.trained(config), small_models.voice(1.25)
    lost = samples_in([(0.25, 0.37), (0.9, 1.0), (1.2, 1.24)], len(sound))
    other = np.where(lost, small_models.chirp(1.25), sound)
    first, second = conceal(model, sound, lost), conceal(model, other, lost)
    for name in ("silence", "interpolation", "model"):
        a, b = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(a.log_mel, b.log_mel)
        np.testing.assert_array_equal(a.sound, b.sound)
        assert a.distance != b.distance
    assert (first.truth.log_mel != second.truth.log_mel).any()
    np.testing.assert_allclose(first.spans, [(0.25, 0.37), (0.9, 1.0), (1.2, 1.24)])


@kinds
def test_measures_and_what_stays(config: ModelConfig) -> None:
    model, sound = small_models.trained(config), small_models.voice(1.0)
    lost = samples_in([(0.4, 0.5)], len(sound))
    found = conceal(model, sound, lost)
    frames = model.front_end.touched(lost, len(found.log_mel))
    np.testing.assert_array_equal(found.lost_frames, frames)
    assert found.silence.ratio == 0
    assert found.truth.distance == 0
    assert [one.name for one in found.repairs] == ["silence", "interpolation", "model", "true log-mels"]
    for one in found.repairs:
        np.testing.assert_array_equal(one.log_mel[~frames], found.log_mel[~frames])
        far = np.ones(len(sound), bool)
        far[6400 - FADE : 8000 + FADE] = False
        np.testing.assert_array_equal(one.sound[far], sound[far])
        assert one.distance == log_spectral_distance(found.log_mel[frames], one.log_mel[frames])
        assert one.ratio == signal_to_noise(sound[lost], one.sound[lost])
    assert found.model.distance < found.silence.distance


@kinds
def test_pieces_without_loss_are_left_and_others_stitched_in_order(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def predict(model, features, mask):
        asked.append(mask.noise[: config.grid[0]])
        return features * 0 + len(asked), None

    monkeypatch.setattr(concealment, "predict", predict)
    model, length = small_models.trained(config), config.input_size[0]
    bands = config.input_size[1]
    received = np.random.default_rng(0).normal(-5, 3, (4 * length - 3, bands)).astype(np.float32)
    lost = np.zeros(len(received), bool)
    lost[[5, length + 5, 3 * length + 7]] = True
    found = predict_lost(model, received, lost)
    assert len(asked) == 3
    mean, divisor = received[~lost].mean(dtype=np.float64), received[~lost].std(dtype=np.float64)
    if config.feature_std:
        mean, divisor = config.feature_mean, 2 * config.feature_std
    levels = mean + divisor * np.arange(1, 4)
    np.testing.assert_allclose(found[lost], np.broadcast_to(levels[:, None], (3, bands)), atol=1e-3)
    np.testing.assert_array_equal(found[~lost], received[~lost])


def test_a_piece_of_which_nothing_is_left() -> None:
    model, sound = small_models.trained(small_models.LOG_MEL), small_models.voice(1.5)
    with pytest.raises(UserError, match=r"nothing left from 0\.4 to 0\.8 s"):
        conceal(model, sound, samples_in([(0.35, 0.85)], len(sound)))
    with pytest.raises(UserError, match="is lost as a whole"):
        conceal(model, sound, np.ones(len(sound), bool))


def test_windows_that_do_not_divide_what_is_received() -> None:
    config = dataclasses.replace(
        small_models.LOG_MEL, class_token=False, encoder_windows=(10, 0), mask_ratio=0.8
    )
    model, sound = small_models.trained(config), small_models.voice(0.39)
    assert conceal(model, sound, draw_lost(model, len(sound), loss=0.2)).lost.any()
    with pytest.raises(UserError, match="windows of this model's encoder do not divide"):
        conceal(model, sound, draw_lost(model, len(sound), loss=0.3))


def test_straight_lines_across_what_is_lost() -> None:
    log_mel = np.array([[9.0, 9], [0, 10], [7, 7], [7, 7], [6, 4], [1, 1]], np.float32)
    lost = np.array([True, False, True, True, False, True])
    expected = [[0, 10], [0, 10], [2, 8], [4, 6], [6, 4], [6, 4]]
    np.testing.assert_allclose(interpolated(log_mel, lost), expected, atol=1e-6)


def test_what_is_put_in_fades_in_and_out_beside_the_span() -> None:
    received, sound = np.ones(1000, np.float32), np.full(1000, 3, np.float32)
    lost = np.zeros(1000, bool)
    lost[400:500] = True
    found = pasted(np.where(lost, 0, received), sound, lost)
    assert (found[lost] == 3).all()
    np.testing.assert_array_equal(found[: 400 - FADE], 1)
    np.testing.assert_array_equal(found[500 + FADE :], 1)
    ramp = 1 + 2 * np.arange(1, FADE + 1) / (FADE + 1)
    np.testing.assert_allclose(found[400 - FADE : 400], ramp, atol=1e-6)
    np.testing.assert_allclose(found[500 : 500 + FADE], ramp[::-1], atol=1e-6)
