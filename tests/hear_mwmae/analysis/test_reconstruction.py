"""Reconstruction: masked cells are the model's and only those, and nothing hidden reaches it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import small_models

from hear_mwmae.analysis import reconstruction, trained
from hear_mwmae.analysis.inversion import power_of, sound_of
from hear_mwmae.analysis.masking import MaskChoice, choose_mask, draw_mask
from hear_mwmae.analysis.reconstruction import reconstruct, sounds_of
from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model import mae

kinds = pytest.mark.parametrize("config", small_models.CONFIGS.values(), ids=small_models.CONFIGS)
MASKS = [choose_mask(ratio=0.5), choose_mask("time"), choose_mask("frequency"), choose_mask("time+frequency")]


@kinds
@pytest.mark.parametrize("choice", MASKS, ids=lambda choice: choice.kind)
def test_visible_cells_are_pasted_back_piece_by_piece(config: ModelConfig, choice: MaskChoice) -> None:
    model, sound = small_models.trained(config), small_models.voice(1.5)
    found = reconstruct(model, sound, choice)
    assert found.output.shape == found.original.shape == found.masked.shape
    np.testing.assert_array_equal(found.original, model.front_end.analyse(sound))
    np.testing.assert_array_equal(found.output[~found.masked], found.original[~found.masked])
    assert (found.output[found.masked] != found.original[found.masked]).mean() > 0.99
    assert 0.2 < found.hidden < 0.95
    length = config.input_size[0]
    first, second = found.masked[:length], found.masked[length : 2 * length]
    assert choice.kind == "frequency" or (first != second).any()
    other = reconstruct(model, sound, choice, seed=1)
    assert (other.masked != found.masked).any()
    error = np.square(found.output - found.original, dtype=np.float64)[found.masked].mean() ** 0.5
    assert found.error_db == pytest.approx(10 / np.log(10) * error, rel=1e-6)


@kinds
def test_the_prediction_is_the_models_under_that_mask(config: ModelConfig) -> None:
    model, length = small_models.trained(config), config.input_size[0]
    features = np.random.default_rng(0).standard_normal(config.input_size).astype(np.float32)
    mask = draw_mask(config, choose_mask(ratio=0.5), config.grid[0], np.random.default_rng(0))
    prediction, masked = trained.predict(model, features, mask)
    out = mae.forward(model.params, jnp.asarray(features[None]), jnp.asarray(mask.noise[None]), mask.config)
    expected = mae.unpatchify(out["prediction"], config)[0]
    np.testing.assert_allclose(prediction, expected, atol=1e-5)
    assert masked.shape == (length, config.input_size[1])
    # What is hidden does not reach the model.
    other, _ = trained.predict(model, np.where(masked, 7.0, features).astype(np.float32), mask)
    np.testing.assert_array_equal(prediction, other)


@kinds
def test_level_and_deviation_of_patches_are_put_back(config: ModelConfig) -> None:
    config = dataclasses.replace(config, norm_pix_loss=True)
    model = small_models.trained(config)
    features = np.random.default_rng(0).normal(3, 2, config.input_size).astype(np.float32)
    mask = draw_mask(config, choose_mask(ratio=0.5), config.grid[0], np.random.default_rng(0))
    out = mae.forward(model.params, jnp.asarray(features[None]), jnp.asarray(mask.noise[None]), mask.config)
    truth = mae.patchify(jnp.asarray(features[None]), config.patch_size)
    prediction, _ = trained.predict(model, features, mask)
    unbiased = int(config.conventions == "audio_mae")
    std = jnp.sqrt(truth.var(axis=-1, keepdims=True, ddof=unbiased) + 1e-6)
    mean = truth.mean(axis=-1, keepdims=True)
    # The target, turned round in the same way, is the truth.
    np.testing.assert_allclose(out["target"] * std + mean, truth, atol=1e-4)
    expected = mae.unpatchify(out["prediction"] * std + mean, config)[0]
    np.testing.assert_allclose(prediction, expected, atol=1e-4)


def test_a_perfect_model_gives_the_sound_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reconstruction,
        "predict",
        lambda model, features, mask: (features, trained.predict(model, features, mask)[1]),
    )
    for config in small_models.CONFIGS.values():
        model, sound = small_models.trained(config), small_models.voice(0.5)
        found = reconstruct(model, sound, choose_mask(ratio=0.5))
        np.testing.assert_allclose(found.output, found.original, atol=2e-5)
        masked, output = sounds_of(found, model.front_end, len(sound))
        power = power_of(model.front_end.mel_power(found.original), model.front_end.filters)
        whole = sound_of(power, model.front_end, len(sound))
        np.testing.assert_allclose(output, whole, atol=0.02)
        assert np.square(masked).sum() < 0.9 * np.square(output).sum()


@kinds
def test_a_mask_that_hides_all_of_a_short_sound(config: ModelConfig) -> None:
    model, sound = small_models.trained(config), small_models.voice(0.05)
    if config is small_models.LOG_MEL:
        with pytest.raises(UserError, match="hides 2 of 2 columns"):
            reconstruct(model, sound, choose_mask("time", ratio=0.9))
        return
    messages = set()
    for seed in range(20):
        try:
            reconstruct(model, sound, choose_mask("time", ratio=0.5), seed=seed)
        except UserError as error:
            messages.add(str(error))
    assert messages == {
        f"is so short that the mask hides {what} of it; choose another --seed or ratio."
        for what in ("all", "nothing")
    }


def test_a_rest_that_is_too_short_for_the_mask_stays() -> None:
    model = small_models.trained(small_models.LOG_MEL)
    found = reconstruct(model, small_models.voice(0.41), choose_mask("time"))
    assert len(found.masked) == 42
    assert found.masked[:40].mean() == 0.7
    assert not found.masked[40:].any()
