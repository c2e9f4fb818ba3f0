"""Scores of supervised runs against scikit-learn and the program of Audio-MAE."""

import warnings

import numpy as np
import pytest
from golden_audio_mae import load, needs_golden
from sklearn.metrics import average_precision_score, roc_auc_score

from hear_mwmae.supervised.training.scores import (
    areas_under_curve,
    average_precisions,
    d_prime,
    score,
)


@needs_golden
def test_scores_are_those_of_the_released_program() -> None:
    arrays = load("recipe")
    logits, targets = arrays["metric/scores"], arrays["metric/targets"].astype(np.float32)
    np.testing.assert_allclose(average_precisions(logits, targets), arrays["metric/AP"], atol=1e-9)
    areas = areas_under_curve(logits, targets)
    np.testing.assert_allclose(areas, arrays["metric/auc"], atol=1e-9)
    np.testing.assert_allclose([d_prime(area) for area in areas], arrays["metric/d_prime"], atol=1e-6)
    found = score(logits, targets, multilabel=True)
    assert found.mAP == pytest.approx(float(arrays["metric/mAP"]), abs=1e-9)
    assert found.accuracy is None


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_ties_count_as_in_scikit_learn(digits: int) -> None:
    generator = np.random.default_rng(digits)
    logits = generator.standard_normal((80, 7)).round(digits)
    targets = (generator.random((80, 7)) < 0.2).astype(np.float32)
    targets[:, 3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [average_precision_score(targets[:, c], logits[:, c]) for c in range(7)]
        areas = [roc_auc_score(targets[:, c], logits[:, c]) if c != 3 else np.nan for c in range(7)]
    expected[3] = np.nan
    np.testing.assert_allclose(average_precisions(logits, targets), expected, atol=1e-12)
    np.testing.assert_allclose(areas_under_curve(logits, targets), areas, atol=1e-12)
    assert score(logits, targets, multilabel=True).mAP == pytest.approx(np.nanmean(expected))


def test_one_label_per_clip_has_an_accuracy() -> None:
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    logits = np.eye(3)[[0, 1, 2, 0]]
    found = score(logits, targets, multilabel=False)
    assert found.accuracy == 0.75
    perfect = score(np.eye(3)[[0, 1, 2, 2]], targets, multilabel=False)
    assert (perfect.accuracy, perfect.mAP, perfect.d_prime) == (1.0, 1.0, None)
