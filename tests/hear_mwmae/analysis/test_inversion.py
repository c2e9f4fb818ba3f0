"""From log-mels back to sound: least squares against scipy's, round trips, where things lie in time."""

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import small_models
from jaxtyping import Float

from hear_mwmae.analysis.front_ends import FrontEnd, front_end
from hear_mwmae.analysis.inversion import SILENT, de_emphasised, power_of, sound_of, visible_share
from hear_mwmae.audio import read_audio

both = pytest.mark.parametrize("name", ["fbank_128", "log_mel_80"])


def relative_error(power: np.ndarray, mel_power: np.ndarray, one: FrontEnd) -> Float[np.ndarray, " frames"]:
    """What `power_of` minimises."""
    weight = 1 / np.maximum(mel_power, SILENT)
    return np.square((power @ one.filters - mel_power) * weight).sum(axis=1)


@both
def test_least_squares_as_good_as_scipys_of_every_frame(name: str) -> None:
    one = front_end(name)
    mel_power = one.mel_power(one.analyse(small_models.voice(0.5)))[::7]
    found = power_of(mel_power, one.filters)
    assert (found >= 0).all()
    exact = []
    for frame in mel_power:
        weight = 1 / np.maximum(frame, SILENT)
        exact.append(scipy.optimize.nnls((one.filters * weight).T.astype(float), frame * weight)[0])
    # In units of a band's whole power: 4e-3 is 0.3 dB in one of them.
    excess = relative_error(found, mel_power, one) - relative_error(np.array(exact), mel_power, one)
    assert excess.max() < 4e-3
    assert np.count_nonzero(found, axis=1).min() > 1.5 * np.count_nonzero(exact, axis=1).max()


@both
def test_what_no_power_could_have_made_is_approached(name: str) -> None:
    # A lone band between silent ones: its neighbours must have some of its power.
    one = front_end(name)
    mel_power = np.full((1, one.bands), 1e-6)
    mel_power[0, 40] = 1.0
    found = power_of(mel_power, one.filters)
    assert np.isfinite(found).all()
    assert (found @ one.filters).max() <= 1.01


@both
def test_silence_has_no_power(name: str) -> None:
    assert power_of(np.zeros((3, front_end(name).bands)), front_end(name).filters).max() < 1e-6


def test_de_emphasis_is_the_exact_inverse() -> None:
    sound = np.random.default_rng(0).standard_normal(5000)
    emphasised = np.concatenate([sound[:1], sound[1:] - 0.97 * sound[:-1]])
    np.testing.assert_allclose(de_emphasised(emphasised, 0.97), sound, atol=1e-12)
    slow = [emphasised[0]]
    for value in emphasised[1:]:
        slow.append(value + 0.97 * slow[-1])
    np.testing.assert_allclose(de_emphasised(emphasised, 0.97), slow, atol=1e-12)
    assert de_emphasised(sound, 0.0) is sound


def round_trip_error(one: FrontEnd, sound: np.ndarray) -> tuple[float, float]:
    """Mean error of the log-mels in dB, of all cells and of those within 60 dB of the loudest."""
    before = one.analyse(sound)
    back = sound_of(power_of(one.mel_power(before), one.filters), one, len(sound))
    assert len(back) == len(sound)
    error = 10 / np.log(10) * np.abs(one.analyse(back) - before)
    loud = before > before.max() - 6 * np.log(10)
    return float(error.mean()), float(error[loud].mean())


# A little above what the module says was measured.
@pytest.mark.parametrize(
    ("name", "sound", "limits"),
    [
        ("fbank_128", "chirp", (1.3, 4.5)),
        ("log_mel_80", "chirp", (1.7, 5.2)),
        ("fbank_128", "voice", (0.5, 0.5)),
        ("log_mel_80", "voice", (0.35, 0.35)),
    ],
)
def test_round_trip(name: str, sound: str, limits: tuple[float, float]) -> None:
    error = round_trip_error(front_end(name), getattr(small_models, sound)(3.0))
    assert error[0] < limits[0]
    assert error[1] < limits[1]


@pytest.mark.parametrize(("name", "limits"), [("fbank_128", (0.75, 0.65)), ("log_mel_80", (0.6, 0.5))])
def test_round_trip_of_speech(name: str, limits: tuple[float, float], shared: Path) -> None:
    digits = [shared / "data" / "fsdd" / "audio" / f"{digit}_george_0.flac" for digit in range(10)]
    speech = np.concatenate([read_audio(path, small_models.RATE) for path in digits])
    error = round_trip_error(front_end(name), speech)
    assert error[0] < limits[0]
    assert error[1] < limits[1]


@both
@pytest.mark.parametrize("samples", [401, 4000, 4159])
def test_what_comes_back_lies_where_it_was(name: str, samples: int) -> None:
    one = front_end(name)
    burst = np.zeros(samples, np.float32)
    middle = samples // 2
    burst[middle - 40 : middle + 40] = np.random.default_rng(0).standard_normal(80)
    power = power_of(one.mel_power(one.analyse(burst)), one.filters)
    back = sound_of(power, one, samples)
    assert back.shape == (samples,)
    assert np.isfinite(back).all()
    if samples > 401:
        energy = np.square(back, dtype=np.float64)
        assert abs((energy * np.arange(samples)).sum() / energy.sum() - middle) < 60
        assert energy[: middle - 400].sum() + energy[middle + 400 :].sum() < 0.01 * energy.sum()


def test_the_seed_decides() -> None:
    one = front_end("log_mel_80")
    power = power_of(one.mel_power(one.analyse(small_models.voice(0.3))), one.filters)
    first, same, other = (sound_of(power, one, 4800, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_share_of_visible_bands() -> None:
    filters = np.array([[0, 0], [1, 0], [0.5, 0.5], [0, 1]])
    share = visible_share(np.array([[True, False], [True, True], [False, False]]), filters)
    np.testing.assert_allclose(share, [[0, 1, 0.5, 0], [0, 1, 1, 1], [0, 0, 0, 0]])
