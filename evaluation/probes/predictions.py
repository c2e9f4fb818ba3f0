"""What is kept of one fit's answers: arrays by name. It stands by itself, so that no reader loads torch."""

from typing import NotRequired, TypedDict

import numpy as np


class Predictions(TypedDict):
    """The answers for the test part's rows: clips, or the frames of clips in a task of events.

    Frames also have `timestamps` (ms); file f has the frames boundaries[f] to boundaries[f + 1] - 1.
    """

    files: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    target: np.ndarray
    timestamps: NotRequired[np.ndarray]
    boundaries: NotRequired[np.ndarray]
