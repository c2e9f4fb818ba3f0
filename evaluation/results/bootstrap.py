"""How much a score depends on which clips happen to be in the test part: a bootstrap over test clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from evaluation.results.predictions import prediction_path, read_predictions
from evaluation.results.results import SeedFits

N_RESAMPLES = 1000
N_RESAMPLES_MAP = 200

ACCURACIES: Mapping[str, int | None] = {"top1_acc": None, "pitch_acc": None, "chroma_acc": 12}
"""Scores that are a share of clips; a number is what the classes are compared modulo."""

Counts = Int[np.ndarray, "resamples clips"]
Draws = Float[np.ndarray, "clips resamples"]


def draw_clips(n_clips: int, n_resamples: int, seed: int) -> Counts:
    """Return how often every clip is in each resample: as many draws with replacement as there are clips."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=n_resamples)


def resampled_score(
    metric: str,
    target: Shaped[np.ndarray, "clips classes"],
    scores: Float[np.ndarray, "clips classes"],
    counts: Counts,
) -> Float[np.ndarray, "resamples"]:
    """Return an accuracy or mAP on every resample: what `metrics.scenes` gives on clips so repeated."""
    if metric in ACCURACIES:
        true, guess = target.argmax(1), scores.argmax(1)
        if modulus := ACCURACIES[metric]:
            true, guess = true % modulus, guess % modulus
        return counts @ (true == guess) / counts.sum(1)
    drawn = np.ascontiguousarray(counts.T, dtype=np.float32)
    return np.mean([_average_precision(target[:, c], scores[:, c], drawn) for c in range(target.shape[1])], 0)


def _average_precision(
    target: Shaped[np.ndarray, "clips"], scores: Float[np.ndarray, "clips"], drawn: Draws
) -> Float[np.ndarray, "resamples"]:
    """Return one class's average precision on every resample; equal scores share a threshold.

    Only the thresholds of positive clips count, so clips are summed up between those.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], np.flatnonzero(target[order])
    if not len(positive):
        return np.zeros(drawn.shape[1])
    last = np.searchsorted(-ranked, -ranked[positive], side="right")  # one past the tie's last clip
    ends, which = np.unique(last, return_inverse=True)
    blocks = np.add.reduceat(drawn[order[: ends[-1]]], np.concatenate([[0], ends[:-1]]), axis=0)
    seen = blocks.cumsum(0)[which]
    hits = drawn[order[positive]]
    found = hits.cumsum(0)[np.searchsorted(positive, last) - 1]
    return (hits * found / np.maximum(seen, 1)).sum(0) / np.maximum(hits.sum(0), 1)


def clip_replicates(
    seeds: Sequence[SeedFits], directories: Sequence[Path]
) -> tuple[Float[np.ndarray, "resamples"], int] | None:
    """Return a model's score on a task in every resample, and how many clips there are.

    `seeds` are the fits of all its seeds; the score is the mean over seeds and test parts, each part
    resampled by itself. The same clips are drawn for every model, so that differences are paired. None when
    predictions are not saved in `directories`, or for scores other than accuracies and mAP. Raises
    EvaluationError, naming the file, for damaged predictions.
    """
    metric = seeds[0].folds[0].primary
    if metric not in ACCURACIES and metric != "mAP":
        return None
    n_resamples = N_RESAMPLES_MAP if metric == "mAP" else N_RESAMPLES
    parts, n_clips = [], 0
    for fold in range(len(seeds[0].folds)):
        replicates, counts = [], None
        for fits in seeds:
            path = _prediction_file(fits, fold, directories)
            if path is None:
                return None
            saved = read_predictions(path)
            target, scores = saved["target"], saved["scores"]
            if counts is None:
                counts = draw_clips(len(target), n_resamples, seed=fold)
            replicates.append(resampled_score(metric, target, scores, counts))
        n_clips += counts.shape[1]
        parts.append(np.mean(replicates, 0))
    return np.mean(parts, 0), n_clips


def _prediction_file(fits: SeedFits, fold: int, directories: Sequence[Path]) -> Path | None:
    for directory in directories:
        path = prediction_path(directory, fits.model, fits.task, fits.folds[fold].key)
        if path.exists():
            return path
    return None
