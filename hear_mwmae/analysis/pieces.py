"""A sound's spectrogram as the model reads it: normalised, in pieces of its input length; and back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from hear_mwmae.analysis.front_ends import SAMPLE_RATE
from hear_mwmae.analysis.masking import reflects
from hear_mwmae.analysis.trained import TrainedModel
from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.log_mel import SMALLEST_STD, STD_OFFSET, mean_and_std

LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / divisor."""

    mean: float
    divisor: float

    @classmethod
    def of(cls, config: ModelConfig, log_mel: Float[np.ndarray, "frames bands"]) -> "Normalisation":
        """Return that of the model's data, twice whose deviation divides, or else that of the clip."""
        if config.feature_std > 0:
            return cls(config.feature_mean, 2 * config.feature_std)
        mean, std = mean_and_std(log_mel)
        return cls(float(mean), float(std + STD_OFFSET))

    def apply(self, log_mel: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
        """Normalise."""
        return ((log_mel - self.mean) / self.divisor).astype(np.float32)

    def undo(self, features: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
        """Return log-mels."""
        return features * np.float32(self.divisor) + np.float32(self.mean)


def analyse(model: TrainedModel, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "frames bands"]:
    """Return the log-mels of a sound.

    Raises:
        UserError: it is too short, too long, or silent; the sentence says "is ...", the file not named.
    """
    front_end = model.front_end
    if len(samples) < front_end.shortest:
        raise UserError(
            f"has {len(samples)} samples at {SAMPLE_RATE} Hz, and one frame needs {front_end.shortest}."
        )
    if len(samples) > LONGEST_SECONDS * SAMPLE_RATE:
        raise UserError(f"is longer than {LONGEST_SECONDS} s, the most that is done at once; cut it.")
    log_mel = front_end.analyse(samples)
    if not samples.any() or log_mel.std(dtype=np.float64) < SMALLEST_STD:
        raise UserError("is silent: there is nothing that a model could reconstruct.")
    return log_mel


def cut(
    values: Shaped[np.ndarray, "frames width"], config: ModelConfig
) -> list[Shaped[np.ndarray, "piece width"]]:
    """Cut into pieces of the model's input length; the last one is filled up as pre-training does.

    With reflections where every clip has a mean of its own, else with zeros (that is, before normalising).
    """
    length = config.input_size[0]
    missing = ((0, -len(values) % length), (0, 0))
    filled = np.pad(values, missing, mode="reflect" if reflects(config) else "constant")
    return [filled[start : start + length] for start in range(0, len(filled), length)]


def real_columns(config: ModelConfig, frames: int) -> list[int]:
    """How many columns of every piece hold sound."""
    length, patch = config.input_size[0], config.patch_size[0]
    return [-(-min(length, frames - start) // patch) for start in range(0, frames, length)]


def stitch(
    pieces: Iterable[Shaped[np.ndarray, "piece bands"]], frames: int
) -> Shaped[np.ndarray, "frames bands"]:
    """Put pieces behind each other, without what the last one was filled up with."""
    return np.concatenate(list(pieces))[:frames]


def columns_with(
    marked: Bool[np.ndarray, " frames"], config: ModelConfig
) -> Sequence[Bool[np.ndarray, " columns"]]:
    """Which columns of every piece have a marked frame, or a reflection of one, in them."""
    pieces = cut(marked[:, None], config)
    return [np.any(piece.reshape(config.grid[0], -1), axis=1) for piece in pieces]
