"""Which clips, which crops of them and which variations a batch holds: pure functions of seed and step.

Random numbers are counted, not drawn in turn (Philox), with a stream for each purpose: to roll or not changes
neither the order of the clips nor the offsets of their crops.
"""

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from hear_mwmae.errors import UserError

# Streams of random numbers of one seed.
ORDER_STREAM, CROP_STREAM, ROLL_STREAM, GAIN_STREAM = range(4)
# Training never runs out of batches; the training loop decides when to stop.
ENDLESS = 1 << 48
# Gains of waveforms are symmetric about 1: Beta(10, 10), from 0 to 1, moved by a half (released Audio-MAE).
GAIN_SHAPE, LOWEST_GAIN = 10.0, 0.5


class BatchPlan(Protocol):
    """Which clips and crops the batches of one host hold."""

    @property
    def steps(self) -> int:
        """Number of batches."""

    @property
    def crops(self) -> int:
        """Crops of each clip."""

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of this host's part of batch `step`, as indices into the clip set."""

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """First frames of the crops, each below the clip's entry in `choices`."""

    def starts(self, step: int, lengths: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Frames that come first where the clips are rolled, each below the clip's entry in `lengths`."""

    def gains(self, step: int) -> Float[np.ndarray, "clips crops"]:
        """Gains of the waveforms, 1 where they stay as they are."""


@dataclass(frozen=True)
class TrainingPlan:
    """Shuffled clips at random offsets, for ever; rolled and amplified at random where asked for."""

    clips: int
    batch_size: int
    crops: int
    seed: int
    process_index: int
    process_count: int
    roll: bool = False
    gain: bool = False

    def __post_init__(self) -> None:
        if self.batch_size % (self.crops * self.process_count):
            raise UserError(
                f"A batch of {self.batch_size} is no multiple of crops per clip x hosts ({self.crops} x "
                f"{self.process_count}); change --batch-size or --crops-per-clip."
            )
        if self.batches_per_epoch == 0:
            raise UserError(
                f"{self.clips} clips give {self.clips * self.crops} crops, too few for one batch of "
                f"{self.batch_size}: lower --batch-size or raise --crops-per-clip."
            )

    @property
    def steps(self) -> int:
        """More than any run takes."""
        return ENDLESS

    @property
    def clips_per_batch(self) -> int:
        """Clips of a batch over all hosts."""
        return self.batch_size // self.crops

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one pass over the clips."""
        return self.clips // self.clips_per_batch

    def _part(self) -> slice:
        """Share of this host in the clips of a batch; the hosts' shares lie one behind the other."""
        return part_of_host(self.clips_per_batch, self.process_index, self.process_count)

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of this host's part of batch `step`."""
        epoch, batch = divmod(step, self.batches_per_epoch)
        start = batch * self.clips_per_batch
        return epoch_order(self.clips, self.seed, epoch)[start : start + self.clips_per_batch][self._part()]

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Uniform over all valid offsets. Every host draws for the whole batch and takes its part."""
        return self._integers(CROP_STREAM, step, choices)

    def starts(self, step: int, lengths: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Uniform over all frames of a clip, for every crop anew; 0 without `roll`."""
        if not self.roll:
            return np.zeros((len(lengths), self.crops), np.int64)
        return self._integers(ROLL_STREAM, step, lengths)

    def gains(self, step: int) -> Float[np.ndarray, "clips crops"]:
        """Beta(10, 10) + 0.5, for every crop anew; 1 without `gain`."""
        shape = (self.clips_per_batch, self.crops)
        if not self.gain:
            return np.ones(shape)[self._part()]
        generator = counted_generator(self.seed, GAIN_STREAM, step)
        return LOWEST_GAIN + generator.beta(GAIN_SHAPE, GAIN_SHAPE, shape)[self._part()]

    def _integers(
        self, stream: int, step: int, choices: Int[np.ndarray, " clips"]
    ) -> Int[np.ndarray, "clips crops"]:
        """Uniform from 0 to below the clip's entry in `choices`, of this host's part of what is drawn."""
        generator = counted_generator(self.seed, stream, step)
        uniform = generator.random((self.clips_per_batch, self.crops))[self._part()]
        return (uniform * choices[:, None]).astype(np.int64)


@dataclass(frozen=True)
class ValidationPlan:
    """Every clip once, its centre crop."""

    clips: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Batches that hold every clip."""
        return -(-self.clips // self.batch_size)

    @property
    def crops(self) -> int:
        """One."""
        return 1

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of batch `step`."""
        return np.arange(step * self.batch_size, min((step + 1) * self.batch_size, self.clips))

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Offsets of the centre crops."""
        return (choices[:, None] - 1) // 2

    def starts(self, step: int, lengths: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Zeros: nothing is rolled."""
        return np.zeros((len(lengths), 1), np.int64)

    def gains(self, step: int) -> Float[np.ndarray, "clips crops"]:
        """Ones."""
        return np.ones((len(self.clips_of(step)), 1))


def part_of_host(rows: int, process_index: int, process_count: int) -> slice:
    """Share of a host in the rows of a batch; the hosts' shares lie one behind the other."""
    share = rows // process_count
    return slice(process_index * share, (process_index + 1) * share)


def counted_generator(seed: int, stream: int, number: int, row: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose (`stream`) in one step or epoch, or of one row of a batch."""
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, row, 0, stream]))


@functools.lru_cache(maxsize=4)
def epoch_order(clips: int, seed: int, epoch: int) -> Int[np.ndarray, " clips"]:
    """Order of the clips in an epoch."""
    return counted_generator(seed, ORDER_STREAM, epoch).permutation(clips)
