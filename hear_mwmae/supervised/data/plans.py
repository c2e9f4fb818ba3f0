"""Which clips a batch has and which random numbers vary them: pure functions of seed and step.

Random numbers are counted, with a stream for each purpose, as in pre-training: to switch one augmentation on
or off changes no other's draws, and hosts, worker processes and threads change none.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.batch_plans import (
    ENDLESS,
    GAIN_SHAPE,
    LOWEST_GAIN,
    ValidationPlan,
    counted_generator,
    part_of_host,
)
from hear_mwmae.supervised.data.augment import AstNoise, Hiding, WhiteNoise
from hear_mwmae.supervised.data.labels import LabelledData
from hear_mwmae.supervised.data.sampling import EpochOrders
from hear_mwmae.supervised.settings import SupervisedConfig

(
    ROLL_STREAM, GAIN_STREAM, MIXUP_STREAM, PARTNER_STREAM, SHARE_STREAM, HIDING_STREAM, CELL_STREAM,
    LEVEL_STREAM, SHIFT_STREAM,
) = range(2, 11)  # fmt: skip
"""Streams of random numbers of one seed; the first two are of `sampling`."""
# AST's roll of the noisy spectrogram, in frames: from the first to below the second.
SHIFTS = (-10, 10)


@dataclass(frozen=True)
class Take:
    """One use of a clip."""

    clip: int
    """Position in the plan's clips."""
    start: float = 0.0
    """Share of its length at which the rolled waveform begins."""
    gain: float = 1.0


@dataclass(frozen=True)
class Row:
    """One row of a batch."""

    first: Take
    second: Take | None = None
    """What it is mixed with."""
    share: float = 1.0
    """Of the first in the mixture."""
    hiding: Hiding | None = None
    noise: WhiteNoise | AstNoise | None = None


class Plan(Protocol):
    """What the batches of one host hold."""

    @property
    def steps(self) -> int:
        """Number of batches."""

    @property
    def most_rows(self) -> int:
        """Rows of a whole batch."""

    def rows_of(self, step: int) -> list[Row]:
        """Rows of this host's part of batch `step`."""


class LabelledPlan:
    """Training clips of one host, for ever; every epoch draws and shuffles them anew.

    Host p of P holds rows [p B / P, (p + 1) B / P) of each batch of B. What fills no batch is left out.

    Raises:
        UserError: what `epoch_clips` and `steps_per_epoch` raise, or a batch that the hosts do not divide.
    """

    def __init__(
        self, data: LabelledData, config: SupervisedConfig, process_index: int, process_count: int
    ) -> None:
        if config.batch_size % process_count:
            raise UserError(
                f"A batch of {config.batch_size} is no multiple of the {process_count} hosts; change "
                "--batch-size."
            )
        self.clips, self.config = len(data.training), config
        self._orders = EpochOrders(data, config)
        self.steps_per_epoch = config.steps_per_epoch(self._orders.clips)
        self._part = part_of_host(config.batch_size, process_index, process_count)

    @property
    def steps(self) -> int:
        """More than any run takes."""
        return ENDLESS

    @property
    def most_rows(self) -> int:
        """Rows of a batch on this host."""
        return self._part.stop - self._part.start

    def clips_of(self, step: int) -> Int[np.ndarray, " rows"]:
        """Clips of this host's part of batch `step`."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        start = batch * self.config.batch_size
        return self._orders.of(epoch)[start : start + self.config.batch_size][self._part]

    def rows_of(self, step: int) -> list[Row]:
        """Rows of this host's part of batch `step`; every host draws for the whole batch."""
        takes, shares = self._takes(step), self._shares(step)
        hidings, noises = self._hidings(step), self._noises(step)
        return [
            Row(first, second if share < 1 else None, share, hiding, noise)
            for (first, second), share, hiding, noise in zip(takes, shares, hidings, noises, strict=True)
        ]

    def _generator(self, stream: int, step: int, row: int = 0) -> np.random.Generator:
        return counted_generator(self.config.seed, stream, step, row)

    def _takes(self, step: int) -> list[tuple[Take, Take]]:
        """Each row's clip and the one that it may be mixed with: any training clip, itself included.

        Both are rolled and amplified, by draws of their own.
        """
        pairs = (self.config.batch_size, 2)
        partners = self._generator(PARTNER_STREAM, step).integers(self.clips, size=pairs[0])
        clips = np.stack([self.clips_of(step), partners[self._part]], axis=1)
        starts, gains = np.zeros(clips.shape), np.ones(clips.shape)
        if self.config.roll:
            starts = self._generator(ROLL_STREAM, step).random(pairs)[self._part]
        if self.config.gain:
            drawn = self._generator(GAIN_STREAM, step).beta(GAIN_SHAPE, GAIN_SHAPE, pairs)
            gains = LOWEST_GAIN + drawn[self._part]
        firsts, seconds = (
            map(Take, clips[:, which].tolist(), starts[:, which].tolist(), gains[:, which].tolist())
            for which in (0, 1)
        )
        return list(zip(firsts, seconds, strict=True))

    def _shares(self, step: int) -> list[float]:
        """Beta(shape, shape) where a row is a mixture, else 1."""
        size, shape = self.config.batch_size, self.config.mixup_shape
        mixtures = self._generator(MIXUP_STREAM, step).random(size) < self.config.mixup
        shares = self._generator(SHARE_STREAM, step).beta(shape, shape, size)
        return np.where(mixtures, shares, 1.0)[self._part].tolist()

    def _hidings(self, step: int) -> list[Hiding | None]:
        bands, frames = self.config.specaug_bands, self.config.specaug_frames
        if not (bands or frames):
            return [None] * self.most_rows
        draws = self._generator(HIDING_STREAM, step).random((self.config.batch_size, 4), np.float32)
        return [Hiding(bands, frames, of_row) for of_row in draws[self._part]]

    def _noises(self, step: int) -> list[WhiteNoise | AstNoise | None]:
        """Each row has a generator of its own, so that no host draws the cells of another one's rows."""
        if not (self.config.noise_db or self.config.ast_noise):
            return [None] * self.most_rows
        rows = range(self._part.start, self._part.stop)
        cells = [self._generator(CELL_STREAM, step, row) for row in rows]
        if not self.config.ast_noise:
            return [WhiteNoise(self.config.noise_db, generator) for generator in cells]
        size = self.config.batch_size
        levels = self._generator(LEVEL_STREAM, step).random(size)[self._part].tolist()
        shifts = self._generator(SHIFT_STREAM, step).integers(*SHIFTS, size)[self._part].tolist()
        return [AstNoise(*of_row) for of_row in zip(levels, shifts, cells, strict=True)]


class EvaluationPlan(ValidationPlan):
    """Every clip once, in order and as it is; the last batch holds what is left."""

    @property
    def most_rows(self) -> int:
        """Rows of the largest batch."""
        return min(self.clips, self.batch_size)

    def rows_of(self, step: int) -> list[Row]:
        """Rows of batch `step`."""
        return [Row(Take(clip)) for clip in self.clips_of(step).tolist()]
