"""Building blocks of synthetic sound at 44.1 kHz: decaying partials, noise bands, and a formant voice.

Source-filter speech after Fant (1960), glottal pulse after Rosenberg (1971); everything else is plain
additive and subtractive synthesis. Randomness comes only from the generator that is passed in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

Sound = Float[np.ndarray, " _"]
"""Samples of one channel; every sound has its own length."""

RATE = 44100
"""Sample rate of everything here, in Hz."""

_FADE_SECONDS = 0.012


@dataclass(frozen=True)
class Phone:
    """A stationary speech sound: formants (Hz), noise band (Hz), and how much voice and noise it has."""

    formants: tuple[float, ...]
    noise: tuple[float, float] = (1000.0, 5000.0)
    voicing: float = 1.0
    breath: float = 0.0


VOWELS = {
    "i": Phone((280, 2250, 2950)),
    "I": Phone((400, 1950, 2550)),
    "e": Phone((540, 1800, 2500)),
    "a": Phone((750, 1200, 2450)),
    "A": Phone((660, 1700, 2400)),
    "o": Phone((500, 850, 2400)),
    "u": Phone((310, 780, 2250)),
    "@": Phone((500, 1450, 2450)),
    "y": Phone((270, 1850, 2200)),
    "O": Phone((600, 950, 2450)),
}
CONSONANTS = {
    "s": Phone((2000, 4500), (4200, 8000), 0.0, 0.5),
    "S": Phone((1800, 3500), (2000, 5500), 0.0, 0.5),
    "f": Phone((1200, 3000), (1200, 8000), 0.0, 0.15),
    "t": Phone((1800, 3800), (2800, 7000), 0.0, 0.6),
    "p": Phone((800, 1500), (400, 1800), 0.0, 0.5),
    "d": Phone((350, 1750, 2700), (2500, 6000), 0.4, 0.3),
    "g": Phone((300, 2000, 2300), (1500, 3000), 0.4, 0.3),
    "n": Phone((260, 1500, 2300), (1000, 3000), 0.45, 0.0),
    "l": Phone((360, 1250, 2750), (1000, 3000), 0.6, 0.0),
    "r": Phone((420, 1250, 1650), (1000, 3000), 0.6, 0.0),
}
PHONES = {**VOWELS, **CONSONANTS}


def clock(seconds: float) -> Sound:
    """Time in seconds of every sample."""
    return np.arange(round(seconds * RATE)) / RATE


def place(sounds: Sequence[tuple[float, Sound]], seconds: float) -> Sound:
    """Mix sounds that start at the given seconds into a clip of `seconds`; what sticks out is cut."""
    mixed = np.zeros(round(seconds * RATE))
    for start, sound in sounds:
        first = min(round(start * RATE), len(mixed))
        piece = sound[: len(mixed) - first]
        mixed[first : first + len(piece)] += piece
    return mixed


def partials(
    frequencies: Iterable[float],
    amplitudes: Iterable[float],
    decays: Iterable[float],
    seconds: float,
    rng: Generator,
    *,
    glide: float = 0.0,
) -> Sound:
    """Sum of exponentially decaying sinusoids (Hz, linear, time constants in s) with random phases.

    All frequencies start higher by the factor 1 + `glide` (lower if negative) and settle within 0.2 s.
    """
    time = clock(seconds)
    warped = time - glide * 0.08 * np.expm1(-time / 0.08)
    out = np.zeros(len(time))
    for frequency, amplitude, decay in zip(frequencies, amplitudes, decays, strict=True):
        if frequency < RATE / 2.2:
            phase = 2 * np.pi * frequency * warped + rng.uniform(0, 2 * np.pi)
            out += amplitude * np.sin(phase) * np.exp(-time / decay)
    return out


def noise(seconds: float, rng: Generator, band: tuple[float, float], *, slope: float = 0.0) -> Sound:
    """Gaussian noise of unit level within `band` (Hz), its power falling as frequency^-`slope`."""
    length = round(seconds * RATE)
    fast = next_fast_len(length, real=True)
    frequency = np.maximum(rfftfreq(fast, 1 / RATE), 20.0)
    low, high = band
    gain = frequency ** (-slope / 2) / ((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    return level(irfft(rfft(rng.standard_normal(fast)) * gain, fast)[:length])


def level(sound: Sound, rms: float = 1.0) -> Sound:
    """`sound` scaled to a root mean square of `rms`; silence stays silence."""
    return sound * (rms / max(np.sqrt(np.mean(sound**2)), 1e-12)) if len(sound) else sound


def fade(sound: Sound, seconds: float = _FADE_SECONDS) -> Sound:
    """`sound` with raised-cosine edges of `seconds` each (at most half its length)."""
    width = min(round(seconds * RATE), len(sound) // 2)
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / max(width, 1))
    faded = sound.copy()
    faded[:width] *= edge
    faded[len(sound) - width :] *= edge[::-1]
    return faded


def smooth_path(rng: Generator, seconds: float, per_second: float) -> Sound:
    """A random smooth curve within about [-1, 1] that bends `per_second` times a second."""
    time = clock(seconds)
    knots = np.arange(int(seconds * per_second) + 3) / per_second
    return np.interp(time, knots, rng.uniform(-1, 1, len(knots)))


def glottal(pitch: Sound, openness: float = 0.6) -> Sound:
    """Derivative of a glottal pulse train of `pitch` (Hz per sample), open for a share of each period."""
    phase = np.cumsum(pitch / RATE) % 1.0
    flow = np.where(phase < openness, 0.5 - 0.5 * np.cos(2 * np.pi * phase / openness), 0.0)
    return np.diff(flow, prepend=0.0) * RATE / np.maximum(pitch, 1.0)


def resonate(sound: Sound, formants: Sequence[float]) -> Sound:
    """`sound` through parallel resonances at `formants` (Hz), each weaker and wider than the one before."""
    fast = next_fast_len(len(sound), real=True)
    frequency = rfftfreq(fast, 1 / RATE)
    gain = np.full(len(frequency), 0.01 + 0j)
    for order, formant in enumerate(formants):
        width = 60 + 0.04 * formant
        gain += (-0.7) ** order / (1 + 1j * (frequency - formant) / (width / 2))
    return irfft(rfft(sound, fast) * gain, fast)[: len(sound)]


def speak(
    phones: Sequence[tuple[Phone, float]],
    pitch: Sound,
    rng: Generator,
    *,
    tract: float = 1.0,
    effort: float = 0.6,
) -> Sound:
    """Speech of `phones` with their seconds; `pitch` (Hz) covers all of it and gives its length.

    `tract` scales the formants (above 1: a shorter vocal tract), `effort` is the open share of the glottal
    cycle: small is pressed and bright, large is soft and dark.
    """
    source, pieces, start = glottal(pitch, effort), [], 0.0
    for phone, seconds in phones:
        first, last = round(start * RATE), round((start + seconds + _FADE_SECONDS) * RATE)
        voiced = source[first:last]
        if len(voiced) < 32:
            break
        piece = resonate(voiced, [formant * tract for formant in phone.formants]) * phone.voicing
        if phone.breath:
            piece += noise(len(voiced) / RATE, rng, phone.noise) * phone.breath
        pieces.append((start, fade(piece)))
        start += seconds
    return place(pieces, len(pitch) / RATE)
