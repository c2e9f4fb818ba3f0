"""The configuration of a classifier, and the key under which its fits are kept."""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, TypeVar

from evaluation.errors import EvaluationError
from tasks.names import printable


@dataclass(frozen=True)
class LinearConfig:
    """The one number of a logistic regression: `C`, the weight of the training rows against the penalty.

    Raises EvaluationError for a value that cannot be meant.
    """

    C: float

    def __post_init__(self) -> None:
        number = isinstance(self.C, int | float) and not isinstance(self.C, bool)
        if not number or not 1e-12 <= self.C <= 1e12:
            raise EvaluationError(f"C {self.C!r}: give a number from 1e-12 to 1e12")
        object.__setattr__(self, "C", float(self.C))  # 1 and 1.0 are one grid point to the ledger

    def stackable(self) -> "LinearConfig":
        """Return what the fits of one split have in common: nothing, so the same for every C."""
        return LinearConfig(1.0)


@dataclass(frozen=True)
class KnnConfig:
    """The one number of nearest neighbours; with fewer training rows than k all of them are neighbours."""

    k: int

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise EvaluationError(f"k {self.k!r}: give a whole number of at least 1")

    def stackable(self) -> "KnnConfig":
        """Return what all that is computed together must share: nothing, so the same for every k."""
        return KnnConfig(1)


Head = Literal["mlp", "linear", "knn"]
HEADS: tuple[Head, ...] = ("mlp", "linear", "knn")


@dataclass(frozen=True)
class ProbeConfig:
    """One point of the grid: everything that defines the shallow classifier except its seed.

    `hidden_layers` 0 is a network without a hidden layer, as the original's grid "faster" has it; the head
    "linear" is `LinearConfig`. `patience` counts validation checks without improvement, not
    epochs. `shuffle` draws a new order of the training rows every epoch; the original never does.
    `matmul_precision` "bf16" rounds what enters the hidden layers' products; the original is float32.
    Raises EvaluationError, naming the field, for a value that cannot be meant.
    """

    hidden_layers: int = 1
    hidden_dim: int = 1024
    dropout: float = 0.1
    lr: float = 1e-4
    beta2: float = 0.999
    initialization: Literal["xavier_normal", "xavier_uniform"] = "xavier_normal"
    batch_size: int = 1024
    shuffle: bool = False
    max_epochs: int = 500
    check_val_every_n_epoch: int = 3
    patience: int = 20
    matmul_precision: Literal["float32", "bf16"] = "float32"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise EvaluationError(f"{name} {value!r}: give a whole number of at least {least}")
        for name in ("dropout", "lr", "beta2"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < 1 or (name == "lr" and value == 0):
                bound = "above 0" if name == "lr" else "of at least 0"
                raise EvaluationError(f"{name} {value!r}: give a number {bound} and below 1")
            object.__setattr__(self, name, float(value))  # 0 and 0.0 are one grid point to the ledger
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise EvaluationError(f"{name} {getattr(self, name)!r}: choose {' or '.join(choices)}")
        if not isinstance(self.shuffle, bool):
            raise EvaluationError(f"shuffle {self.shuffle!r}: give true or false")

    def stackable(self) -> "ProbeConfig":
        """Return what all networks of one stack must share, with the rest at its default.

        Learning rate, beta2, dropout and initial weights are each network's own.
        """
        return replace(self, lr=1e-4, beta2=0.999, dropout=0.0, initialization="xavier_normal")


_LEAST = {
    "hidden_layers": 0,
    "hidden_dim": 1,
    "batch_size": 2,
    "max_epochs": 1,
    "check_val_every_n_epoch": 1,
    "patience": 1,
}

_CHOICES = {
    "initialization": ("xavier_normal", "xavier_uniform"),
    "matmul_precision": ("float32", "bf16"),
}

Config = ProbeConfig | LinearConfig | KnnConfig


ConfigT = TypeVar("ConfigT", bound=Config)


def config_key(config: Config) -> str:
    """Return the canonical JSON of a configuration, by which the ledger knows it."""
    return json.dumps(asdict(config), sort_keys=True)


def config_of(key: str) -> Config:
    """Return the configuration of a ledger's line, see `config_key`.

    Raises EvaluationError when it is none of this version.
    """
    try:
        values = json.loads(key)
        kind = next(
            (kind for kind in (KnnConfig, LinearConfig) if {f.name for f in fields(kind)} & set(values)),
            ProbeConfig,
        )
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{printable(key)} is no grid point of this version") from error
