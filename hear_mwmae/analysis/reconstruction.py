"""What a model puts in place of masked cells of a spectrogram (Audio-MAE's supplement, Figure 1)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from hear_mwmae.analysis.front_ends import FrontEnd
from hear_mwmae.analysis.inversion import power_of, sound_of, visible_share
from hear_mwmae.analysis.masking import MaskChoice, UselessMask, draw_mask
from hear_mwmae.analysis.measures import DB_PER_NEPER
from hear_mwmae.analysis.pieces import Normalisation, analyse, cut, real_columns, stitch
from hear_mwmae.analysis.trained import TrainedModel, predict
from hear_mwmae.errors import UserError


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A spectrogram before and after, as log-mels."""

    original: Float[np.ndarray, "frames bands"]
    masked: Bool[np.ndarray, "frames bands"]
    """Which cells the model did not see."""
    output: Float[np.ndarray, "frames bands"]
    """The original with its masked cells as the model predicts them."""

    @property
    def hidden(self) -> float:
        """Share of the masked cells."""
        return float(self.masked.mean())

    @property
    def error_db(self) -> float:
        """Root of the mean square error of the masked cells."""
        error = (self.output - self.original)[self.masked].astype(np.float64)
        return DB_PER_NEPER * float(np.sqrt(np.square(error).mean()))


def reconstruct(
    model: TrainedModel, samples: Float[np.ndarray, " samples"], choice: MaskChoice, *, seed: int = 0
) -> Reconstruction:
    """Mask a sound's spectrogram piece by piece, and let the model fill it.

    A rest that is too short for the mask, behind the first piece, stays as it is.

    Args:
        samples: sound at 16 kHz.
        seed: of the masks.

    Raises:
        UserError: a sound that is too short, too long or silent, or a mask that hides all or nothing of it.
    """
    config, generator = model.config, np.random.default_rng(seed)
    original = analyse(model, samples)
    normalisation = Normalisation.of(config, original)
    pieces = map(normalisation.apply, cut(original, config))
    predictions: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for piece, columns in zip(pieces, real_columns(config, len(original)), strict=True):
        try:
            prediction, masked = predict(model, piece, draw_mask(config, choice, columns, generator))
        except UselessMask:
            if not masks:
                raise
            prediction, masked = piece, np.zeros(piece.shape, bool)
        predictions.append(normalisation.undo(prediction))
        masks.append(masked)
    masked = stitch(masks, len(original))
    if masked.all() or not masked.any():
        what = "all" if masked.all() else "nothing"
        raise UserError(f"is so short that the mask hides {what} of it; choose another --seed or ratio.")
    output = np.where(masked, stitch(predictions, len(original)), original)
    return Reconstruction(original, masked, output)


def sounds_of(
    reconstruction: Reconstruction, front_end: FrontEnd, samples: int, *, seed: int = 0
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """Return what is left of the sound under the mask, and the reconstruction, both without true phases."""
    original, output = (
        power_of(front_end.mel_power(log_mel), front_end.filters)
        for log_mel in (reconstruction.original, reconstruction.output)
    )
    left = original * visible_share(~reconstruction.masked, front_end.filters)
    return sound_of(left, front_end, samples, seed=seed), sound_of(output, front_end, samples, seed=seed)
