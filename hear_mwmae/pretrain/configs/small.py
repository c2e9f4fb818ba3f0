"""Small models on 6 hours of free recordings: the two that the package carries, and questions left open.

    hear-mwmae pretrain --config small:mw_mae_t --data DIR --workdir W

No rows of the paper: nothing is published to compare with. Every run departs from `small:mae_t` or
`small:mw_mae_t` in the one thing that its name says. The encoder is ViT-T as in Table 8; the
decoder (2 blocks of width 192), 6 epochs and batches of 32 are what one CPU core can do in three quarters of
an hour; the rate is raised as the run is short, and numbers are float32, which a CPU multiplies as fast as
bfloat16. Recordings of non-commercial licences, and those that evaluation sets hold too, are left out.

`audio_mae_t` is an Audio-MAE of as many updates: 512 frames, a local decoder of 4 blocks of width 192, cyclic
roll. Its data are prepared with --front-end fbank_128, and it is trained with --normalise data.

run                        row                         parameters   published    FLOPs    H200  TPU v3-8
small:mae_t                ViT-T MAE                        6.4 M             1.26e+14   0.0 h     0.0 h
small:mw_mae_t             ViT-T MW-MAE                     6.4 M             1.18e+14   0.0 h     0.0 h
small:audio_mae_t          ViT-T Audio-MAE, 512 frames      7.4 M             1.73e+14   0.0 h     0.0 h
small:mw_mae_t_no_bias     no position bias                 6.4 M             1.18e+14   0.0 h     0.0 h
small:mae_t_no_class_token no class token MAE               6.4 M             1.25e+14   0.0 h     0.0 h
small:mae_t_fixed_codes    fixed position codes MAE         6.4 M             1.26e+14   0.0 h     0.0 h
small:mw_mae_t_fixed_codes fixed position codes MW-MAE      6.4 M             1.18e+14   0.0 h     0.0 h
small:mae_t_8x16           8x16 MAE                         6.4 M             6.08e+13   0.0 h     0.0 h
small:mw_mae_t_8x16        8x16 MW-MAE                      6.4 M             5.81e+13   0.0 h     0.0 h
small:mae_t_16_crops       16 crops per clip MAE            6.4 M             1.27e+14   0.0 h     0.0 h
small:mw_mae_t_16_crops    16 crops per clip MW-MAE         6.4 M             1.18e+14   0.0 h     0.0 h
small:mae_t_10_percent     10% MAE                          6.4 M             1.22e+13   0.0 h     0.0 h
small:mw_mae_t_10_percent  10% MW-MAE                       6.4 M             1.14e+13   0.0 h     0.0 h
small:mae_t_30_percent     30% MAE                          6.4 M             3.80e+13   0.0 h     0.0 h
small:mw_mae_t_30_percent  30% MW-MAE                       6.4 M             3.54e+13   0.0 h     0.0 h
"""

import dataclasses
from typing import TypedDict, Unpack

from hear_mwmae.config import AUDIO_MAE_B, ModelConfig
from hear_mwmae.pretrain.configs.run import ENCODERS, Run, both
from hear_mwmae.pretrain.settings import TrainConfig

CLIPS = 6301


class Settings(TypedDict, total=False):
    """Fields of `TrainConfig` that are set here."""

    epochs: float
    warmup_epochs: float
    batch_size: int
    base_learning_rate: float
    precision: str
    crops_per_clip: int
    data_fraction: float
    beta2: float
    weight_decay: float
    decay_all: bool
    decay_tokens: bool
    roll: bool


class Differences(TypedDict, total=False):
    """Fields of `ModelConfig` in which the runs differ."""

    patch_size: tuple[int, int]
    position_codes: str


SHORT: Settings = {
    "epochs": 6,
    "warmup_epochs": 0.5,
    "batch_size": 32,
    "base_learning_rate": 0.006,
    "precision": "float32",
}


def _run(model: ModelConfig, row: str, **train: Unpack[Settings]) -> Run:
    config = TrainConfig(model, **SHORT | train)
    return Run(config, row, published={}, clips=CLIPS)


def _pair(
    suffix: str, row: str, train: Settings | None = None, **model: Unpack[Differences]
) -> dict[str, Run]:
    """The runs `mae_t<suffix>` and `mw_mae_t<suffix>`; `train` are settings, `model` fields that differ."""
    mae, mw_mae = both(ModelConfig(**ENCODERS["t"], decoder_width=192, decoder_depth=2, **model))
    return {
        f"mae_t{suffix}": _run(mae, f"{row} MAE", **(train or {})),
        f"mw_mae_t{suffix}": _run(mw_mae, f"{row} MW-MAE", **(train or {})),
    }


# Sixteen crops of a clip lie in one batch; in a sixteenth of the passes there are as many crops in all.
CROPS: Settings = {
    "crops_per_clip": 16,
    "epochs": SHORT["epochs"] / 16,
    "warmup_epochs": SHORT["warmup_epochs"] / 16,
}

BUNDLED = _pair("", "ViT-T")
_MAE, _MW_MAE = (run.train.model for run in BUNDLED.values())

AUDIO_MAE = dataclasses.replace(
    AUDIO_MAE_B, **ENCODERS["t"], input_size=(512, 128), decoder_width=192, decoder_depth=4
)
AUDIO_MAE_SETTINGS: Settings = {
    "beta2": 0.95,
    "weight_decay": 1e-4,
    "decay_all": False,
    "decay_tokens": True,
    "roll": True,
}

RUNS = (
    BUNDLED
    | {"audio_mae_t": _run(AUDIO_MAE, "ViT-T Audio-MAE, 512 frames", **AUDIO_MAE_SETTINGS)}
    | {
        "mw_mae_t_no_bias": _run(
            dataclasses.replace(_MW_MAE, relative_position_bias=False), "no position bias"
        )
    }
    | {"mae_t_no_class_token": _run(dataclasses.replace(_MAE, class_token=False), "no class token MAE")}
    | _pair("_fixed_codes", "fixed position codes", position_codes="fixed")
    | _pair("_8x16", "8x16", patch_size=(8, 16))
    | _pair("_16_crops", "16 crops per clip", CROPS)
    | _pair("_10_percent", "10%", {"data_fraction": 0.1})
    | _pair("_30_percent", "30%", {"data_fraction": 0.3})
)
