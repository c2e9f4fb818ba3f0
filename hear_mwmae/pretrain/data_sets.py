"""The clips that a run trains on, is validated on and paints."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.loader import ClipSet, load_clips, validation_batches
from hear_mwmae.pretrain.settings import TrainConfig

Batch = Float[np.ndarray, "crops frames bands"]


@dataclass(frozen=True)
class DataSets:
    """Prepared data as one run uses it."""

    training: ClipSet
    validation: ClipSet | None

    @property
    def content_hash(self) -> str:
        """Of the whole prepared data, which `data_fraction` then takes a share of."""
        return self.training.manifest.content_sha256

    def picture_clips(self, frames: int, count: int) -> Batch:
        """Return the first clips held out, or without any the first to train on."""
        return next(whole_pass(self.validation or self.training, frames, count))


def load_data_sets(config: TrainConfig, data: Path, validation: Path | None = None) -> DataSets:
    """Read which clips there are.

    Raises:
        UserError: a folder that holds no usable prepared data, or data of another front end than the model's.
    """
    training = load_clips(data, data_fraction=config.data_fraction)
    held_out = load_clips(validation) if validation else None
    for folder, clips in ((data, training), (validation, held_out)):
        if clips and clips.manifest.front_end != config.model.front_end:
            raise UserError(
                f"{folder}: was prepared with the front end {clips.manifest.front_end}, and the model needs "
                f"{config.model.front_end}; prepare it again."
            )
    return DataSets(training, held_out)


def whole_pass(clips: ClipSet, frames: int, batch_size: int) -> Iterator[Batch]:
    """Yield the centre crops of all clips once, and end the reading threads when the caller stops."""
    with contextlib.closing(validation_batches(clips, frames=frames, batch_size=batch_size)) as batches:
        yield from batches
