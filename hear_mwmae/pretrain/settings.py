"""Everything that decides the outcome of one run of training, in one frozen dataclass.

Two runs with equal settings on equal data end with equal parameters. What only watches a run or spreads it
over devices (logs, checkpoints, pictures, worker processes) is no part of it.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Self

from hear_mwmae.config import ModelConfig, typed
from hear_mwmae.errors import UserError
from hear_mwmae.json_files import parse_json
from hear_mwmae.names import printable

PRECISIONS = ("bfloat16", "float32")
KERNELS = ("xla", "cudnn")
BASE_BATCH = 256
# The count of updates is an int32.
MOST_STEPS = 2**31 - 1
CONFIG_FILE = "config.json"
"""Of a run's directory: its settings."""


@dataclass(frozen=True)
class RunSettings:
    """What pre-training and supervised training have in common; the defaults are the MW-MAE paper's.

    Raises:
        UserError: numbers that do not fit each other.
    """

    model: ModelConfig
    epochs: float = 100
    """Passes over the clips, also a part of one."""
    warmup_epochs: float = 10
    """The rate rises linearly from 0 over these, then falls along a cosine."""
    batch_size: int = 1024
    """Inputs in one update, over all devices and hosts."""
    base_learning_rate: float = 1.5e-5
    """Per 256 inputs of a batch: the highest rate is this times batch_size / 256."""
    min_learning_rate: float = 0.0
    """What the cosine falls to."""
    weight_decay: float = 0.05
    decay_all: bool = True
    """Decay all parameters, as the released code does; false spares biases, norms, tokens, position codes."""
    decay_tokens: bool = False
    """Where not all are decayed, decay class and mask token nevertheless, as Audio-MAE's program does."""
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 for no limit."""
    accumulation_steps: int = 1
    """Parts that a batch is taken in, one after another, to save memory; the update is the same but for the
    order of its sums, so a run may go on with another number."""
    roll: bool = False
    """Roll each clip cyclically in time to a random start before it is cropped or filled up (Audio-MAE)."""
    gain: bool = False
    """Amplify each clip by Beta(10, 10) + 0.5, as the release of Audio-MAE does where its paper rolls."""
    precision: str = "bfloat16"
    """Of activations and matrix products; parameters, optimiser, softmax and loss are float32 always."""
    seed: int = 0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise UserError(f"Training configuration: {problem}.")

    def _problem(self) -> str:
        if min(self.batch_size, self.accumulation_steps) < 1:
            return "batch_size and accumulation_steps must be at least 1"
        if not 0 < self.epochs < math.inf:
            return f"epochs {self.epochs:g} is not a number above 0"
        if not 0 <= self.warmup_epochs <= self.epochs:
            return f"warmup_epochs {self.warmup_epochs:g} is not between 0 and the {self.epochs:g} epochs"
        if self.batch_size % self.accumulation_steps:
            return (
                f"batch_size {self.batch_size} is no multiple of accumulation_steps {self.accumulation_steps}"
            )
        if (self.roll or self.gain) and self.model.front_end == "rgb_224":
            return "roll and gain are of sound, and the model reads pictures"
        if self.gain and self.model.feature_std == 0:
            return (
                "gain is taken off again where each clip is standardised by its own mean: give the model a "
                "feature_mean and feature_std, as --normalise data does"
            )
        if self.precision not in PRECISIONS:
            return f"precision {self.precision!r} is unknown, use one of {PRECISIONS}"
        if not all(
            0 <= rate < math.inf for rate in (self.base_learning_rate, self.weight_decay, self.clip_norm)
        ):
            return "base_learning_rate, weight_decay and clip_norm must not be negative, nor infinite"
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            return (
                f"min_learning_rate {self.min_learning_rate:g} is not between 0 and the highest rate, "
                f"{self.learning_rate:g}"
            )
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            return f"beta1 {self.beta1} and beta2 {self.beta2} must be at least 0 and below 1"
        return ""

    @property
    def calmer(self) -> str:
        """What to change where the loss is not finite."""
        return "a lower --base-learning-rate, a longer --warmup-epochs, or a limit such as --clip-norm 1"

    @property
    def learning_rate(self) -> float:
        """Highest learning rate of the run."""
        return self.base_learning_rate * self.batch_size / BASE_BATCH

    def steps_per_epoch(self, clips: int) -> int:
        """Updates in one pass over `clips` inputs; those that fill no batch are left out, others each time.

        Raises:
            UserError: they do not fill one batch.
        """
        steps = clips // self.batch_size
        if steps == 0:
            raise UserError(
                f"{clips} inputs are too few for one batch of {self.batch_size}: lower --batch-size."
            )
        return steps

    def total_steps(self, steps_per_epoch: int) -> int:
        """Updates in the whole run.

        Raises:
            UserError: more than the counter of updates holds.
        """
        steps = max(round(self.epochs * steps_per_epoch), 1)
        if steps > MOST_STEPS:
            raise UserError(f"{self.epochs:g} epochs are more than {MOST_STEPS} updates: lower --epochs.")
        return steps

    def warmup_steps(self, steps_per_epoch: int) -> int:
        """Updates during which the rate rises."""
        return round(self.warmup_epochs * steps_per_epoch)

    def to_json(self) -> str:
        """Write the settings as indented JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str, *, source: str = "training settings") -> Self:
        """Read what `to_json` wrote; `source` names the file in error messages.

        Raises:
            UserError: no JSON object, an unknown setting, or a value of the wrong type.
        """
        values = parse_json(text, source)
        if not isinstance(values, dict) or "model" not in values:
            raise UserError(f"{source}: holds no settings with a model.")
        model = ModelConfig.from_json(json.dumps(values.pop("model")), source=source)
        # A number of epochs may be a part of one, though the default is written as an integer.
        defaults: dict[str, Any] = {
            field.name: 0.0 if field.type is float else field.default
            for field in dataclasses.fields(cls)
            if field.name != "model"
        }
        if unknown := sorted(set(values) - set(defaults)):
            raise UserError(f"{source}: there is no setting {printable(unknown[0])!r}.")
        given = {name: typed(name, value, defaults[name], source) for name, value in values.items()}
        return cls(model=model, **given)


@dataclass(frozen=True)
class TrainConfig(RunSettings):
    """One pre-training run; the defaults are the paper's (section 4.2, Table 4).

    An epoch takes `crops_per_clip` crops of every clip.

    Raises:
        UserError: numbers that do not fit each other.
    """

    crops_per_clip: int = 1
    """Crops taken from a clip each time that it is decoded."""
    data_fraction: float = 1.0
    """Share of the clips to train on, drawn by a hash of their ids: smaller shares lie within larger ones."""

    def _problem(self) -> str:
        if self.crops_per_clip < 1:
            return "crops_per_clip must be at least 1"
        problem = super()._problem()
        if not problem and self.batch_size % (self.accumulation_steps * self.crops_per_clip):
            return (
                f"batch_size {self.batch_size} is no multiple of accumulation_steps x crops_per_clip "
                f"({self.accumulation_steps} x {self.crops_per_clip})"
            )
        if not problem and not 0 < self.data_fraction <= 1:
            return f"data_fraction {self.data_fraction} is not above 0 and at most 1"
        return problem

    def steps_per_epoch(self, clips: int) -> int:
        """Updates in one pass over `clips` clips, with `crops_per_clip` crops of each."""
        return super().steps_per_epoch(clips * self.crops_per_clip)
