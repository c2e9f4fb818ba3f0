"""How much a score depends on which clips happen to be in the test part: a bootstrap over test clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evaluation.metrics.resampling import draw_clips
from evaluation.metrics.table import METRICS
from evaluation.results.predictions import prediction_path, read_predictions
from evaluation.results.score_table import SeedFits


def clip_replicates(
    seeds: Sequence[SeedFits], directories: Sequence[Path]
) -> tuple[Float[np.ndarray, " resamples"], int] | None:
    """Return a model's score on a task in every resample, and how many clips there are.

    `seeds` are the fits of all its seeds; the score is the mean over seeds and test parts, each part
    resampled by itself. The same clips are drawn for every model, so that differences are paired. None when
    predictions are not saved in `directories`, or for a metric that is not resampled. Raises
    EvaluationError, naming the file, for damaged predictions.
    """
    metric = METRICS.get(seeds[0].folds[0].primary)
    if metric is None or metric.resampled is None:
        return None
    parts, n_clips = [], 0
    for fold in range(len(seeds[0].folds)):
        replicates, counts = [], None
        for fits in seeds:
            path = _predictions_to_resample(fits, fold, directories)
            if path is None:
                return None
            saved = read_predictions(path)
            target, scores = saved["target"], saved["scores"]
            if counts is None:
                counts = draw_clips(len(target), metric.n_resamples, seed=fold)
            replicates.append(metric.resampled(target, scores, counts))
        assert counts is not None  # there is at least one seed
        n_clips += counts.shape[1]
        parts.append(np.mean(replicates, 0))
    return np.mean(parts, 0), n_clips


def _predictions_to_resample(fits: SeedFits, fold: int, directories: Sequence[Path]) -> Path | None:
    for directory in directories:
        path = prediction_path(directory, fits.model, fits.task, fits.folds[fold].key)
        if path.exists():
            return path
    return None
