"""Batches of what a model reads and what it shall say, out of labelled clips, on Grain.

One pure function of the step decides what a batch holds, so the global batches of a run are the same rows in
the same order whatever the number of hosts, worker processes and threads, and the position in the data is one
number. To make batches gives numpy's matrix products in a process one thread, for good.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from hear_mwmae.pretrain.data.loader import BatchIterator
from hear_mwmae.supervised.data.augment import mixed, rolled
from hear_mwmae.supervised.data.clips import ClipReader, Decoded, targets_of
from hear_mwmae.supervised.data.features import model_input
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.plans import EvaluationPlan, LabelledPlan, Plan, Row, Take
from hear_mwmae.supervised.settings import SupervisedConfig


class Batch(NamedTuple):
    """Rows of one host, both arrays float32."""

    features: Float[np.ndarray, "rows frames bands"]
    """Normalised spectrograms or pictures."""
    targets: Float[np.ndarray, "rows classes"]
    """1 for the classes of a clip, 0 for the others; of a mixture the mean, weighted by its shares."""


def training_batches(
    data: LabelledData,
    config: SupervisedConfig,
    *,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    threads: int | None = None,
) -> BatchIterator[Batch]:
    """Iterate without end over a host's part of the training batches.

    Host p of P holds rows [p B / P, (p + 1) B / P) of each batch of B. An epoch has
    `config.steps_per_epoch(epoch_clips(data, config))` of them.

    Args:
        data: labelled clips, of which `training` is used.
        config: says how clips are sampled and varied.
        process_index: this host.
        process_count: number of hosts.
        workers: processes that read ahead, 0 for none; each has `threads` threads.
        threads: batches that a process works on at once; see `BatchIterator`.

    Raises:
        UserError: a batch that the hosts do not divide, too few clips for one, or a sampling that the labels
            do not allow; while iterating, a clip that cannot be decoded.
    """
    plan = LabelledPlan(data, config, process_index, process_count)
    source = _LabelledSource(data.training, len(data.classes), config, plan)
    return BatchIterator(source, workers=workers, threads=threads)


def evaluation_batches(
    clips: Sequence[LabelledClip],
    classes: int,
    config: SupervisedConfig,
    batch_size: int,
    *,
    reader: ClipReader | None = None,
    threads: int | None = None,
) -> BatchIterator[Batch]:
    """Iterate once over clips in their order, none varied, the same on every host.

    The last batch holds what is left and may be smaller.

    Args:
        clips: what to evaluate on.
        classes: number of classes.
        config: says what the model reads.
        batch_size: rows of a batch.
        reader: one that is kept from pass to pass decodes small data once; by default a new one.
        threads: batches that are made at once; see `BatchIterator`.

    Raises:
        UserError: while iterating, a clip that cannot be decoded.
    """
    plan = EvaluationPlan(len(clips), batch_size)
    return BatchIterator(_LabelledSource(clips, classes, config, plan, reader), threads=threads)


@functools.cache
def _give_numpy_one_thread() -> None:
    """Once in a process: several would wait for each other longer than one works on a clip's filter bank.

    Besides, the last bit of a product may depend on their number, and so on the machine.
    """
    threadpool_limits(1, user_api="blas")


class _LabelledSource:
    """Random access to the batches of one host."""

    def __init__(
        self,
        clips: Sequence[LabelledClip],
        classes: int,
        config: SupervisedConfig,
        plan: Plan,
        reader: ClipReader | None = None,
    ) -> None:
        self._clips, self._classes, self._model, self._plan = clips, classes, config.model, plan
        self._shape = config.frames, config.model.input_size[1]
        self._reader = reader or ClipReader(config.model.front_end)

    def __len__(self) -> int:
        return self._plan.steps

    @property
    def batch_bytes(self) -> int:
        """Size of a whole batch of this host."""
        frames, bands = self._shape
        return self._plan.most_rows * (frames * bands + self._classes) * np.dtype(np.float32).itemsize

    def __getitem__(self, step: int) -> Batch:
        _give_numpy_one_thread()
        rows = self._plan.rows_of(step)
        features = np.empty((len(rows), *self._shape), np.float32)
        targets = np.empty((len(rows), self._classes), np.float32)
        for number, row in enumerate(rows):
            features[number], targets[number] = self._features(row), self._targets(row)
        return Batch(features, targets)

    def _features(self, row: Row) -> Float[np.ndarray, "frames bands"]:
        decoded = self._varied(row.first)
        if row.second:
            decoded = mixed(decoded, self._varied(row.second), row.share)
        features = model_input(decoded, self._model, row.hiding, frames=self._shape[0])
        return row.noise(features) if row.noise else features

    def _varied(self, take: Take) -> Decoded:
        decoded = self._reader.read(self._clips[take.clip])
        if take.start:
            decoded = rolled(decoded, take.start)
        return decoded if take.gain == 1 else np.float32(take.gain) * decoded

    def _targets(self, row: Row) -> Float[np.ndarray, " classes"]:
        targets = targets_of(self._clips[row.first.clip].labels, self._classes)
        if row.second:
            others = targets_of(self._clips[row.second.clip].labels, self._classes)
            targets = row.share * targets + (1 - row.share) * others
        return targets
