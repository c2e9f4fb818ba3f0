"""Crops of one clip against the plain way: rolled, amplified, cut or filled up, normalised."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import tone, write

from hear_mwmae.config import NAMED_MODELS
from hear_mwmae.pretrain.data.crops import (
    FLOOR,
    Normalisation,
    Variation,
    amplify,
    reflected_positions,
    widen,
    write_crop,
)
from hear_mwmae.pretrain.data.kaldi_fbank import fbank
from hear_mwmae.pretrain.data.loader import load_clips, validation_batches
from hear_mwmae.pretrain.data.log_mel import log_mel, standardise
from hear_mwmae.pretrain.data.prepare import Options, prepare
from hear_mwmae.pretrain.data.records import DecodedClip, decode_clip, encode_clip

AUDIOSET = Normalisation(-4.2677393, 4.5689974)
FRONT_ENDS = {"log_mel_80": log_mel, "fbank_128": fbank}


def clip_of(seed: int, frames: int, bands: int = 16) -> DecodedClip:
    """A clip of which a part lies at the floor."""
    values = np.random.default_rng(seed).normal(-13, 4, (frames, bands)).astype(np.float32)
    return decode_clip(encode_clip("a", np.maximum(values, np.float32(FLOOR))).record)


def plain_crop(
    clip: DecodedClip, first: int, wanted: int, normalisation: Normalisation | None, variation: Variation
) -> np.ndarray:
    """The whole clip in float32: rolled, amplified cell by cell, filled up or cut, normalised."""
    values = np.roll(clip.log_mel.astype(np.float32), -variation.start, axis=0)
    shift = np.float32(2 * np.log(variation.gain))
    for cell, value in np.ndenumerate(values):
        if value > FLOOR:
            values[cell] = max(value + shift, FLOOR)
    short = len(values) < wanted
    if normalisation is None:
        values = (values - np.float32(clip.mean)) / (np.float32(clip.std) + np.float32(1e-8))
        values = values[reflected_positions(len(values), wanted)] if short else values
    else:
        values = np.pad(values, ((0, max(0, wanted - len(values))), (0, 0)))
        values = (values - np.float32(normalisation.mean)) / np.float32(2 * normalisation.std)
    return values[first : first + wanted]


@given(
    seed=st.integers(0, 1000),
    frames=st.integers(1, 40),
    wanted=st.integers(1, 40),
    normalisation=st.sampled_from([None, AUDIOSET, Normalisation(3.0, 0.25)]),
    gain=st.one_of(st.just(1.0), st.floats(0.5, 1.5)),
    places=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
@settings(max_examples=200, deadline=None)
def test_a_crop_is_what_the_plain_way_gives(
    seed: int,
    frames: int,
    wanted: int,
    normalisation: Normalisation | None,
    gain: float,
    places: tuple[float, float],
) -> None:
    clip = clip_of(seed, frames)
    first, start = int(places[0] * (max(frames - wanted, 0) + 1)), int(places[1] * frames)
    out = np.full((wanted, 16), np.nan, np.float32)
    write_crop(clip, first, out, normalisation, Variation(start, gain))
    assert np.array_equal(out, plain_crop(clip, first, wanted, normalisation, Variation(start, gain)))


def test_a_crop_that_nothing_varies_is_the_standardised_clips() -> None:
    clip, out = clip_of(0, 30), np.empty((20, 16), np.float32)
    write_crop(clip, 4, out)
    assert np.array_equal(out, standardise(clip.log_mel.astype(np.float32))[4:24])


def test_rows_that_fill_up_are_0_before_normalisation() -> None:
    out = np.empty((1024, 16), np.float32)
    write_crop(clip_of(0, 998), 0, out, AUDIOSET, Variation(gain=1.4))
    assert np.unique(out[998:]) == pytest.approx(4.2677393 / (2 * 4.5689974), abs=1e-7)
    assert out[0, 0] != out[998, 0]


def test_a_constant_clip_is_normalised_like_any_other() -> None:
    silence = decode_clip(encode_clip("a", fbank(np.zeros(1000, np.float32))).record)
    assert silence.std == 0
    out = np.empty((4, 128), np.float32)
    write_crop(silence, 0, out, AUDIOSET)
    assert np.unique(out) == pytest.approx((float(np.float16(FLOOR)) + 4.2677393) / (2 * 4.5689974), abs=1e-6)


def test_the_floor_is_that_of_both_front_ends() -> None:
    assert np.float32(FLOOR) == np.log(np.float32(2.0**-23))
    for front_end in FRONT_ENDS.values():
        silence = front_end(np.zeros(1000, np.float32))
        assert np.unique(silence) == FLOOR
        stored = decode_clip(encode_clip("a", silence).record).log_mel
        assert np.unique(stored) == np.float16(FLOOR) < FLOOR


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)
@pytest.mark.parametrize("gain", [0.5, 0.9, 1.5])
def test_a_gain_is_that_of_the_waveform(front_end: Callable[[np.ndarray], np.ndarray], gain: float) -> None:
    audio = tone(1.0, seed=4)
    found = front_end(audio)
    amplify(found, gain)
    expected = front_end(np.float32(gain) * audio)
    # What was at the floor is not known to be louder; log_mel_80 adds its floor and so nears it slowly.
    known = found > (FLOOR if front_end is fbank else FLOOR + 6)
    assert known.mean() > 0.9
    # Seen: 1.8e-3 in log_mel_80, 3.7e-4 in fbank_128.
    np.testing.assert_allclose(found[known], expected[known], rtol=0, atol=1e-2)


def test_a_gain_moves_nothing_below_the_floor_and_leaves_silence_alone() -> None:
    values = np.array([[np.float16(FLOOR), FLOOR + 0.1, -10, 2]], np.float32)
    quieter, louder = values.copy(), values.copy()
    amplify(quieter, 0.5)
    amplify(louder, 1.5)
    down, up = 2 * np.log(0.5), 2 * np.log(1.5)
    assert np.allclose(quieter, [[np.float16(FLOOR), FLOOR, -10 + down, 2 + down]])
    assert np.allclose(louder, [[np.float16(FLOOR), FLOOR + 0.1 + up, -10 + up, 2 + up]])


def test_rolling_the_frames_is_rolling_the_waveform_but_for_the_seam() -> None:
    audio, start = tone(1.0, seed=3), 30
    frames = fbank(audio)
    out = np.empty(frames.shape, np.float32)
    clip = decode_clip(encode_clip("a", frames).record)
    write_crop(clip, 0, out, Normalisation(0.0, 0.5), Variation(start))
    rolled = fbank(np.roll(audio, -start * 160))
    # Stored values differ by half a step of float16.
    before = len(frames) - start
    np.testing.assert_allclose(out[:before], rolled[:before], rtol=0, atol=5e-3)
    # Two frames lie across the seam in the rolled waveform, and the rest follows two later.
    np.testing.assert_allclose(out[before:-2], rolled[before + 2 :], rtol=0, atol=5e-3)


def test_widening_into_a_part_of_an_array_is_exact() -> None:
    values = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    out = np.zeros((7, 8), np.float32)
    widen(values, out[1:6])
    assert np.array_equal(out[1:6], values.astype(np.float32))
    assert not out[[0, 6]].any()


def test_a_model_says_how_its_input_is_normalised() -> None:
    assert Normalisation.of(NAMED_MODELS["audio_mae_b"].config) == AUDIOSET
    assert Normalisation.of(NAMED_MODELS["mw_mae_b"].config) is None


@pytest.mark.parametrize("dataset", ["audioset", "esc50", "speechcommands"])
def test_what_is_prepared_and_loaded_is_what_the_released_model_reads(
    shared: Path, tmp_path: Path, dataset: str
) -> None:
    wanted = json.loads((shared / "golden_audiomae" / "config.json").read_text())["datasets"][dataset]
    arrays = np.load(shared / "golden_audiomae" / "frontend.npz")
    cases = [name.removesuffix("/dataset") for name in arrays if name.endswith("/dataset")]
    for case in cases:
        if arrays[f"{case}/dataset"] == dataset:
            audio = arrays[f"audio/{arrays[f'{case}/clip']}"][: arrays[f"{case}/n_samples"]]
            write(tmp_path / "sounds" / f"{case}.wav", audio)
    options = Options(clip_seconds=20, front_end="fbank_128")
    prepare([tmp_path / "sounds"], tmp_path / "data", options=options, workers=1)
    clips = load_clips(tmp_path / "data")
    normalisation = Normalisation(wanted["mean"], wanted["std"])
    (batch,) = validation_batches(clips, frames=wanted["frames"], batch_size=9, normalisation=normalisation)
    for case, frames, found in zip(clips.ids.to_pylist(), clips.frames, batch, strict=True):
        expected = arrays[f"{case.removesuffix('.wav')}/normalised"]
        # The release takes the first frames, we the centre ones.
        first = max(0, (frames - len(expected)) // 2)
        both = len(expected) - first if first else len(expected)
        difference = np.abs(found[:both] - expected[first:])
        # Half a step of float16 on top of the front end's difference.
        assert difference.max() < 2e-3 + 2.0**-8 / (2 * wanted["std"])
        assert np.median(difference) < 2.0**-8 / (2 * wanted["std"])
