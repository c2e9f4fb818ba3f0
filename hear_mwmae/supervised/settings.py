"""Everything that decides the outcome of one supervised run, in one frozen dataclass."""

import math
from dataclasses import dataclass
from typing import ClassVar

from hear_mwmae.config import LONGEST_INPUT, kept_share
from hear_mwmae.pretrain.settings import RunSettings

MODES = ("finetune", "probe")
LOSSES = ("bce", "ce")
SAMPLINGS = ("each", "weighted", "balanced")
POOLINGS = ("patches", "hear")


@dataclass(frozen=True)
class SupervisedConfig(RunSettings):
    """One linear probe or fine-tuning; the defaults are the fine-tuning of Audio-MAE's supplement, Table 1.

    Raises:
        UserError: numbers that do not fit each other.
    """

    epochs: float = 60
    warmup_epochs: float = 4
    batch_size: int = 32
    base_learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    weight_decay: float = 1e-4
    decay_all: bool = False
    beta2: float = 0.95
    mode: str = "finetune"
    """"probe": the encoder stays as it is, and linear layers are trained on what it gives."""
    loss: str = "ce"
    """Cross-entropy, or "bce": one binary cross-entropy per class, where a clip has several labels or a
    mixture of two."""
    label_smoothing: float = 0.0
    layer_decay: float = 0.75
    """The rate of a block is that of the one above it times this (the released code; the supplement is
    silent)."""
    drop_path: float = 0.1
    """Share of the inputs for which a branch of the last block is left out; it rises linearly from 0."""
    input_frames: int = 0
    """Frames of a clip that are read, the first ones; the encoder sees them in pieces of its input size, and
    the mean is over all of them. 0 for one piece."""
    mask_time_ratio: float = 0.0
    """Share of the columns of each piece that are hidden in training."""
    mask_frequency_ratio: float = 0.0
    """Share of the bands that are hidden in training."""
    sampling: str = "each"
    """How an epoch takes its clips: "each" once; "weighted": drawn without replacement, a clip's weight being
    the sum over its labels of 1000 / (clips of that label + 0.01); "balanced": every class repeated up to
    half of the largest class."""
    clips_per_epoch: int = 0
    """Clips that "weighted" draws; 0 for as many as there are."""
    noise_db: float = 0.0
    """Signal-to-noise ratio of noise on the spectrogram; 0 for none."""
    ast_noise: bool = False
    """Instead, as AST's program does: u v / 10 on the normalised spectrogram, u uniform per cell and v per
    clip, then a roll by -10 to 9 frames."""
    specaug_frames: int = 0
    """SpecAugment hides fewer than so many frames, see `features.model_input`."""
    specaug_bands: int = 0
    """The same of bands."""
    mixup: float = 0.0
    """Share of the clips that are mixed, as waveforms, with another of the training set."""
    mixup_shape: float = 10.0
    """A mixture takes Beta(shape, shape) of the first clip and the rest of the second; labels likewise."""
    pooling: str = "patches"
    """What a probe reads: the mean of the patch tokens, or "hear": the scene embedding."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Of a probe: per 256 inputs of a batch, one linear layer for each, all trained on one forward pass.

    In a probe `base_learning_rate` decides nothing but the rate that is logged."""
    init_sha256: str = ""
    """Of the model file that training departs from; empty for random weights."""

    _choices: ClassVar = {"mode": MODES, "loss": LOSSES, "sampling": SAMPLINGS, "pooling": POOLINGS}

    @property
    def frames(self) -> int:
        """Frames of a clip that are read."""
        return self.input_frames or self.model.input_size[0]

    @property
    def calmer(self) -> str:
        """What to change where the loss is not finite."""
        of_probe = "lower --learning-rates, a longer --warmup-epochs, or less --weight-decay"
        return of_probe if self.mode == "probe" else super().calmer

    @property
    def visible_grid(self) -> tuple[int, int]:
        """Columns and bands that training leaves of an input, rounded down as in the released code."""
        columns, bands = self.model.grid
        return kept_share(columns, self.mask_time_ratio), kept_share(bands, self.mask_frequency_ratio)

    @property
    def augmented(self) -> bool:
        """Whether what is read of a clip differs from epoch to epoch."""
        noise = self.noise_db or self.ast_noise
        return bool(
            self.roll or self.gain or noise or self.specaug_frames or self.specaug_bands or self.mixup
        )

    def _problem(self) -> str:
        if problem := super()._problem():
            return problem
        for name, choices in self._choices.items():
            if getattr(self, name) not in choices:
                return f"{name} {getattr(self, name)!r} is unknown, use one of {choices}"
        for name in ("mask_time_ratio", "mask_frequency_ratio", "drop_path", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                return f"{name} {getattr(self, name):g} is not at least 0 and below 1"
        if not (0 <= self.mixup <= 1 and 0 < self.mixup_shape < math.inf):
            return (
                f"mixup {self.mixup:g} is not between 0 and 1, or its shape {self.mixup_shape:g} not above 0"
            )
        if self.input_frames % self.model.input_size[0]:
            return (
                f"input_frames {self.input_frames} is no multiple of the model's {self.model.input_size[0]}"
            )
        if self.frames > LONGEST_INPUT:
            return f"input_frames {self.input_frames} is beyond {LONGEST_INPUT}, the most that is read"
        if not 0 < self.layer_decay <= 1:
            return f"layer_decay {self.layer_decay:g} is not above 0 and at most 1"
        counts = (self.specaug_frames, self.specaug_bands, self.clips_per_epoch)
        if min(counts) < 0 or not 0 <= self.noise_db < math.inf:
            return "specaug_frames, specaug_bands, clips_per_epoch and noise_db must not be negative"
        if self.mode == "probe" and self.augmented:
            return "a probe reads every clip once, as it is: augmentation is of fine-tuning"
        if self.loss == "bce" and self.label_smoothing:
            return "label_smoothing is of the loss 'ce'"
        if self.mixup and self.loss == "ce":
            return "mixtures have two labels, which needs the loss 'bce'"
        if self.augmented and self.model.front_end == "rgb_224":
            return "augmentation is of sound, and the model reads pictures"
        return self._problem_of_probe() if self.mode == "probe" else self._problem_of_masks()

    def _problem_of_probe(self) -> str:
        if not self.learning_rates or not all(0 < rate < math.inf for rate in self.learning_rates):
            return "a probe needs learning_rates above 0"
        if self.batch_size < 2:
            return "a probe needs a batch_size of 2, as one clip has no variance"
        if self.mask_time_ratio or self.mask_frequency_ratio or self.clip_norm:
            return "masks and clip_norm are of fine-tuning, not of a probe"
        return ""

    def _problem_of_masks(self) -> str:
        columns, bands = self.visible_grid
        if not columns * bands:
            return (
                f"mask_time_ratio {self.mask_time_ratio:g} and mask_frequency_ratio "
                f"{self.mask_frequency_ratio:g} leave none of {self.model.grid} patches"
            )
        if any(window and columns * bands % window for window in self.model.encoder_windows):
            return (
                f"every one of encoder_windows must divide the {columns * bands} tokens that masks leave, or "
                "be 0"
            )
        return ""
