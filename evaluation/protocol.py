"""The downstream protocol: what is trained on what, in which order, and which fit counts.

Every number follows hear-eval-kit as the MW-MAE authors ran it (paper section 4.2 and appendix C): one
hidden layer of 1024, a check every 3 epochs, patience of 20 checks, grid search on the first split only.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from evaluation.errors import EvaluationError


@dataclass(frozen=True)
class ProbeConfig:
    """One point of the grid: everything that defines the shallow classifier except its seed."""

    hidden_layers: int = 1
    hidden_dim: int = 1024
    dropout: float = 0.1
    lr: float = 1e-4
    initialization: Literal["xavier_normal", "xavier_uniform"] = "xavier_normal"
    batch_size: int = 1024
    max_epochs: int = 500
    check_val_every_n_epoch: int = 3
    patience: int = 20  # validation checks without improvement, not epochs

    def stackable(self) -> "ProbeConfig":
        """Return what all networks of one stack must share: all but dropout and initial weights."""
        return replace(self, dropout=0.0, initialization="xavier_normal")


@dataclass(frozen=True)
class Preset:
    """A named protocol: its grid, and the sentence that says what it is."""

    name: str
    description: str
    grid: tuple[ProbeConfig, ...]

    def order(self, seed: int) -> tuple[ProbeConfig, ...]:
        """Return the grid in the order in which the original runner visits it with this seed.

        The order decides ties: among equal validation scores the earlier grid point wins.
        """
        points = list(self.grid)
        random.Random(seed).shuffle(points)
        return tuple(points)


PRESETS = (
    Preset(
        "mwmae",
        "the paper's protocol: dropout 0.1 or 0.25 chosen on validation, up to 500 epochs",
        (ProbeConfig(dropout=0.1), ProbeConfig(dropout=0.25)),
    ),
    Preset(
        "quick",
        "NOT the paper's protocol: 9 epochs of batches of 16, 256 hidden units, rate 3e-3, one grid point",
        (ProbeConfig(hidden_dim=256, lr=3e-3, max_epochs=9, batch_size=16),),
    ),
)


def preset_named(name: str) -> Preset:
    """Return the preset of that name; raise EvaluationError with the list of names when there is none."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    known = ", ".join(preset.name for preset in PRESETS)
    raise EvaluationError(f"there is no preset '{name}'; choose one of: {known}")


@dataclass(frozen=True)
class Split:
    """Which parts of a task one classifier is trained, stopped and tested on."""

    train: tuple[str, ...]
    valid: str
    test: str


def task_splits(split_mode: str, splits: Sequence[str]) -> tuple[Split, ...]:
    """Return a task's train / valid / test combinations; the grid is searched on the first only.

    With k folds, combination i tests on fold i, validates on fold i + 1 (mod k) and trains on the rest.
    """
    if split_mode == "trainvaltest":
        return (Split(("train",), "valid", "test"),)
    folds = sorted(splits)
    if len(folds) < 3:
        raise EvaluationError(
            f"cross-validation needs at least 3 folds to train, stop and test on; there are {len(folds)}"
        )
    combinations = []
    for index, test in enumerate(folds):
        valid = folds[(index + 1) % len(folds)]
        train = tuple(fold for fold in folds if fold not in (test, valid))
        combinations.append(Split(train, valid, test))
    return tuple(combinations)


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


def best_config(order: Sequence[ProbeConfig], scores: Mapping[ProbeConfig, float]) -> ProbeConfig:
    """Return the grid point with the highest validation score; the earlier one of `order` wins ties."""
    return max(order, key=scores.__getitem__)


def config_key(config: ProbeConfig) -> str:
    """Return the canonical JSON of a configuration, by which the ledger knows it."""
    return json.dumps(asdict(config), sort_keys=True)


def fit_seed(seed: int, split: Split, config: ProbeConfig) -> int:
    """Return the 63-bit seed of one fit's own generator.

    It depends on nothing but the fit itself, so neither the other networks of a stack nor the order of
    work can change a result.
    """
    text = f"{seed}|{split.test}|{config_key(config)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
