"""Models as values from their labels, `module@weights[layer=block1,a=1]`, for tests that need no module."""

import re
from collections.abc import Iterable

from evaluation.models.spec import ModelSpec


def specs(labels: Iterable[str]) -> dict[str, ModelSpec]:
    """Return what each label says; every one has its own label back."""
    found = {label: _spec(label) for label in labels}
    assert all(spec.label == label for label, spec in found.items())
    return found


def _spec(label: str) -> ModelSpec:
    name, _, settings = re.fullmatch(r"(.*?)(\[([^\[\]]*)\])?", label, re.DOTALL).groups()
    module, _, weights = name.partition("@")
    options = dict(pair.split("=") for pair in (settings or "").split(",") if pair)
    layer = options.pop("layer", "")
    return ModelSpec(module, weights, options, layer)
