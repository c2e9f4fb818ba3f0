"""The papers' supervised runs, named `<data>:<model>`, as `audioset_20k:mw_mae_b`.

Every data set of `recipes.RECIPES` goes with every model of `MODELS`; published are those of `PUBLISHED`.
"""

import dataclasses

from hear_mwmae.config import NAMED_MODELS, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import audio_mae, table2, table5
from hear_mwmae.supervised.configs.recipes import NO_AUGMENTATION, PROBING, RECIPES, Recipe, Settings
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.initial import with_frames

__all__ = ["MODELS", "RECIPES", "find_run", "for_model"]

AUDIO_MAE: dict[str, ModelConfig] = {
    f"audio_mae_{name.removeprefix('as2m_').removesuffix('_local')}": run.train.model
    for name, run in audio_mae.RUNS.items()
}
MODELS: dict[str, ModelConfig] = (
    {name: named.config for name, named in NAMED_MODELS.items()}
    | {name: run.train.model for name, run in table2.RUNS.items()}
    | {name: run.train.model for name, run in table5.RUNS.items()}
    | AUDIO_MAE
    | {f"{name}_supervised": AUDIO_MAE[name] for name in ("audio_mae_b", "audio_mae_b_global")}
)
"""Encoders by name. Audio-MAE's say how the checkpoint to give was pre-trained; "supervised": then fine-tuned
on AudioSet's labels."""
FRAMES_PER_SECOND = 100
KALDI_BANDS = 128


def find_run(name: str, mode: str, *, tiny: bool = False) -> SupervisedConfig:
    """Look a run up by `<data>:<model>`; `tiny` gives its variant for a CPU and some dozens of clips.

    Raises:
        UserError: no such data set or model, or a model that does not read it.
    """
    data, _, model = name.partition(":")
    if data not in RECIPES:
        raise UserError(f"There is no data set {data!r} in {name!r}; use one of {', '.join(RECIPES)}.")
    if model not in MODELS:
        raise UserError(f"There is no model {model!r} in {name!r}; use one of {', '.join(MODELS)}.")
    if (data == "imagenet") != (MODELS[model].front_end == "rgb_224"):
        raise UserError(
            f"{name}: the model reads {MODELS[model].front_end}, which the data set does not have."
        )
    config = for_model(MODELS[model], RECIPES[data], mode)
    if data == "audioset_20k" and model in table2.RUNS:
        config = dataclasses.replace(config, **NO_AUGMENTATION)
    return tiny_run(config) if tiny else config


def for_model(model: ModelConfig, recipe: Recipe, mode: str) -> SupervisedConfig:
    """Return the training of an encoder on a data set.

    It is for clips of the recipe's length, see `at_length`.
    """
    settings: Settings = {**recipe.settings, **(PROBING if mode == "probe" else {})}
    if model.width == audio_mae.RUNS["as2m_s_local"].train.model.width and recipe.base_learning_rate_vit_s:
        settings["base_learning_rate"] = recipe.base_learning_rate_vit_s
    frames = recipe.frames
    if model.front_end == "log_mel_80":
        frames = round(recipe.seconds * FRAMES_PER_SECOND)
    if model.feature_std and recipe.feature_std:
        model = dataclasses.replace(model, feature_mean=recipe.feature_mean, feature_std=recipe.feature_std)
    return at_length(SupervisedConfig(with_frames(model, model.input_size[0]), mode=mode, **settings), frames)


def at_length(config: SupervisedConfig, frames: int) -> SupervisedConfig:
    """Return a run that reads about so many frames of a clip: whole patches, or whole pieces.

    Never fewer than there are in the clip. Fine-tuning reads one piece of that length, unless the windows of
    an encoder do not divide it; a probe reads pieces of the length that the encoder was trained on, or one
    shorter piece of short clips.

    Raises:
        UserError: windows of the encoder that do not fit.
    """
    patch, piece = config.model.patch_size[0], config.model.input_size[0]
    whole = -(-frames // patch) * patch
    in_pieces = dataclasses.replace(config, input_frames=-(-frames // piece) * piece)
    if config.mode == "probe" and whole > piece:
        return in_pieces
    try:
        return dataclasses.replace(config, model=with_frames(config.model, whole), input_frames=0)
    except UserError:
        if config.model.encoder_windows:
            return in_pieces
        raise


def with_specaug_in_proportion(config: SupervisedConfig, frames: int) -> SupervisedConfig:
    """Return a run whose SpecAugment hides up to the share of ESC-50's recipe, of clips of another length."""
    esc50 = RECIPES["esc50"]
    return dataclasses.replace(
        config,
        specaug_frames=round(frames * esc50.settings["specaug_frames"] / esc50.frames),
        specaug_bands=round(config.model.input_size[1] * esc50.settings["specaug_bands"] / KALDI_BANDS),
    )


def tiny_run(config: SupervisedConfig) -> SupervisedConfig:
    """Return a run of the same kind for a CPU; its scores mean nothing."""
    model = dataclasses.replace(config.model, width=config.model.width // 8, depth=config.model.depth // 6)
    batch = min(config.batch_size, 8)
    return dataclasses.replace(
        config,
        model=model,
        epochs=4,
        warmup_epochs=1,
        batch_size=batch,
        clips_per_epoch=0,
        precision="float32",
    )
