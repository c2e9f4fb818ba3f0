"""Masks: the rules of the options, how many patches they leave, and what they refuse."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest
import small_models

from hear_mwmae.analysis.masking import MaskChoice, choose_mask, draw_mask, mask_columns
from hear_mwmae.config import AUDIO_MAE_B, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.masks import make_mask


def hidden(mask, config: ModelConfig) -> np.ndarray:
    """Which patches the model does not see, as columns by bands."""
    made = make_mask(jnp.asarray(mask.noise, jnp.float32)[None], mask.config)
    return np.asarray(made.masked[0]).reshape(config.grid) > 0


def draw(config: ModelConfig, choice: MaskChoice, columns: int | None = None, seed: int = 0) -> np.ndarray:
    columns = config.grid[0] if columns is None else columns
    return hidden(draw_mask(config, choice, columns, np.random.default_rng(seed)), config)


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        ({}, MaskChoice("random", 0.7)),
        ({"ratio": 0.8}, MaskChoice("random", 0.8)),
        ({"kind": "time"}, MaskChoice("time", 0, 0.7)),
        ({"kind": "time", "ratio": 0.25}, MaskChoice("time", 0, 0.25)),
        ({"kind": "frequency"}, MaskChoice("frequency", 0, 0, 0.3)),
        ({"kind": "frequency", "frequency": 0.5}, MaskChoice("frequency", 0, 0, 0.5)),
        ({"kind": "time+frequency"}, MaskChoice("time+frequency", 0, 0.7, 0.3)),
        ({"kind": "time+frequency", "time": 0.2}, MaskChoice("time+frequency", 0, 0.2, 0.3)),
        ({"kind": "time+frequency", "ratio": 0.75}, MaskChoice("time+frequency", 0, 0.5, 0.5)),
    ],
)
def test_the_options_make_one_mask(options: dict, choice: MaskChoice) -> None:
    assert choose_mask(**options) == choice


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "stripes"}, "--mask 'stripes' is unknown"),
        ({"ratio": 0.0}, "--mask-ratio 0.0 is not between 0 and 1"),
        ({"ratio": 1.0}, "--mask-ratio 1.0 is not between 0 and 1"),
        ({"ratio": float("nan")}, "--mask-ratio nan is not between"),
        ({"kind": "time", "time": -0.1}, "--mask-time -0.1 is not between"),
        ({"time": 0.5}, "--mask-time has no meaning with --mask random"),
        ({"kind": "time", "frequency": 0.5}, "--mask-frequency has no meaning with --mask time"),
        ({"kind": "time", "ratio": 0.5, "time": 0.5}, "exclude each other"),
    ],
)
def test_options_that_make_none(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        choose_mask(**options)


@pytest.mark.parametrize(
    ("choice", "visible"),
    [
        (choose_mask(ratio=0.7), 154),
        (choose_mask(ratio=0.8), 102),
        (choose_mask("time"), 19 * 8),
        (choose_mask("time", ratio=0.25), 48 * 8),
        (choose_mask("frequency"), 64 * 5),
        (choose_mask("time+frequency"), 19 * 5),
        (choose_mask("time+frequency", ratio=0.7), 35 * 4),
    ],
)
def test_as_many_patches_as_in_figures_and_program(choice: MaskChoice, visible: int) -> None:
    masked = draw(AUDIO_MAE_B, choice)
    assert (~masked).sum() == visible
    if choice.kind != "random":
        lines = (~masked).any(axis=1)[:, None] & (~masked).any(axis=0)
        np.testing.assert_array_equal(~masked, lines)
    assert (masked != draw(AUDIO_MAE_B, choice, seed=1)).any()


@pytest.mark.parametrize(
    "choice", [choose_mask(ratio=0.5), choose_mask("time"), choose_mask("time+frequency")]
)
def test_reflections_do_not_show_what_is_hidden(choice: MaskChoice) -> None:
    masked = draw(small_models.LOG_MEL, choice, columns=6)
    assert masked[6:].all()
    assert 0 < masked[:6].sum() < masked[:6].size
    if choice.kind == "random":
        assert masked[:6].sum() == 15
    assert not draw(small_models.KALDI, choose_mask(ratio=0.5), columns=2, seed=1)[2:].all()  # rows of 0


@pytest.mark.parametrize("columns", [2, 3, 7, 16])
def test_columns_are_hidden_exactly(columns: int) -> None:
    config = dataclasses.replace(small_models.LOG_MEL, input_size=(4 * columns, 80))
    for count in range(1, columns):
        wanted = np.random.default_rng(count).permutation(columns) < count
        for one in (config, dataclasses.replace(config, conventions="audio_mae")):
            mask = mask_columns(one, wanted)
            np.testing.assert_array_equal(hidden(mask, one), np.repeat(wanted[:, None], 5, axis=1))


def test_random_masks_of_every_size_in_both_ways_of_rounding() -> None:
    for config in (small_models.LOG_MEL, dataclasses.replace(small_models.LOG_MEL, conventions="audio_mae")):
        for count in (1, 2, 9, 25, 49):
            assert draw(config, choose_mask(ratio=count / config.tokens)).sum() == count


@pytest.mark.parametrize(
    ("choice", "columns"),
    [
        (choose_mask(ratio=0.001), 10),
        (choose_mask(ratio=0.999), 10),
        (choose_mask("time", ratio=0.95), 10),
        (choose_mask("time"), 1),
        (choose_mask("frequency", ratio=0.9), 10),
    ],
)
def test_masks_that_hide_nothing_or_all(choice: MaskChoice, columns: int) -> None:
    with pytest.raises(UserError, match="choose a ratio that hides some"):
        draw(small_models.LOG_MEL, choice, columns)


@pytest.mark.parametrize("lost", [np.zeros(10, bool), np.ones(10, bool)])
def test_no_column_or_every_column(lost: np.ndarray) -> None:
    with pytest.raises(UserError, match="of 10 columns"):
        mask_columns(small_models.LOG_MEL, lost)


def test_windows_of_the_encoder_must_divide_what_is_left() -> None:
    config = dataclasses.replace(
        small_models.LOG_MEL, class_token=False, encoder_windows=(10, 0), mask_ratio=0.8
    )
    assert draw(config, choose_mask(ratio=0.6)).sum() == 30
    with pytest.raises(UserError, match="windows of this model's encoder do not divide"):
        draw(config, choose_mask(ratio=0.7))
