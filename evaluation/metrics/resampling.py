"""Scores on resampled clips, for the bootstrap over test clips: clips are counted, not copied."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from evaluation.metrics.scenes import Scores, Target

Counts = Int[np.ndarray, "resamples clips"]
Draws = Float[np.ndarray, "clips resamples"]
Replicates = Float[np.ndarray, "resamples"]


def draw_clips(n_clips: int, n_resamples: int, seed: int) -> Counts:
    """Return how often every clip is in each resample: as many draws with replacement as there are clips."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=n_resamples)


def resampled_share(right: Bool[np.ndarray, " clips"], counts: Counts) -> Replicates:
    """Return the share of clips that are right, on every resample."""
    return counts @ right / counts.sum(1)


def resampled_map(target: Target, scores: Scores, counts: Counts) -> Replicates:
    """Return mAP on every resample: what `mean_average_precision` gives on clips so repeated."""
    drawn = np.ascontiguousarray(counts.T, dtype=np.float32)
    return np.mean([_average_precision(target[:, c], scores[:, c], drawn) for c in range(target.shape[1])], 0)


def _average_precision(
    target: Shaped[np.ndarray, " clips"], scores: Float[np.ndarray, " clips"], drawn: Draws
) -> Replicates:
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
