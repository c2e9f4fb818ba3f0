"""The bootstrap over test clips against the metrics on clips repeated by hand, and against scipy's."""

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.resampling import draw_clips
from evaluation.metrics.table import METRICS


@pytest.mark.parametrize("metric", ["top1_acc", "pitch_acc", "chroma_acc", "mAP"])
def test_a_resample_scores_like_its_clips(metric: str) -> None:
    rng = np.random.default_rng(1)
    classes = 30 if metric == "chroma_acc" else 5
    target = np.eye(classes, dtype=np.uint8)[rng.integers(classes, size=40)]
    if metric == "mAP":
        target |= (rng.random(target.shape) < 0.2).astype(np.uint8)
        target[:, 0] = 0
    scores = np.round(rng.random(target.shape) + 0.5 * target, 1).astype(np.float32)  # with ties
    counts = draw_clips(40, 20, seed=0)
    assert (counts.sum(1) == 40).all()
    expected = [METRICS[metric].scene(np.repeat(target, row, 0), np.repeat(scores, row, 0)) for row in counts]
    assert METRICS[metric].resampled(target, scores, counts) == pytest.approx(expected, abs=1e-6)


def test_the_interval_is_scipys() -> None:
    right = (np.random.default_rng(2).random(200) < 0.7).astype(float)
    target = np.eye(2, dtype=np.uint8)[np.zeros(200, int)]
    scores = np.stack([right, 1 - right], 1)
    ours = np.percentile(
        METRICS["top1_acc"].resampled(target, scores, draw_clips(200, 4000, seed=0)), [2.5, 97.5]
    )
    theirs = stats.bootstrap((right,), np.mean, method="percentile", n_resamples=4000, rng=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.0051)
