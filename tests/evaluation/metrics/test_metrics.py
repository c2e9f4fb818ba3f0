"""HEAR's scores against scikit-learn and the reference vectors of the original score code."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.errors import EvaluationError
from evaluation.metrics.scenes import average_precision, roc_auc
from evaluation.metrics.table import scene_metric

SCORES = np.random.default_rng(0).random((8, 3)).round(3)
MULTILABEL = np.array(
    [[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]]
)
MULTICLASS = np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2, 0, 2]]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            MULTILABEL,
            {"top1_acc": 0.5, "mAP": 0.8341931216931217, "aucroc": 0.8291666666666666, "d_prime": math.inf},
        ),
        (
            MULTICLASS,
            {
                "top1_acc": 0.25,
                "mAP": 0.5083333333333333,
                "aucroc": 0.5777777777777778,
                "d_prime": 0.31312622793153394,
            },
        ),
    ],
)
def test_scores_equal_those_of_the_original(target: np.ndarray, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert scene_metric(name)(target, SCORES) == pytest.approx(value, abs=1e-12)


def test_a_class_without_positives_counts_as_zero_precision_and_undefined_auc() -> None:
    target = MULTILABEL * [1, 1, 0]
    assert scene_metric("mAP")(target, SCORES) == pytest.approx(0.5851851851851851, abs=1e-12)
    assert math.isnan(scene_metric("aucroc")(target, SCORES))
    assert math.isnan(scene_metric("d_prime")(target, SCORES))


def test_perfect_and_perfectly_wrong_classes_leave_d_prime_undefined() -> None:
    target = np.array([[1, 1], [0, 0]])
    assert math.isnan(scene_metric("d_prime")(target, np.array([[0.9, 0.1], [0.1, 0.9]])))
    assert scene_metric("d_prime")(target, target.astype(float)) == math.inf


def test_chroma_forgives_octaves_only() -> None:
    target, scores = np.eye(25)[[0, 1, 2]], np.eye(25)[[12, 13, 4]]
    assert scene_metric("chroma_acc")(target, scores) == pytest.approx(2 / 3)
    assert scene_metric("pitch_acc")(target, scores) == 0


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 5), st.sampled_from([2, 5, 1000]))
def test_precision_and_auc_agree_with_scikit_learn_also_with_ties(
    seed: int, clips: int, classes: int, levels: int
) -> None:
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, (clips, classes))
    target[0], target[1] = 0, 1
    scores = generator.integers(0, levels, (clips, classes)) / levels
    for c in range(classes):
        expected = average_precision_score(target[:, c], scores[:, c])
        assert average_precision(target, scores)[c] == pytest.approx(expected, abs=1e-12)
        assert roc_auc(target, scores)[c] == pytest.approx(
            roc_auc_score(target[:, c], scores[:, c]), abs=1e-12
        )


def test_an_unknown_metric_is_named_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"'segment_1s_er'.*top1_acc"):
        scene_metric("segment_1s_er")
