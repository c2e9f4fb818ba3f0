"""The papers' supervised runs: their settings are the published ones, and each is a run that can be built."""

import csv

import pytest
from paths import ROOT

from hear_mwmae.config import AUDIO_MAE_B, NAMED_MODELS
from hear_mwmae.errors import UserError
from hear_mwmae.supervised.configs import MODELS, RECIPES, find_run
from hear_mwmae.supervised.configs.recipes import AUDIOSET_MEAN, AUDIOSET_STD

COLUMNS = {
    "AS-2M": "audioset_2m", "AS-20K": "audioset_20k", "ESC": "esc50", "SPC-2": "speech_commands_2",
    "SPC-1": "speech_commands_1", "SID": "voxceleb",
}  # fmt: skip
SAMPLING = {"True": "weighted", "False": "each"}


def published() -> dict[str, dict[str, str]]:
    """Column by column of Table 1 of the supplement."""
    with (ROOT / "results" / "published" / "audiomae_table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: {row["configuration"]: row[column] for row in rows} for column in COLUMNS}


@pytest.mark.parametrize("column", COLUMNS)
def test_settings_are_those_of_the_supplement(column: str) -> None:
    table, name = published()[column], COLUMNS[column]
    config, recipe = find_run(f"{name}:audio_mae_b", "finetune"), RECIPES[name]
    numbers = {
        "beta1": config.beta1, "beta2": config.beta2, "weight_decay": config.weight_decay,
        "base_lr": config.base_learning_rate, "min_lr": config.min_learning_rate,
        "warmup_epochs": config.warmup_epochs, "epochs": config.epochs, "batch_size": config.batch_size,
        "specaug_time": config.specaug_frames, "specaug_freq": config.specaug_bands,
        "drop_path": config.drop_path, "mixup": config.mixup, "clip_seconds": recipe.seconds,
        "input_frames": config.model.input_size[0], "mel_bins": config.model.input_size[1],
    }  # fmt: skip
    assert {key: float(value) for key, value in numbers.items()} == {
        key: float(table[key]) for key in numbers
    }
    assert config.loss.upper() == table["loss"]
    assert config.roll
    assert not config.gain
    assert ("N" in table["augmentation"]) == (config.noise_db == 20)
    assert config.model.feature_mean == pytest.approx(float(table["norm_mean"]), abs=5e-4)
    # ESC-50's 5.358466 is printed as 5.359.
    assert config.model.feature_std == pytest.approx(float(table["norm_std"]), abs=6e-4)
    if name == "speech_commands_1":
        assert "repeat and balance" in table["weighted_sampling"]
        assert config.sampling == "balanced"
    else:
        assert config.sampling == SAMPLING[table["weighted_sampling"]]
    assert config.clips_per_epoch == int(table["weighted_sampling_size"] or 0)
    small = find_run(f"{name}:audio_mae_s", "finetune")
    assert small.base_learning_rate == float(table["base_lr_vit_s"] or table["base_lr"])


@pytest.mark.parametrize("mode", ["finetune", "probe"])
@pytest.mark.parametrize("tiny", [False, True])
def test_every_model_goes_with_every_data_set_that_it_can_read(mode: str, tiny: bool) -> None:
    count = 0
    for data in RECIPES:
        for name, model in MODELS.items():
            if (data == "imagenet") != (model.front_end == "rgb_224"):
                with pytest.raises(UserError, match="which the data set does not have"):
                    find_run(f"{data}:{name}", mode)
                continue
            config = find_run(f"{data}:{name}", mode, tiny=tiny)
            assert config.frames >= 98
            assert config.model.class_token == model.class_token
            assert config.model.encoder_windows == model.encoder_windows
            count += 1
    assert count == 6 * (len(MODELS) - 2) + 2


def test_table_2_is_without_augmentation_and_reads_ten_seconds() -> None:
    tuned, probed = (find_run("audioset_20k:mw_mae_b_encoder", mode) for mode in ("finetune", "probe"))
    assert not tuned.augmented
    assert (tuned.frames, tuned.model.input_size[0], tuned.model.tokens) == (1000, 1000, 1250)
    assert (probed.frames, probed.model.input_size[0]) == (1000, 200)
    assert probed.weight_decay == 0


def test_starts_of_audio_mae_are_told_apart() -> None:
    names = {name for name in MODELS if name.startswith("audio_mae_")}
    assert names == {
        "audio_mae_b", "audio_mae_b_contrast", "audio_mae_b_both", "audio_mae_b_global", "audio_mae_s",
        "audio_mae_l", "audio_mae_h", "audio_mae_b_supervised", "audio_mae_b_global_supervised",
    }  # fmt: skip
    assert set(NAMED_MODELS) < set(MODELS)
    assert (AUDIO_MAE_B.feature_mean, AUDIO_MAE_B.feature_std) == (AUDIOSET_MEAN, AUDIOSET_STD)
