"""One crop of a clip as a model reads it: taken from its record, varied, filled up and normalised."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float16, Int, Shaped

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.data.log_mel import STD_OFFSET
from hear_mwmae.pretrain.data.records import DecodedClip, check_finite

# Of a float16 widened to 32 bits: its one sign, 5 bits of exponent, 10 of fraction.
SIGN_EXPONENT_FRACTION = np.uint32(0x8FFFE000).astype(np.int32)
EXPONENT_CORRECTION = np.float32(2.0 ** (127 - 15))
# Log power of silence in both front ends of sound; stored it is half a step of float16 lower.
FLOOR = np.log(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / (2 std) with the mean and deviation of a data set: deviation 0.5, as in Audio-MAE."""

    mean: float
    std: float

    @classmethod
    def of(cls, model: ModelConfig) -> "Normalisation | None":
        """Return that of a model; None for one that standardises each clip by its own mean and deviation."""
        return cls(model.feature_mean, model.feature_std) if model.feature_std > 0 else None


@dataclass(frozen=True)
class Variation:
    """How a clip is changed before it is cropped or filled up."""

    start: int = 0
    """Frame that comes first: the clip is rolled, so that what lies before it follows the clip's end.

    Audio-MAE's supplement rolls the waveform. On stored spectrograms that is the same but for the seam: the
    two or three frames that would lie across it are missing."""
    gain: float = 1.0
    """Of the waveform: log power rises by 2 ln gain. Nothing falls below the floor of silence, and what
    lies there stays."""


UNCHANGED = Variation()


def write_crop(
    clip: DecodedClip,
    first: int,
    out: Float[np.ndarray, "frames bands"],
    normalisation: Normalisation | None = None,
    variation: Variation = UNCHANGED,
) -> None:
    """Write a crop, from frame `first` of the varied clip, into `out`, as the model reads it.

    Without a `normalisation` the crop is standardised by the mean and deviation of the whole clip, known from
    its record, and a clip shorter than it is continued by its own reflections. With one, such a clip is
    filled up with rows of 0 before it is normalised, as in Audio-MAE: a filled cell becomes -mean / (2 std),
    on AudioSet +0.467, louder than silence. Only the crop is converted to float32.

    Raises:
        ValueError: the clip has other bands than `out`, or the crop is not finite.
    """
    frames, wanted = len(clip.log_mel), len(out)
    if clip.log_mel.shape[1] != out.shape[1]:
        raise ValueError(f"{clip.log_mel.shape[1]} bands, not {out.shape[1]}")
    values = _frames_from(clip.log_mel, first, min(frames, wanted), variation.start)
    if normalisation is None:
        values = continued(values, wanted)
    check_finite(values)
    real = out[: len(values)]
    widen(values, real)
    if variation.gain != 1:
        amplify(real, variation.gain)
    out[len(values) :] = 0
    normalise(out, normalisation, clip.mean, clip.std)


def normalise(
    values: Float[np.ndarray, "frames bands"], normalisation: Normalisation | None, mean: float, std: float
) -> None:
    """Normalise in place, or without a `normalisation` by the mean and population deviation of the clip.

    Its own deviation of 0, that of a constant clip, makes all values 0.
    """
    if normalisation is None and std == 0:
        values[...] = 0
        return
    divisor = np.float32(std) + STD_OFFSET
    if normalisation:
        mean, divisor = normalisation.mean, np.float32(2 * normalisation.std)
    values -= np.float32(mean)
    values /= divisor


def _frames_from(
    values: Float16[np.ndarray, "frames bands"], first: int, count: int, start: int
) -> Float16[np.ndarray, "count bands"]:
    """Frames `first`, `first` + 1, ... of values that are rolled to begin with frame `start`."""
    if start == 0:
        return values[first : first + count]
    return values.take(np.arange(start + first, start + first + count), axis=0, mode="wrap")


def amplify(log_power: Float[np.ndarray, "frames bands"], gain: float) -> None:
    """Apply a gain of the waveform to log power, in place; see `Variation`."""
    louder = np.maximum(log_power + np.float32(2 * np.log(gain)), FLOOR)
    log_power[...] = np.where(log_power > FLOOR, louder, log_power)


def widen(values: Float16[np.ndarray, "*shape"], out: Float[np.ndarray, "*shape"]) -> None:
    """Write finite float16 values as float32: the conversion of numpy, exactly, in a third of its time.

    Sign, exponent and fraction move to their places as integers; the product corrects the exponent's bias.
    """
    bits = out.view(np.int32)
    np.left_shift(values.view(np.int16), 13, out=bits, dtype=np.int32)
    # The sign was copied into the bits above the exponent, where only one of them belongs.
    bits &= SIGN_EXPONENT_FRACTION
    out *= EXPONENT_CORRECTION


def continued(values: Shaped[np.ndarray, "frames bands"], wanted: int) -> Shaped[np.ndarray, "more bands"]:
    """Continue a clip of fewer than `wanted` frames by its own reflections; a longer one stays whole."""
    if len(values) >= wanted:
        return values
    return values[reflected_positions(len(values), wanted)]


def reflected_positions(frames: int, wanted: int) -> Int[np.ndarray, " wanted"]:
    """Positions 0 .. frames - 1, then back and forth, ends not repeated, as embedding fills its chunks."""
    period = max(1, 2 * (frames - 1))
    position = np.arange(wanted) % period
    return np.minimum(position, period - position)
