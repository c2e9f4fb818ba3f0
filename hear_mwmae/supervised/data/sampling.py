"""Which clips an epoch takes, and in which order: each once, by the weights of classes, or balanced."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.batch_plans import counted_generator
from hear_mwmae.supervised.data.labels import LabelledData
from hear_mwmae.supervised.settings import SupervisedConfig

# Streams of random numbers of one seed; those from 2 on are of `plans`.
ORDER_STREAM, SAMPLING_STREAM = range(2)
# A class's weight is WEIGHT / (clips of it + OFFSET), as in the program of Audio-MAE (and of AST).
WEIGHT, OFFSET = 1000.0, 0.01


def class_counts(labels: Sequence[tuple[int, ...]]) -> Int[np.ndarray, " classes"]:
    """Count the clips of every class, up to the last class that there is a clip of."""
    return np.bincount(_in_a_row(labels))


def clip_weights(labels: Sequence[tuple[int, ...]]) -> Float[np.ndarray, " clips"]:
    """Sum 1000 / (clips of the class + 0.01) over the classes of each clip; 0 for a clip without any.

    Supplement of Audio-MAE, appendix B; the numbers are those of its program.
    """
    of_class = WEIGHT / (class_counts(labels) + OFFSET)
    clips = np.repeat(np.arange(len(labels)), [len(of_clip) for of_clip in labels])
    return np.bincount(clips, of_class[_in_a_row(labels)], minlength=len(labels))


def _in_a_row(labels: Sequence[tuple[int, ...]]) -> Int[np.ndarray, " labels"]:
    return np.fromiter(itertools.chain.from_iterable(labels), np.int64)


def drawn_without_replacement(
    weights: Float[np.ndarray, " clips"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """Draw clips one after another, each in proportion to its weight among those left, in this order.

    By Gumbel's trick: the largest of log weight + Gumbel noise, largest first, have that distribution. Those
    of weight 0 come last.
    """
    with np.errstate(divide="ignore"):
        keys = np.log(weights) + generator.gumbel(size=len(weights))
    return np.argsort(-keys)[:count]


def balanced(
    labels: Sequence[tuple[int, ...]], generator: np.random.Generator
) -> Int[np.ndarray, " repeated"]:
    """Repeat the clips of each class up to half of the largest class's count, rounded down, in class order.

    Whole copies, then a random part of one. A class that has as many already stays as it is (supplement of
    Audio-MAE: Speech Commands v1). Every clip has one label.
    """
    of_clip = np.array([label for (label,) in labels])
    target = class_counts(labels).max() // 2
    parts = []
    for label in np.unique(of_clip):
        clips = np.flatnonzero(of_clip == label)
        copies, rest = divmod(max(target, len(clips)), len(clips))
        parts += [np.tile(clips, copies), generator.permutation(clips)[:rest]]
    return np.concatenate(parts)


def epoch_clips(data: LabelledData, config: SupervisedConfig) -> int:
    """Return how many clips one epoch takes, those that fill no batch included.

    Raises:
        UserError: `sampling` that the labels do not allow, or more clips than there are to draw.
    """
    labels = [clip.labels for clip in data.training]
    if labels and config.sampling == "balanced":
        if any(len(of_clip) != 1 for of_clip in labels):
            raise UserError(
                "The sampling 'balanced' repeats classes, and clips of these data have several labels or "
                "none; take 'weighted'."
            )
        counts = class_counts(labels)
        return int(np.maximum(counts[counts > 0], counts.max() // 2).sum())
    if config.sampling == "weighted":
        labelled = sum(map(bool, labels))
        if config.clips_per_epoch > labelled:
            raise UserError(
                f"clips_per_epoch {config.clips_per_epoch} is beyond the {labelled} clips with labels, which "
                "are drawn without replacement; lower it, or set 0 for all."
            )
        return config.clips_per_epoch or labelled
    return len(labels)


class EpochOrders:
    """The clips of every epoch, drawn and shuffled anew for each; hosts and processes find the same.

    Raises:
        UserError: what `epoch_clips` raises.
    """

    def __init__(self, data: LabelledData, config: SupervisedConfig) -> None:
        self.sampling, self.seed = config.sampling, config.seed
        self.labels = [clip.labels for clip in data.training]
        self.clips = epoch_clips(data, config)
        weighted = self.clips and self.sampling == "weighted"
        self.weights = clip_weights(self.labels) if weighted else np.zeros(0)

    def of(self, epoch: int) -> Int[np.ndarray, " clips"]:
        """Return the clips as positions in the training clips.

        The order is uniformly random: clips of large weight are drawn first, but do not come first.
        """
        return _order(self, epoch)


@functools.lru_cache(maxsize=4)
def _order(orders: EpochOrders, epoch: int) -> Int[np.ndarray, " clips"]:
    generator = counted_generator(orders.seed, SAMPLING_STREAM, epoch)
    chosen = np.arange(len(orders.labels))
    if orders.sampling == "weighted":
        chosen = drawn_without_replacement(orders.weights, orders.clips, generator)
    elif orders.sampling == "balanced":
        chosen = balanced(orders.labels, generator)
    return counted_generator(orders.seed, ORDER_STREAM, epoch).permutation(chosen)
