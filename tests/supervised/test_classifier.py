"""Fine-tuning's model, loss and optimiser against the released Audio-MAE, and what its parts promise."""

import dataclasses

import golden_audio_mae
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_audio_mae import images, leaf, load, needs_golden

from hear_mwmae.pretrain.training.optimiser import decayed, learning_rate_schedule
from hear_mwmae.supervised.model.classifier import (
    classification_loss,
    classify,
    draw_branches,
    init_classifier,
)
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.initial import random_encoder
from hear_mwmae.supervised.training.optimiser import finetuning_optimiser, layer_scales

CONFIG = SupervisedConfig(
    golden_audio_mae.LOCAL, loss="bce", mask_time_ratio=0.2, mask_frequency_ratio=0.2, drop_path=0.5
)
SMALL = SupervisedConfig(
    dataclasses.replace(golden_audio_mae.LOCAL, input_size=(64, 128), decoder_attention="global"),
    drop_path=0.5,
)
FEATURES = jnp.asarray(np.random.default_rng(0).standard_normal((3, 64, 128)), jnp.float32)


def golden_params() -> dict:
    return golden_audio_mae.params("classifier", CONFIG.model)


def noise_of(arrays: dict, name: str) -> jax.Array:
    return jnp.concatenate([arrays[f"{name}/noise_t"], arrays[f"{name}/noise_f"]], axis=-1)


@needs_golden
def test_logits_are_those_of_the_released_classifier() -> None:
    arrays, features = load("classifier"), images("classifier")
    logits, pooled = classify(golden_params(), features, CONFIG)
    np.testing.assert_allclose(pooled, arrays["pooled"], atol=1e-5)
    np.testing.assert_allclose(logits, arrays["logits"], atol=1e-5)
    assert CONFIG.visible_grid == (51, 6)
    logits, pooled = classify(golden_params(), features, CONFIG, mask_noise=noise_of(arrays, "masked"))
    np.testing.assert_allclose(pooled, arrays["masked/pooled"], atol=1e-5)
    np.testing.assert_allclose(logits, arrays["masked/logits"], atol=1e-5)


@needs_golden
def test_stochastic_depth_leaves_out_what_the_release_does() -> None:
    arrays, features = load("classifier"), images("classifier")
    uniform = np.ones((4, 2, 2), np.float32) * 0.5  # the first block leaves nothing out
    uniform[:, 1:] = np.moveaxis(arrays["drop_path/uniform"], 2, 0)
    branches = draw_branches(jnp.asarray(uniform), 0.5)
    assert set(np.unique(branches)) == {0, 1, 2}
    logits, _ = classify(
        golden_params(),
        np.concatenate([features, features[::-1]]),
        CONFIG,
        mask_noise=noise_of(arrays, "drop_path"),
        branches=branches,
    )
    np.testing.assert_allclose(logits, arrays["drop_path/logits"], atol=1e-5)


@needs_golden
def test_a_classifier_on_a_pre_trained_encoder_does_not_use_its_last_normalisation() -> None:
    encoder = golden_audio_mae.params("mae_global", golden_audio_mae.MODELS["mae_global"])["encoder"]
    given = golden_params()
    params = init_classifier(encoder, CONFIG.model, 11, jax.random.key(0))
    assert params.keys() == given.keys()
    assert np.all(params["norm"]["weight"] == 1)
    assert "norm" not in params["encoder"]
    logits, _ = classify(
        params | {"norm": given["norm"], "head": given["head"]}, images("classifier"), CONFIG
    )
    np.testing.assert_allclose(logits, load("classifier")["from_mae/logits"], atol=1e-5)


@needs_golden
@pytest.mark.parametrize(
    ("name", "loss", "targets", "smoothing"),
    [
        ("bce_multi_hot", "bce", "multi_hot", 0.0),
        ("bce_mixed", "bce", "mixed", 0.0),
        ("ce", "ce", "class", 0.0),
        ("ce_smoothing_0p1", "ce", "class", 0.1),
        ("soft_target_ce", "ce", "mixed", 0.0),
    ],
)
def test_losses_are_those_of_the_release(name: str, loss: str, targets: str, smoothing: float) -> None:
    arrays = load("classifier")
    labels = arrays[f"labels/{targets}"]
    if labels.ndim == 1:
        labels = np.eye(11, dtype=np.float32)[labels]
    found = classification_loss(arrays["logits"], jnp.asarray(labels), loss=loss, label_smoothing=smoothing)
    np.testing.assert_allclose(found, arrays[f"loss/{name}"], rtol=2e-6)


def masked_loss(params: dict, noise: jax.Array, config: SupervisedConfig = CONFIG) -> jax.Array:
    logits, _ = classify(params, images("classifier"), config, mask_noise=noise)
    return classification_loss(logits, jnp.asarray(load("classifier")["labels/mixed"]), loss="bce")


@needs_golden
def test_gradients_are_those_of_the_release() -> None:
    arrays = load("classifier")
    loss, gradient = jax.value_and_grad(masked_loss)(golden_params(), noise_of(arrays, "masked"))
    np.testing.assert_allclose(loss, arrays["masked/loss_bce_mixed"], rtol=5e-6)
    names = [name.removeprefix("grad/") for name in arrays if name.startswith("grad/")]
    assert len(names) == 9
    for name in names:
        expected = golden_audio_mae.layout(name, arrays[f"grad/{name}"], CONFIG.model)
        found = leaf(gradient, name)
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), err_msg=name)


@needs_golden
def test_rates_and_decay_of_every_layer_are_those_of_the_release() -> None:
    arrays, params = load("classifier"), golden_params()
    scales = layer_scales(params, float(arrays["lrd/layer_decay"]))
    decays = decayed(params, CONFIG)
    for name, scale, decay in zip(
        arrays["lrd/names"], arrays["lrd/scale"], arrays["lrd/weight_decay"], strict=True
    ):
        path, block = golden_audio_mae.place(str(name))
        found, is_decayed = scales, decays
        for key in path.split("/"):
            found, is_decayed = found[key], is_decayed[key]
        found = np.ravel(found)[block] if block is not None else found
        np.testing.assert_allclose(found, scale, rtol=1e-6, err_msg=str(name))
        assert is_decayed == (decay > 0), name


@pytest.mark.slow
@needs_golden
def test_three_updates_are_those_of_the_release() -> None:
    arrays = load("classifier")
    config = dataclasses.replace(
        CONFIG, epochs=10, warmup_epochs=2, batch_size=256, base_learning_rate=4e-3, min_learning_rate=1e-6,
        weight_decay=0.05, beta2=0.999,
    )  # fmt: skip
    # Ten epochs of so many steps that the release's epochs are whole numbers of them.
    steps_per_epoch = 1000
    schedule = learning_rate_schedule(config, steps_per_epoch)
    params, noises = golden_params(), noise_of(arrays, "train")
    optimiser = finetuning_optimiser(config, steps_per_epoch)
    state = optimiser.init(params)
    loss_and_gradient = jax.jit(jax.value_and_grad(masked_loss))
    for number, epoch in enumerate(arrays["train/epoch"]):
        done = round(float(epoch) * steps_per_epoch)
        np.testing.assert_allclose(schedule(done), arrays["train/lr"][number], rtol=1e-5)
        loss, gradient = loss_and_gradient(params, noises[number])
        np.testing.assert_allclose(loss, arrays["train/loss"][number], rtol=5e-5)
        state = at_step(state, done)
        updates, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    for name in (key for key in arrays if key.startswith("train/param/")):
        short = name.removeprefix("train/param/")
        expected = golden_audio_mae.layout(short, arrays[name], config.model)
        np.testing.assert_allclose(leaf(params, short), expected, atol=1e-5, err_msg=short)
    logits, _ = classify(params, images("classifier"), config)
    np.testing.assert_allclose(logits, arrays["train/final_logits"], atol=1e-4)


def at_step(state: optax.OptState, done: int) -> optax.OptState:
    """Move the schedule, and not Adam's own count of its updates, to so many updates done."""

    def moved(part: object) -> object:
        if isinstance(part, optax.ScaleByScheduleState):
            return part._replace(count=jnp.asarray(done, jnp.int32))
        return part

    return jax.tree.map(moved, state, is_leaf=lambda part: isinstance(part, optax.ScaleByScheduleState))


def test_a_long_input_is_read_in_pieces() -> None:
    encoder = random_encoder(SMALL.model, 0)
    params = init_classifier(encoder, SMALL.model, 5, jax.random.key(1))
    both = jnp.concatenate([FEATURES[:1], FEATURES[1:2]], axis=1)
    _, pooled = classify(params, both, dataclasses.replace(SMALL, input_frames=128))
    halves = [classify(params, FEATURES[row : row + 1], SMALL)[1] for row in (0, 1)]
    # With the identity as norm, a normalised mean says the mean up to shift and scale.
    assert pooled.shape == halves[0].shape
    assert not np.allclose(pooled, halves[0], atol=1e-3)
    same = jnp.concatenate([FEATURES[:1], FEATURES[:1]], axis=1)
    _, twice = classify(params, same, dataclasses.replace(SMALL, input_frames=128))
    np.testing.assert_allclose(twice, halves[0], atol=1e-5)


def test_drop_path_keeps_the_expected_sum() -> None:
    uniform = jax.random.uniform(jax.random.key(0), (20000, 3, 2))
    branches = np.asarray(draw_branches(uniform, 0.4))
    np.testing.assert_array_equal(branches[:, 0], 1)
    np.testing.assert_allclose(branches.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose((branches == 0).mean(axis=0), [[0, 0], [0.2, 0.2], [0.4, 0.4]], atol=0.015)
