"""Masks that are asked for, in the form that the model takes: its configuration, and noise that decides."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hear_mwmae.config import MASKS, ModelConfig
from hear_mwmae.errors import UserError

# Figure 1 of Audio-MAE's supplement hides 70 %; its program's structured masks 70 % and 30 %.
DEFAULT_RATIO, DEFAULT_TIME, DEFAULT_FREQUENCY = 0.7, 0.7, 0.3
# Of a sure loser, beside uniform noise below 1.
HIDDEN_FIRST = 2.0


class UselessMask(UserError):
    """It hides nothing, or leaves nothing."""


@dataclass(frozen=True)
class MaskChoice:
    """What a mask hides: a share of the patches, or of the columns and bands."""

    kind: str = "random"
    ratio: float = DEFAULT_RATIO
    """Of the patches, for "random"."""
    time: float = 0.0
    """Of the columns."""
    frequency: float = 0.0
    """Of the bands."""

    def __str__(self) -> str:
        if self.kind == "random":
            return f"{100 * self.ratio:.4g} % of the patches at random"
        shares = {"time columns": self.time, "bands": self.frequency}
        return " and ".join(f"{100 * share:.4g} % of the {name}" for name, share in shares.items() if share)


@dataclass(frozen=True, eq=False)
class PieceMask:
    """The mask of one input of the model."""

    config: ModelConfig
    """The model's, with as many patches kept as the mask leaves."""
    noise: Float[np.ndarray, " draws"]
    """See `masks.make_mask`."""


def choose_mask(
    kind: str = "random",
    *,
    ratio: float | None = None,
    time: float | None = None,
    frequency: float | None = None,
) -> MaskChoice:
    """Make one mask of what was given of it.

    `ratio` is that of the patches. With "time" or "frequency" it is that of the columns or bands, which comes
    to the same; with "time+frequency" both axes have the ratio 1 - sqrt(1 - ratio), so that about that share
    of the patches is hidden.

    Raises:
        UserError: a kind that there is not, a ratio that the kind does not have, is there twice, or is not
            between 0 and 1.
    """
    if kind not in MASKS:
        raise UserError(f"--mask {kind!r} is unknown, use one of {', '.join(MASKS)}.")
    given = {"--mask-ratio": ratio, "--mask-time": time, "--mask-frequency": frequency}
    for option, value in given.items():
        if value is not None and not 0 < value < 1:
            raise UserError(f"{option} {value} is not between 0 and 1.")
        if value is not None and option.removeprefix("--mask-") not in ("ratio", *kind.split("+")):
            raise UserError(f"{option} has no meaning with --mask {kind}; leave it out.")
    if kind == "random":
        return MaskChoice(ratio=DEFAULT_RATIO if ratio is None else ratio)
    if ratio is not None:
        if time is not None or frequency is not None:
            raise UserError("--mask-ratio and the ratios of the axes exclude each other; give one kind.")
        time = frequency = ratio if "+" not in kind else 1 - math.sqrt(1 - ratio)
    axes = {
        "time": DEFAULT_TIME if time is None else time,
        "frequency": DEFAULT_FREQUENCY if frequency is None else frequency,
    }
    return MaskChoice(kind, 0.0, *(share if axis in kind.split("+") else 0.0 for axis, share in axes.items()))


def draw_mask(
    config: ModelConfig, choice: MaskChoice, real_columns: int, generator: np.random.Generator
) -> PieceMask:
    """Draw the mask of one piece.

    Where a short piece is continued by its own reflections, what is continued would show what the mask hides:
    those columns are hidden too, and the ratios are of the others. Rows of zeros show nothing, and are drawn
    like any column, as in training.

    Args:
        real_columns: those that hold sound.

    Raises:
        UselessMask: nothing is hidden, or nothing is left.
        UserError: the encoder's windows do not divide what is left.
    """
    columns, bands = config.grid
    drawn = real_columns if reflects(config) else columns
    if choice.kind == "random":
        noise = generator.random((columns, bands))
        noise[drawn:] = HIDDEN_FIRST
        hidden = round(choice.ratio * drawn * bands)
        if not 0 < hidden < drawn * bands:
            raise _useless(hidden, drawn * bands, "patches")
        hidden += (columns - drawn) * bands
        ratios = {"mask_ratio": _ratio(hidden, config.tokens)}
        return PieceMask(_masked(config, "random", ratios), noise.ravel())
    noises, ratios = [], {}
    for axis, share, count, free in (
        ("time", choice.time, columns, drawn),
        ("frequency", choice.frequency, bands, bands),
    ):
        noise = generator.random(count)
        noise[free:] = HIDDEN_FIRST
        noises.append(noise)
        if share:
            hidden = free - math.floor(free * (1 - share) + 1e-9)
            if not 0 < hidden < free:
                raise _useless(hidden, free, "columns" if axis == "time" else "bands")
            ratios[f"mask_{axis}_ratio"] = _ratio(hidden + count - free, count)
    return PieceMask(_masked(config, choice.kind, ratios), np.concatenate(noises))


def mask_columns(config: ModelConfig, hidden: Bool[np.ndarray, " columns"]) -> PieceMask:
    """Hide these columns.

    Raises:
        UserError: as `draw_mask` does.
    """
    count = int(hidden.sum())
    if not 0 < count < len(hidden):
        raise _useless(count, len(hidden), "columns")
    masked = _masked(config, "time", {"mask_time_ratio": _ratio(count, len(hidden))})
    return PieceMask(masked, np.concatenate([hidden.astype(np.float64), np.zeros(config.grid[1])]))


def reflects(config: ModelConfig) -> bool:
    """Whether short clips are continued by their reflections; else rows of 0 are put behind them.

    As pre-training does: the first where each clip has a mean and deviation of its own.
    """
    return config.feature_std == 0


def _ratio(hidden: int, count: int) -> float:
    """A ratio at which both ways of rounding, down and to the nearest, leave `count - hidden`."""
    return (hidden - 0.25) / count


def _masked(config: ModelConfig, kind: str, ratios: dict[str, Any]) -> ModelConfig:
    try:
        return dataclasses.replace(config, mask=kind, **ratios)
    except UserError:
        raise UserError(
            "The windows of this model's encoder do not divide the number of patches that the mask leaves; "
            "try another ratio."
        ) from None


def _useless(hidden: int, count: int, what: str) -> UselessMask:
    return UselessMask(f"The mask hides {hidden} of {count} {what}; choose a ratio that hides some of them.")
