"""From a decoded clip to what a model reads: spectrogram, length, hidden parts, normalisation."""

import numpy as np
from jaxtyping import Float

from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.data.crops import Normalisation, continued, normalise
from hear_mwmae.pretrain.data.log_mel import mean_and_std
from hear_mwmae.pretrain.data.sources import FRONT_ENDS
from hear_mwmae.supervised.data.augment import Hiding
from hear_mwmae.supervised.data.clips import Decoded


def model_input(
    decoded: Decoded, model: ModelConfig, hiding: Hiding | None = None, *, frames: int | None = None
) -> Float[np.ndarray, "frames bands"]:
    """Return the first so many frames of a clip's normalised spectrogram.

    A model with the mean and deviation of a data set gets a short clip filled up with rows of 0 before it is
    normalised, as in Audio-MAE. For another one the clip is continued by its own reflections and standardised
    by the mean and population deviation of all of it, as in pre-training; pictures likewise.

    Args:
        decoded: waveform at 16 kHz, or the values of a picture for a model that reads pictures.
        model: says front end and normalisation.
        hiding: SpecAugment, which fills with 0 before the normalisation, as Audio-MAE's program does. Where
            each clip is standardised by itself it fills with the clip's mean, which is 0 after it: a 0 of log
            power would be as loud as sound gets, by an amount that differs from clip to clip.
        frames: how many; None for `model.input_size[0]`.
    """
    frames = model.input_size[0] if frames is None else frames
    front_end = FRONT_ENDS.get(model.front_end)
    spectrogram = front_end(decoded) if front_end else decoded
    mean, std = mean_and_std(spectrogram)
    normalisation = Normalisation.of(model)
    features = np.zeros((frames, model.input_size[1]), np.float32)
    taken = (spectrogram if normalisation else continued(spectrogram, frames))[:frames]
    features[: len(taken)] = taken
    if hiding:
        hiding(features, 0.0 if normalisation else float(mean))
    normalise(features, normalisation, float(mean), float(std))
    return features
