"""One model as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelSpec:
    """What the user asked for: a HEAR module, the weights for it (or "") and options of its `load_model`.

    `layer` is the one that is probed, "" for what the module gives by itself. `given` is what has HEAR's
    functions where that was handed over and cannot be imported by its name: a class, an object.
    """

    module: str
    weights: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: str = ""
    given: Any = field(default=None, compare=False, repr=False)

    @property
    def label(self) -> str:
        """The model's name in tables: `module`, `module@weights`, `module[layer=block3,precision=bf16]`."""
        return (f"{self.module}@{self.weights}" if self.weights else self.module) + self.settings

    @property
    def settings(self) -> str:
        """The label's end: `[layer=block3,precision=bf16]`, or "" where neither is given."""
        chosen = [("layer", self.layer)] if self.layer else []
        settings = ",".join(f"{key}={value}" for key, value in [*chosen, *sorted(self.options.items())])
        return f"[{settings}]" if settings else ""
