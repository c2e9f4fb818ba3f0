"""The clips that a run trains on, is validated on and paints."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.content import CheckedContent
from hear_mwmae.pretrain.data.crops import Normalisation
from hear_mwmae.pretrain.data.loader import ClipSet, load_clips, validation_batches
from hear_mwmae.pretrain.hosts import on_any_host
from hear_mwmae.pretrain.settings import TrainConfig

Batch = Float[np.ndarray, "crops frames bands"]


@dataclass
class DataSets:
    """Prepared data as one run uses it."""

    training: ClipSet
    validation: ClipSet | None
    normalisation: Normalisation | None
    """The model's; None where each clip is standardised by its own mean and deviation."""
    _checked: list[CheckedContent] = field(default_factory=list)

    @property
    def content_hash(self) -> str:
        """Of the whole prepared data, which `data_fraction` then takes a share of."""
        return self.training.manifest.content_sha256

    def check_content(self) -> None:
        """Read all shards once, on the first host, and compare them with the manifest that a run names.

        Raises:
            UserError: they are not what was prepared.
        """
        self._checked = _on_first_host(lambda: [CheckedContent(clips.manifest) for clips in self._sets()])

    def check_unchanged(self) -> None:
        """Find a shard that was written to since `check_content`.

        Raises:
            UserError: there is one.
        """

        def check() -> list[CheckedContent]:
            for content in self._checked:
                content.check_unchanged()
            return self._checked

        _on_first_host(check)

    def _sets(self) -> list[ClipSet]:
        return [clips for clips in (self.training, self.validation) if clips]

    def picture_clips(self, frames: int, count: int) -> Batch:
        """Return the first clips held out, or without any the first to train on."""
        return next(whole_pass(self.validation or self.training, frames, count, self.normalisation))


def load_data_sets(config: TrainConfig, data: Path, validation: Path | None = None) -> DataSets:
    """Read which clips there are.

    Raises:
        UserError: a folder that holds no usable prepared data, or data of another front end than the model's.
    """
    training = load_clips(data, data_fraction=config.data_fraction)
    loaded, held_out = [(data, training)], None
    if validation:
        held_out = load_clips(validation)
        loaded.append((validation, held_out))
    for folder, clips in loaded:
        if clips.manifest.front_end != config.model.front_end:
            raise UserError(
                f"{printable(folder)}: was prepared with the front end {clips.manifest.front_end}, and the "
                f"model needs {config.model.front_end}; prepare it again."
            )
    return DataSets(training, held_out, Normalisation.of(config.model))


def whole_pass(
    clips: ClipSet, frames: int, batch_size: int, normalisation: Normalisation | None = None
) -> Iterator[Batch]:
    """Yield the centre crops of all clips once, and end the reading threads when the caller stops."""
    with contextlib.closing(
        validation_batches(clips, frames=frames, batch_size=batch_size, normalisation=normalisation)
    ) as batches:
        yield from batches


def _on_first_host(work: Callable[[], list]) -> list:
    """Let one host look at the files that all share; what it finds wrong ends the others too."""
    found, problem = [], None
    if jax.process_index() == 0:
        try:
            found = work()
        except (UserError, OSError) as error:
            problem = error
    if on_any_host(problem is not None):
        raise problem or UserError("The first host found the prepared data damaged; it says where.")
    return found
