"""AdamW, its schedule and which parameters decay, against optax's own parts and the released code's rules."""

import dataclasses
import functools

import golden_audio_mae
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_jax import SMALL, checkpoint_params, load, needs_golden, params_from_release

from hear_mwmae.config import ModelConfig, paper_windows
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.mae import forward, init_params
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.optimiser import decayed, learning_rate_schedule, make_optimiser

MODEL = ModelConfig(
    input_size=(40, 80), width=16, depth=2, heads=2, decoder_width=24, decoder_depth=1, decoder_heads=6
)
MODEL = dataclasses.replace(MODEL, decoder_windows=paper_windows(MODEL.tokens))
CONFIG = TrainConfig(model=MODEL, epochs=10, warmup_epochs=2, batch_size=256, base_learning_rate=1e-3)


PARAMS = jax.eval_shape(lambda: init_params(MODEL, jax.random.key(0)))


def names(tree: dict) -> dict[str, object]:
    """Return the leaves of a tree by their path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def test_schedule_is_the_usual_warm_up_and_cosine() -> None:
    schedule = learning_rate_schedule(CONFIG, 7)
    reference = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 14, 70)
    assert schedule(0) == 0
    np.testing.assert_allclose(schedule(14), 1e-3, rtol=1e-6)
    for step in range(71):
        np.testing.assert_allclose(schedule(step), reference(step), atol=1e-9)


def test_schedule_without_warm_up_starts_at_the_top() -> None:
    schedule = learning_rate_schedule(dataclasses.replace(CONFIG, warmup_epochs=0), 7)
    np.testing.assert_allclose(schedule(0), 1e-3, rtol=1e-6)


def test_a_part_of_an_epoch_has_its_share_of_the_updates() -> None:
    schedule = learning_rate_schedule(dataclasses.replace(CONFIG, epochs=0.75, warmup_epochs=0.125), 16)
    reference = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 2, 12)
    for step in range(13):
        np.testing.assert_allclose(schedule(step), reference(step), atol=1e-9)


def test_schedule_counts_the_longest_published_run_exactly() -> None:
    schedule = learning_rate_schedule(dataclasses.replace(CONFIG, epochs=100, warmup_epochs=10), 1984)
    assert schedule(20_840) < schedule(19_840)
    assert 0 < schedule(198_399) < 1e-10
    np.testing.assert_allclose(schedule(9_920), 5e-4, rtol=1e-6)


def test_everything_decays_as_in_the_released_code() -> None:
    assert all(jax.tree.leaves(decayed(PARAMS, CONFIG)))


@pytest.mark.parametrize("class_token", [False, True])
def test_the_mask_spares_all_but_matrices(class_token: bool) -> None:
    model = dataclasses.replace(MODEL, class_token=class_token)
    config = dataclasses.replace(CONFIG, model=model, decay_all=False)
    found = names(decayed(jax.eval_shape(lambda: init_params(model, jax.random.key(0))), config))
    kernels = {f"{part}/blocks/{layer}/weight" for part in ("encoder", "decoder")
               for layer in ("attention/qkv", "attention/out", "mlp/hidden", "mlp/out")}  # fmt: skip
    kernels |= {"encoder/patch_embed/weight", "decoder/embed/weight", "decoder/predict/weight"}
    assert {name for name, decays in found.items() if decays} == kernels
    assert len(found) > 30


@pytest.mark.parametrize("decay_all", [False, True])
def test_fixed_position_codes_do_not_move(decay_all: bool) -> None:
    model = dataclasses.replace(MODEL, position_codes="fixed")
    config = dataclasses.replace(CONFIG, model=model, decay_all=decay_all, warmup_epochs=0, weight_decay=0.5)
    optimiser = make_optimiser(config, 1)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), PARAMS)
    gradient = jax.tree.map(jnp.ones_like, params)
    for part in ("encoder", "decoder"):
        gradient[part]["position_codes"] *= 0  # What a stopped gradient is.
    updates, _ = jax.jit(optimiser.update)(gradient, optimiser.init(params), params)
    assert {name for name, update in names(updates).items() if not update.any()} == {
        "encoder/position_codes",
        "decoder/position_codes",
    }


def test_clipping_limits_the_gradient_before_adam_sees_it() -> None:
    params, gradient = {"weight": jnp.ones(2)}, {"weight": jnp.array([3.0, 4.0])}
    optimiser = make_optimiser(dataclasses.replace(CONFIG, clip_norm=1.0), 1)
    _, state = optimiser.update(gradient, optimiser.init(params), params)
    mu = next(
        part.mu for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu")
    )
    np.testing.assert_allclose(mu["weight"], 0.1 * np.array([0.6, 0.8]), rtol=1e-6)


@needs_golden
def test_three_steps_of_the_released_code() -> None:
    """Rates 0, 5e-4, 1e-3 on its inputs and masks; the key part of a bias has no gradient but noise."""
    golden = load("train_steps_mwmae_small_float32")
    model = SMALL["mwmae"]
    config = TrainConfig(model=model, epochs=100, warmup_epochs=2, batch_size=2, base_learning_rate=0.128)
    optimiser = make_optimiser(config, 1)
    params = checkpoint_params("mwmae_small_float32")
    state = optimiser.init(params)

    @jax.jit
    def update(params: dict, state: optax.OptState, features: jax.Array, noise: jax.Array) -> tuple:
        loss, gradient = jax.value_and_grad(lambda params: forward(params, features, noise, model)["loss"])(
            params
        )
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    for step in range(3):
        features, noise = golden[f"step{step}/imgs"][..., 0], golden[f"step{step}/noise"]
        params, state, loss = update(params, state, features, noise)
        np.testing.assert_allclose(loss, golden[f"step{step}/loss"], rtol=2e-6)
        np.testing.assert_allclose(
            learning_rate_schedule(config, 1)(step), golden[f"step{step}/lr"], rtol=1e-6
        )
    prefix = "step2/params/"
    arrays = {name.removeprefix(prefix): array for name, array in golden.items() if name.startswith(prefix)}
    expected = names(params_from_release(arrays, model))
    assert names(params).keys() == expected.keys()
    for name, leaf in names(params).items():
        tolerance = 1e-4 if name.endswith("qkv/bias") else 2e-5
        np.testing.assert_allclose(leaf, expected[name], atol=tolerance, rtol=0, err_msg=name)


def test_the_rate_falls_to_the_lowest_and_not_below() -> None:
    config = dataclasses.replace(CONFIG, min_learning_rate=1e-4)
    schedule = learning_rate_schedule(config, 7)
    reference = optax.warmup_cosine_decay_schedule(0.0, 1e-3, 14, 70, end_value=1e-4)
    for step in range(71):
        np.testing.assert_allclose(schedule(step), reference(step), atol=1e-9)
    with pytest.raises(UserError, match=r"min_learning_rate .* is not between 0 and the highest rate"):
        dataclasses.replace(CONFIG, min_learning_rate=0.01)


@golden_audio_mae.needs_golden
@pytest.mark.parametrize("kind", ["lr_pretrain", "lr_finetune"])
def test_the_schedule_of_audio_mae(kind: str) -> None:
    recipe = golden_audio_mae.load("recipe")
    peak, lowest, warmup, epochs = (
        float(recipe[f"{kind}/{name}"]) for name in ("peak_lr", "min_lr", "warmup_epochs", "epochs")
    )
    rates = {"base_learning_rate": peak, "min_learning_rate": lowest}
    config = dataclasses.replace(CONFIG, epochs=epochs, warmup_epochs=warmup, **rates)
    per_epoch = 10_000
    schedule = learning_rate_schedule(config, per_epoch)
    for epoch, rate in zip(recipe[f"{kind}/epoch"], recipe[f"{kind}/lr"], strict=True):
        np.testing.assert_allclose(schedule(epoch * per_epoch), rate, rtol=0, atol=2e-7 * peak)


AUDIO_MAE = TrainConfig(
    model=golden_audio_mae.MODELS["mae_global"],
    beta2=0.95,
    weight_decay=0.05,
    decay_all=False,
    decay_tokens=True,
)


@golden_audio_mae.needs_golden
@pytest.mark.parametrize("name", golden_audio_mae.MODELS)
def test_what_audio_mae_decays(name: str) -> None:
    model, arrays = golden_audio_mae.MODELS[name], golden_audio_mae.load(name)
    tree = decayed(golden_audio_mae.params(name, model), dataclasses.replace(AUDIO_MAE, model=model))
    for parameter, wanted in zip(arrays["decay/names"], arrays["decay/decayed"], strict=True):
        path = golden_audio_mae.place(str(parameter))[0].split("/")
        assert functools.reduce(lambda node, key: node[key], path, tree) == bool(wanted), parameter
    assert not tree["encoder"]["position_codes"]


@golden_audio_mae.needs_golden
def test_three_updates_of_audio_mae() -> None:
    """As the release trains: loss over normalised patches, AdamW, no decay of vectors, codes frozen."""
    arrays, images = golden_audio_mae.load("mae_global"), golden_audio_mae.images("mae_global")
    config = dataclasses.replace(AUDIO_MAE.model, norm_pix_loss=True)
    params = golden_audio_mae.params("mae_global", config)
    mask = decayed(params, AUDIO_MAE)
    gradient = jax.jit(jax.value_and_grad(lambda p, noise: forward(p, images, noise, config)["loss"]))
    state = None
    for number, rate in enumerate(arrays["train/lr"]):
        optimiser = optax.adamw(float(rate), b1=0.9, b2=0.95, weight_decay=0.05, mask=mask)
        state = optimiser.init(params) if state is None else state
        loss, grads = gradient(params, arrays["train/noise"][number])
        np.testing.assert_allclose(loss, arrays["train/loss"][number], atol=5e-5)
        updates, state = optimiser.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    for key in (key for key in arrays if key.startswith("train/param/")):
        name = key.removeprefix("train/param/")
        wanted, found = (
            golden_audio_mae.layout(name, arrays[key], config),
            golden_audio_mae.leaf(params, name),
        )
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=name)
    loss, _ = gradient(params, arrays["noise"])
    np.testing.assert_allclose(loss, arrays["train/final_loss_norm_pix"], atol=1e-4)
