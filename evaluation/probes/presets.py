"""Presets: named grids of configurations, from HEAR and both papers."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from evaluation.errors import EvaluationError
from evaluation.probes.config import Config, Head, KnnConfig, LinearConfig, ProbeConfig
from tasks import TaskMetadata

_CLASSIFIERS: Mapping[Head, type[Config]] = {"mlp": ProbeConfig, "linear": LinearConfig, "knn": KnnConfig}
_GRIDS: Mapping[Head, Mapping[str, tuple[Any, ...]]] = {
    "linear": {"C": (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)},
    "knn": {"k": (1, 5, 10, 20, 50)},
}
"""What is tried of the heads that are the same under every preset."""


@dataclass(frozen=True)
class Preset:
    """A named protocol: the values of its grid, and the sentence that says what it is.

    `axes` maps a field of the classifier to the values tried; what it does not name has its default.
    `points` is how many grid points of each seed's shuffled order are used (all when None). `changes` are
    the axes that the user asked for, which stand above a task's own. `task_grids` says whether the grids
    that tasks bring along apply.
    """

    name: str
    description: str
    axes: Mapping[str, tuple[Any, ...]]
    points: int | None = None
    head: Head = "mlp"
    task_grids: bool = True
    changes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def classifier(self) -> type[Config]:
        """What one grid point is."""
        return _CLASSIFIERS[self.head]

    @property
    def random(self) -> bool:
        """Whether seeds make a difference."""
        return self.head == "mlp"

    @property
    def grid(self) -> tuple[Config, ...]:
        """Every combination; names in alphabetical order, the last one's values changing fastest.

        That is scikit-learn's ParameterGrid, from which the original's order is shuffled.
        """
        names = sorted(self.axes)
        combinations = itertools.product(*(self.axes[name] for name in names))
        return tuple(self.classifier(**dict(zip(names, values, strict=True))) for values in combinations)

    @property
    def n_points(self) -> int:
        """How many grid points are trained for each seed."""
        return min(self.points or len(self.grid), len(self.grid))

    def order(self, seed: int) -> tuple[Config, ...]:
        """Return the grid points of this seed in the order in which the original runner visits them.

        The order decides ties: among equal validation scores the earlier grid point wins. Where nothing is
        random that is the smaller k or C.
        """
        points = list(self.grid)
        if self.random:
            random.Random(seed).shuffle(points)
        return tuple(points[: self.n_points])

    def with_head(self, head: Head) -> "Preset":
        """Return the preset for another classifier on top of the embeddings, which brings its own grid."""
        if head not in _CLASSIFIERS:
            raise EvaluationError(f"there is no head '{head}'; known: {', '.join(_CLASSIFIERS)}")
        return self if head == "mlp" else replace(self, axes=_GRIDS[head], points=None, head=head)

    def changed(self, changes: Mapping[str, Any]) -> "Preset":
        """Return the preset with other values: one value or a list of them for each name.

        `grid_points` changes how many points of the grid each seed uses. Raises EvaluationError, naming
        the option, for an unknown name or an impossible value.
        """
        values = {name: _preset_values(name, value) for name, value in changes.items()}
        axes = {name: value for name, value in values.items() if name != "grid_points"}
        points = _grid_points(changes["grid_points"]) if "grid_points" in changes else self.points
        known = [item.name for item in fields(self.classifier)]
        if strangers := sorted(set(axes) - set(known)):
            raise EvaluationError(
                f"the classifier has no option '{strangers[0]}'; known: {', '.join([*known, 'grid_points'])}"
            )
        changed = replace(self, axes={**self.axes, **axes}, points=points, changes={**self.changes, **values})
        if len(set(changed.grid)) < len(changed.grid):
            raise EvaluationError(f"a value appears twice in the grid: {axes_sentence(axes)}")
        return changed

    def for_task(self, metadata: TaskMetadata) -> "Preset":
        """Return the preset as it applies to one task: the grid that the task brings along replaces ours.

        DCASE 2016 task 2 has one in the original runner's code, others in their metadata. What the user
        changed stands above it.
        """
        own = dict(metadata.evaluation_params.get("task_specific_param_grid") or {})
        if metadata.base_name == "dcase2016_task2":
            own = {"check_val_every_n_epoch": [10], **own}
        if not own or not self.task_grids or not self.random:
            return self
        try:
            return replace(self.changed({**own, **self.changes}), changes=self.changes)
        except EvaluationError as error:
            raise EvaluationError(f"{metadata.task_name}: task_specific_param_grid: {error}") from error

    @property
    def title(self) -> str:
        """The name, with what was changed: it must not pass for the preset itself."""
        return f"{self.name} changed to {axes_sentence(self.changes)}" if self.changes else self.name


def _grid_points(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EvaluationError(f"grid_points {value!r}: give a whole number of at least 1")
    return value


def _preset_values(name: str, value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values:
        raise EvaluationError(f"{name}: give at least one value")
    if any(isinstance(item, list | tuple | dict) or item is None for item in values):
        raise EvaluationError(f"{name} {value!r}: give a number, a word, true or false, or a list of those")
    return values


def axes_sentence(axes: Mapping[str, Sequence[Any]]) -> str:
    """Return "dropout 0.1 or 0.25, lr 0.0001"."""
    words = {True: "true", False: "false"}
    return ", ".join(
        f"{name} {' or '.join(words[v] if isinstance(v, bool) else str(v) for v in values)}"
        for name, values in axes.items()
    )


_UPSTREAM = {
    "hidden_layers": (1, 2),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
    "initialization": ("xavier_uniform", "xavier_normal"),
}

PRESETS = (
    Preset(
        "mwmae",
        "the paper's protocol: dropout 0.1 or 0.25 chosen on validation, up to 500 epochs",
        {"dropout": (0.1, 0.25)},
    ),
    Preset(
        "mwmae-table4",
        "the paper's table 4 read literally: dropout 0.25 only, Adam with beta2 0.95",
        {"dropout": (0.25,), "beta2": (0.95,)},
    ),
    Preset(
        "hear2021",
        "the original benchmark's protocol: 8 of 16 combinations of 1 or 2 hidden layers, 4 learning rates "
        "and 2 initial distributions, drawn by each seed",
        _UPSTREAM,
        points=8,
    ),
    Preset(
        "hear2021-fast",
        "the original benchmark's grid 'fast': as hear2021 with 10 or 50 epochs, checked every 3 or 10",
        {**_UPSTREAM, "max_epochs": (10, 50), "check_val_every_n_epoch": (3, 10)},
        points=8,
    ),
    Preset(
        "hear2021-faster",
        "the original benchmark's grid 'faster': 10 epochs, no or one hidden layer of 64 or 128",
        {
            **_UPSTREAM,
            "hidden_layers": (0, 1),
            "hidden_dim": (64, 128),
            "patience": (1, 3),
            "max_epochs": (10,),
            "check_val_every_n_epoch": (1,),
        },
        points=8,
    ),
    Preset(
        "quick",
        "NOT the paper's protocol: 9 epochs of batches of 16, 256 hidden units, rate 3e-3, one grid point",
        {"hidden_dim": (256,), "lr": (3e-3,), "max_epochs": (9,), "batch_size": (16,)},
        task_grids=False,
    ),
)


def preset_named(name: str) -> Preset:
    """Return the preset of that name; raise EvaluationError with the list of names when there is none."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    known = ", ".join(preset.name for preset in PRESETS)
    raise EvaluationError(f"there is no preset '{name}'; choose one of: {known}")
