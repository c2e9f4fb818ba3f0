"""Batches of features that are in memory already: what a linear probe trains on."""

import numpy as np
from jaxtyping import Float

from hear_mwmae.pretrain.data.loader import BatchIterator
from hear_mwmae.supervised.data.clips import multi_hot
from hear_mwmae.supervised.data.labels import LabelledData
from hear_mwmae.supervised.data.loader import Batch
from hear_mwmae.supervised.data.plans import LabelledPlan
from hear_mwmae.supervised.settings import SupervisedConfig


def feature_batches(
    data: LabelledData,
    config: SupervisedConfig,
    features: Float[np.ndarray, "clips size"],
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> BatchIterator[Batch]:
    """Iterate without end over a host's part of the training batches, in the order of `training_batches`.

    Args:
        data: labelled clips.
        config: says how they are sampled.
        features: of all training clips.
        process_index: this host.
        process_count: number of hosts.

    Raises:
        UserError: as `training_batches`.
    """
    plan = LabelledPlan(data, config, process_index, process_count)
    return BatchIterator(_FeatureSource(features, multi_hot(data.training, len(data.classes)), plan))


class _FeatureSource:
    """Random access to the batches of one host."""

    def __init__(
        self,
        features: Float[np.ndarray, "clips size"],
        targets: Float[np.ndarray, "clips classes"],
        plan: LabelledPlan,
    ) -> None:
        self._features, self._targets, self._plan = features, targets, plan

    def __len__(self) -> int:
        return self._plan.steps

    @property
    def batch_bytes(self) -> int:
        """Size of a whole batch of this host."""
        return self._plan.most_rows * (self._features[0].nbytes + self._targets[0].nbytes)

    def __getitem__(self, step: int) -> Batch:
        chosen = self._plan.clips_of(step)
        return Batch(self._features[chosen], self._targets[chosen])
