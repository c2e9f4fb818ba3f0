"""How each data set is trained on: Table 1 of Audio-MAE's supplement, and what Table 2 and 5 of MW-MAE leave.

Every column of that table is a `Recipe`. It is silent about the decay of rates from layer to layer, which is
0.75 here as in the released programs, and about hiding patches while training, which is off; the released
program for AudioSet hides 0.2 of the columns and of the bands, has beta2 0.999 and a decay of 5e-4
(`--mask-time 0.2 --mask-frequency 0.2 --beta2 0.999 --weight-decay 5e-4`).

Linear probes have no published settings but ImageNet's 50 epochs (MW-MAE, appendix D): momentum 0.9, no
decay, a sweep of rates and a cosine are this project's choice. Table 2 is without augmentation.
"""

from dataclasses import dataclass, field
from typing import TypedDict


class Settings(TypedDict, total=False):
    """Fields of `SupervisedConfig` that recipes set."""

    epochs: float
    warmup_epochs: float
    batch_size: int
    base_learning_rate: float
    min_learning_rate: float
    weight_decay: float
    drop_path: float
    loss: str
    sampling: str
    clips_per_epoch: int
    roll: bool
    noise_db: float
    specaug_frames: int
    specaug_bands: int
    mixup: float


@dataclass(frozen=True)
class Recipe:
    """One data set's training."""

    about: str
    seconds: float
    """Length that a clip is cut or filled up to."""
    frames: int
    """Of Kaldi's filter bank in that time, with the rows that fill it up to whole patches."""
    feature_mean: float = 0.0
    feature_std: float = 0.0
    """Of Kaldi's filter bank on the data set; 0 where it is not published."""
    base_learning_rate_vit_s: float = 0.0
    """That of ViT-S where it is another one; 0 where it is the same."""
    settings: Settings = field(default_factory=Settings)


AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974

RECIPES: dict[str, Recipe] = {
    "audioset_2m": Recipe(
        "AudioSet, balanced and unbalanced segments",
        10, 1024, AUDIOSET_MEAN, AUDIOSET_STD, 5e-4,
        {
            "epochs": 100, "warmup_epochs": 20, "batch_size": 512, "base_learning_rate": 2e-4,
            "loss": "bce", "sampling": "weighted", "clips_per_epoch": 200_000,
            "roll": True, "specaug_frames": 192, "specaug_bands": 48, "mixup": 0.5,
        },
    ),
    "audioset_20k": Recipe(
        "AudioSet, balanced segments",
        10, 1024, AUDIOSET_MEAN, AUDIOSET_STD, 2e-3,
        {
            "epochs": 60, "warmup_epochs": 4, "batch_size": 32, "base_learning_rate": 1e-3,
            "loss": "bce", "roll": True, "specaug_frames": 192, "specaug_bands": 48, "mixup": 0.5,
        },
    ),
    "esc50": Recipe(
        "ESC-50, one fold tested",
        5, 512, -6.6268077, 5.358466, 0.0,
        {
            "epochs": 60, "warmup_epochs": 4, "batch_size": 64, "base_learning_rate": 1e-3,
            "loss": "ce", "roll": True, "specaug_frames": 96, "specaug_bands": 24,
        },
    ),
    "speech_commands_2": Recipe(
        "Speech Commands 2, 35 words",
        1, 128, -6.845978, 5.5654526, 0.0,
        {
            "epochs": 60, "warmup_epochs": 4, "batch_size": 256, "base_learning_rate": 1e-3,
            "loss": "bce", "roll": True, "noise_db": 20, "specaug_frames": 48, "specaug_bands": 48,
            "mixup": 0.5,
        },
    ),
    "speech_commands_1": Recipe(
        "Speech Commands 1, ten words, unknown and silence; classes repeated up to half of the largest",
        1, 128, -6.702, 5.448, 0.0,
        {
            "epochs": 10, "warmup_epochs": 1, "batch_size": 256, "base_learning_rate": 1e-3,
            "loss": "bce", "sampling": "balanced", "roll": True, "noise_db": 20, "specaug_frames": 48,
            "specaug_bands": 48, "mixup": 0.5,
        },
    ),
    "voxceleb": Recipe(
        "VoxCeleb1, speaker identification",
        10, 1024, -6.370, 3.074, 0.0,
        {
            "epochs": 60, "warmup_epochs": 4, "batch_size": 64, "base_learning_rate": 1e-3,
            "loss": "ce", "roll": True, "noise_db": 20, "specaug_frames": 192, "specaug_bands": 48,
        },
    ),
    "imagenet": Recipe(
        "ImageNet, pictures",
        0, 224, settings={"epochs": 50, "warmup_epochs": 5, "batch_size": 1024, "loss": "ce"},
    ),
}  # fmt: skip

PROBING: Settings = {
    "epochs": 50, "warmup_epochs": 0, "weight_decay": 0.0, "drop_path": 0.0, "roll": False, "noise_db": 0.0,
    "specaug_frames": 0, "specaug_bands": 0, "mixup": 0.0,
}  # fmt: skip
"""What a linear probe sets otherwise than the fine-tuning of its data set."""
NO_AUGMENTATION: Settings = {
    "roll": False, "noise_db": 0.0, "specaug_frames": 0, "specaug_bands": 0, "mixup": 0.0,
}  # fmt: skip
"""Of Table 2 of MW-MAE, which compares without (section 4.4)."""
