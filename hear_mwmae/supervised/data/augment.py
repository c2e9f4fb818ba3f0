"""Augmentation of sound as functions of numbers that are drawn elsewhere (`plans`).

In the order of Audio-MAE's supplement and program: the waveform loses its mean, is rolled, amplified and
mixed; its spectrogram is cut or filled up, parts of it are hidden; normalised, it gets noise.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


def centred(waveform: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """Subtract the mean.

    Both front ends are deaf to it, but in a mixture a partner that is filled up with 0 would end with a
    click.
    """
    return waveform - np.float32(waveform.mean(dtype=np.float64))


def rolled(waveform: Float[np.ndarray, " samples"], start: float) -> Float[np.ndarray, " samples"]:
    """Begin with the sample at `start`, a share of the length in [0, 1); what lies before it follows the end.

    "Sampling random starting points with cyclic rolling in time" (supplement of Audio-MAE, appendix B).
    """
    return np.roll(waveform, -int(start * len(waveform)))


def mixed(
    first: Float[np.ndarray, " samples"], second: Float[np.ndarray, " others"], share: float
) -> Float[np.ndarray, " samples"]:
    """Return share x first + (1 - share) x second, which is cut, or filled up with 0, to the first's length.

    The mean of the mixture stays: Audio-MAE's program takes it off again, and no front end hears it.
    """
    mixture = np.float32(share) * first
    both = min(len(first), len(second))
    mixture[:both] += np.float32(1 - share) * second[:both]
    return mixture


def hidden_span(width_draw: np.float32, start_draw: np.float32, most: int, size: int) -> tuple[int, int]:
    """Return first place and number of what SpecAugment hides along an axis, from two draws in [0, 1).

    The number is floor(u most), so never `most` itself; the first place floor(v (size - u most)), in float32
    as in the program; so the last place is next to never hidden. Of an axis shorter than `most` all but one
    place may go.
    """
    width = np.float32(width_draw) * np.float32(min(most, size))
    return int(np.float32(start_draw) * (np.float32(size) - width)), int(width)


@dataclass(frozen=True)
class Hiding:
    """SpecAugment of one clip: one span of bands, then one of frames."""

    bands: int
    """Fewer than so many bands."""
    frames: int
    """Fewer than so many frames, of 10 ms."""
    draws: Float[np.ndarray, "4"]
    """Uniform in [0, 1), float32: width and start in bands, width and start in frames."""

    def __call__(self, spectrogram: Float[np.ndarray, "frames bands"], fill: float) -> None:
        """Overwrite both spans in place."""
        frames, bands = spectrogram.shape
        first, count = hidden_span(self.draws[0], self.draws[1], self.bands, bands)
        spectrogram[:, first : first + count] = fill
        first, count = hidden_span(self.draws[2], self.draws[3], self.frames, frames)
        spectrogram[first : first + count] = fill


def with_white_noise(
    features: Float[np.ndarray, "frames bands"],
    normal: Float[np.ndarray, "frames bands"],
    decibels: float,
) -> Float[np.ndarray, "frames bands"]:
    """Add noise at a signal-to-noise ratio; `normal` has zero mean and unit variance.

    The supplement of Audio-MAE says no more than a signal-to-noise ratio of 20 dB on spectrograms. Here the
    signal is the normalised spectrogram as the model would read it, its power the mean square over all cells,
    those that are filled up or hidden included, and the noise is Gaussian and independent from cell to cell.
    """
    power = np.square(features, dtype=np.float64).mean() * 10 ** (-decibels / 10)
    return features + np.float32(np.sqrt(power)) * normal


def with_ast_noise(
    features: Float[np.ndarray, "frames bands"],
    uniform: Float[np.ndarray, "frames bands"],
    level: float,
    shift: int,
) -> Float[np.ndarray, "frames bands"]:
    """Add uniform x level / 10 to a normalised spectrogram and move it `shift` frames later, cyclically.

    As the programs of AST and Audio-MAE do; both numbers are uniform in [0, 1), `level` is one per clip.
    """
    return np.roll(features + uniform * np.float32(level / 10), shift, axis=0)


@dataclass(frozen=True)
class WhiteNoise:
    """Noise of one clip, see `with_white_noise`; the generator is this clip's own and used once."""

    decibels: float
    generator: np.random.Generator

    def __call__(self, features: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
        """Return the noisy spectrogram."""
        normal = self.generator.standard_normal(features.shape, np.float32)
        return with_white_noise(features, normal, self.decibels)


@dataclass(frozen=True)
class AstNoise:
    """Noise of one clip, see `with_ast_noise`; the generator is this clip's own and used once."""

    level: float
    shift: int
    generator: np.random.Generator

    def __call__(self, features: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
        """Return the noisy spectrogram."""
        uniform = self.generator.random(features.shape, np.float32)
        return with_ast_noise(features, uniform, self.level, self.shift)
