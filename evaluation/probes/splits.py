"""Which splits train, choose and test; the order of rows and the seed of a fit."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evaluation.errors import EvaluationError
from evaluation.metrics.table import shown_metric
from evaluation.probes.config import Config, config_key
from tasks import TaskMetadata

PointT = TypeVar("PointT")
"""A grid point: a configuration, or its key."""


@dataclass(frozen=True)
class Combination:
    """Which parts of a task one classifier is trained, stopped and tested on."""

    train: tuple[str, ...]
    valid: str
    test: str


def task_splits(split_mode: str, splits: Sequence[str]) -> tuple[Combination, ...]:
    """Return a task's train / valid / test combinations; the grid is searched on the first only.

    With k folds, combination i tests on fold i, validates on fold i + 1 (mod k) and trains on the rest.
    """
    if split_mode == "trainvaltest":
        return (Combination(("train",), "valid", "test"),)
    folds = sorted(splits)
    if len(folds) < 3:
        raise EvaluationError(
            f"cross-validation needs at least 3 folds to train, stop and test on; there are {len(folds)}"
        )
    combinations = []
    for index, test in enumerate(folds):
        valid = folds[(index + 1) % len(folds)]
        train = tuple(fold for fold in folds if fold not in (test, valid))
        combinations.append(Combination(train, valid, test))
    return tuple(combinations)


def primary_score(metadata: TaskMetadata) -> str:
    """Return the name of the score that a task reports."""
    return metadata.evaluation[0]


def monitored_score(metadata: TaskMetadata) -> str:
    """Return what stops training and selects, on the validation part: the primary score, or "loss"."""
    return primary_score(metadata) if metadata.use_scoring_for_early_stopping else "loss"


def is_minimised(metadata: TaskMetadata) -> bool:
    """Return whether what stops and selects is better when lower."""
    monitored = monitored_score(metadata)
    return monitored == "loss" or shown_metric(monitored).minimised


def row_orders(counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the fixed order of each split's rows: position in the split's JSON for every row.

    The original writes every split shuffled once, all by one generator seeded with 0, and never shuffles
    again. `counts` maps each split, in the order of the task's metadata, to its number of clips.
    """
    generator = random.Random(0)
    orders = {}
    for split, count in counts.items():
        orders[split] = list(range(count))
        generator.shuffle(orders[split])
    return orders


def best_config(order: Sequence[PointT], scores: Mapping[PointT, float], *, minimise: bool = False) -> PointT:
    """Return the grid point with the best validation score; the earlier one of `order` wins ties."""
    return (min if minimise else max)(order, key=scores.__getitem__)


def fit_seed(seed: int, split: Combination, config: Config) -> int:
    """Return the 63-bit seed of one fit's own generator.

    It depends on nothing but the fit itself, so neither the other networks of a stack nor the order of
    work can change a result.
    """
    text = f"{seed}|{split.test}|{config_key(config)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
