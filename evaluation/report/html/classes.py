"""What stands behind a score, for the page: every class by itself, and what was taken for what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from evaluation.errors import EvaluationError
from evaluation.results.ledger import FitKey, Ledger
from evaluation.results.run_file import LEDGER_FILE
from evaluation.results.score_table import Column, ScoreTable
from tasks.names import printable

MATRIX_CLASSES = 60
"""Of more classes no confusion matrix is drawn, only the most frequent confusions are listed."""

TOP_CONFUSIONS = 8


@dataclass(frozen=True)
class MatrixCell:
    """One pair of classes: `share` of the true class's test rows, in 0..1, and the words that explain it."""

    share: float
    text: str


@dataclass(frozen=True)
class Confusion:
    """One model's confusions on one task; `cells` is empty where there are too many classes to draw.

    `frequent` holds sentences on what is most often mistaken.
    """

    model: str
    cells: Sequence[Sequence[MatrixCell | None]]
    frequent: Sequence[str]


@dataclass(frozen=True)
class TaskClasses:
    """One task's classes: how many test rows each has and `scores[class][model]`, NaN where undefined."""

    task: str
    measure: str
    labels: Sequence[str]
    rows: Sequence[int]
    models: Sequence[str]
    scores: Sequence[Sequence[float]]
    confusions: Sequence[Confusion]


def class_views(results: ScoreTable, run_directories: Sequence[Path]) -> list[TaskClasses]:
    """Return the class view of every task, from the details of the fits that count.

    Over folds and seeds counts are added and other scores averaged. A task whose runs kept no details is
    left out.
    """
    details: dict[FitKey, dict[str, Any]] = {}
    for directory in run_directories:
        details |= Ledger(directory / LEDGER_FILE).details()
    views = []
    for column in results.columns:
        found: dict[str, list[Mapping[str, Any]]] = {}
        parts: dict[str, Mapping[str, Any]] = {}
        for fits in results.fits:
            for key in (fold.key for fold in fits.folds if fits.task == column.task):
                if key in details:
                    found.setdefault(fits.model, []).append(details[key])
                    parts[key.test] = details[key]
        if found:
            _check_classes_alike(column, [known for fits in found.values() for known in fits])
            views.append(_task_classes(column, found, list(parts.values())))
    return views


def _check_classes_alike(column: Column, known: Sequence[Mapping[str, Any]]) -> None:
    """Raise EvaluationError unless the details of all fits on a task are of the same classes."""
    if any((one["labels"], set(one)) != (known[0]["labels"], set(known[0])) for one in known):
        raise EvaluationError(
            f"details.jsonl has fits on {printable(column.task)} of other classes than others on it; restore "
            "it, or train again with --no-resume"
        )


def _task_classes(
    column: Column, found: Mapping[str, list[Mapping[str, Any]]], parts: Sequence[Mapping[str, Any]]
) -> TaskClasses:
    """Return the view of one task; `parts` has the details of one fit for every test part."""
    first = parts[0]
    labels = [str(label) for label in first["labels"]]
    matrices = {
        model: _confusion_matrix(known, len(labels)) for model, known in found.items() if "confusion" in first
    }
    if matrices:
        measure, per_model = "recall", [_class_recall(matrix) for matrix in matrices.values()]
    else:
        measure = "average_precision" if "average_precision" in first else column.metric
        per_model = [_mean_over_fits(known, measure) for known in found.values()]
    counts = "rows" if "rows" in first else "events"
    return TaskClasses(
        task=column.task,
        measure=measure.replace("_", " "),
        labels=labels,
        rows=[int(count) for count in np.sum([part[counts] for part in parts], axis=0)],
        models=list(found),
        scores=[list(scores) for scores in zip(*per_model, strict=True)],
        confusions=[_confusion(model, matrix, labels) for model, matrix in matrices.items()],
    )


def _confusion_matrix(known: Sequence[Mapping[str, Any]], n_labels: int) -> Int[np.ndarray, "true predicted"]:
    matrix = np.zeros((n_labels, n_labels), np.int64)
    for item in known:
        for true, predicted, count in item["confusion"]:
            matrix[true, predicted] += count
    return matrix


def _class_recall(matrix: Int[np.ndarray, "true predicted"]) -> list[float]:
    with np.errstate(invalid="ignore"):
        return (matrix.diagonal() / matrix.sum(1)).tolist()


def _mean_over_fits(known: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Return every class's mean over the fits in which its score is defined."""
    columns = zip(*([float(value) for value in item[name]] for item in known), strict=True)
    defined = ([value for value in column if not math.isnan(value)] for column in columns)
    return [sum(values) / len(values) if values else math.nan for values in defined]


def _confusion(model: str, matrix: Int[np.ndarray, "true predicted"], labels: Sequence[str]) -> Confusion:
    totals = matrix.sum(1)

    def cell(true: int, predicted: int) -> MatrixCell | None:
        count = int(matrix[true, predicted])
        if not count:
            return None
        text = f"{labels[true]} taken for {labels[predicted]}: {count} of {totals[true]}"
        return MatrixCell(count / totals[true], text)

    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    ranked = np.argsort(-wrong, axis=None, kind="stable")[:TOP_CONFUSIONS]
    pairs = [divmod(int(index), len(labels)) for index in ranked if wrong.flat[index]]
    cells = []
    if len(labels) <= MATRIX_CLASSES:
        cells = [[cell(true, predicted) for predicted in range(len(labels))] for true in range(len(labels))]
    return Confusion(model, cells, [one.text for pair in pairs if (one := cell(*pair)) is not None])
