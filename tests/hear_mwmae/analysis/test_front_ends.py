"""Which samples lie in which frames, and where the bands are."""

import numpy as np
import pytest

from hear_mwmae.analysis.front_ends import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, front_end

both = pytest.mark.parametrize("name", ["fbank_128", "log_mel_80"])


@both
@pytest.mark.parametrize("samples", [400, 559, 560, 561, 4000, 16000])
def test_frames_are_counted_as_they_are_made(name: str, samples: int) -> None:
    made = front_end(name).analyse(np.ones(samples, np.float32))
    assert made.shape == (front_end(name).frames(samples), front_end(name).bands)


@both
def test_frames_and_samples_by_the_definition(name: str) -> None:
    one, samples = front_end(name), 4000
    frames, generator = one.frames(samples), np.random.default_rng(0)
    starts = [one.first_sample + HOP_LENGTH * frame for frame in range(frames)]
    inside = np.array([[start <= t < start + FRAME_LENGTH for t in range(samples)] for start in starts])
    for _ in range(20):
        marked = generator.random(samples) < 0.001
        np.testing.assert_array_equal(one.touched(marked, frames), (inside & marked).any(axis=1))
        marked = generator.random(frames) < 0.2
        np.testing.assert_array_equal(one.covered(marked, samples), inside[marked].any(axis=0))


@both
def test_what_touches_no_frame_changes_none(name: str) -> None:
    one, generator = front_end(name), np.random.default_rng(0)
    sound = generator.standard_normal(8000).astype(np.float32)
    lost = np.zeros(8000, bool)
    lost[3000:3700] = lost[:50] = lost[7900:] = True
    other = np.where(lost, generator.standard_normal(8000).astype(np.float32), sound)
    untouched = ~one.touched(lost, one.frames(8000))
    assert 0 < untouched.sum() < len(untouched)
    np.testing.assert_array_equal(one.analyse(sound)[untouched], one.analyse(other)[untouched])


@both
def test_a_band_is_centred_where_its_filter_is_highest(name: str) -> None:
    one = front_end(name)
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(one.filters))
    wide = one.filters.max(axis=0) > 0.9
    middles = hertz[one.filters.argmax(axis=0)]
    assert wide.sum() > 30
    assert np.abs(middles - one.centres_hz)[wide].max() < hertz[1]


@both
def test_mel_power_is_what_the_logarithm_was_taken_of(name: str) -> None:
    power = np.array([[0.5, 3.0, 1e-3]])
    log_mel = np.log(power + front_end(name).log_offset)
    np.testing.assert_allclose(front_end(name).mel_power(log_mel), power, rtol=1e-12)
