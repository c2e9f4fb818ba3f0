"""One update: the same whether in one part or several, with or without recomputation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.mae import Params
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.step import (
    TrainState,
    check_batch,
    data_mesh,
    init_state,
    loss_and_gradient,
    make_train_step,
    place_batch,
    place_state,
    state_shardings,
)

MODEL = ModelConfig(
    input_size=(40, 80),
    width=16,
    depth=2,
    heads=2,
    decoder_width=24,
    decoder_depth=1,
    decoder_heads=4,
    decoder_windows=(5, 25, 0, 0),
)
CONFIG = TrainConfig(
    model=MODEL, epochs=4, warmup_epochs=1, batch_size=8, base_learning_rate=0.32, precision="float32"
)
BATCH = np.random.default_rng(5).standard_normal((8, 40, 80), np.float32)


@pytest.fixture(scope="module")
def state() -> TrainState:
    mesh = data_mesh()
    shardings = state_shardings(jax.eval_shape(lambda: init_state(CONFIG, 2)), mesh)
    return place_state(CONFIG, 2, shardings)


@pytest.fixture(scope="module")
def plain(state: TrainState) -> tuple[jax.Array, Params]:
    return loss_and_gradient_of(state, CONFIG)


def loss_and_gradient_of(
    state: TrainState, config: TrainConfig, **options: object
) -> tuple[jax.Array, Params]:
    noise = np.random.default_rng(6).random((8, MODEL.tokens), np.float32)
    batch, drawn = jnp.asarray(BATCH), jnp.asarray(noise)
    compiled = jax.jit(lambda params: loss_and_gradient(config, data_mesh(), params, batch, drawn, **options))
    return compiled(state.params)


@pytest.mark.parametrize(("parts", "remat"), [(4, False), (1, True)])
def test_parts_and_recomputation_leave_the_gradient(
    state: TrainState, plain: tuple, parts: int, remat: bool
) -> None:
    config = dataclasses.replace(CONFIG, accumulation_steps=parts)
    found = loss_and_gradient_of(state, config, remat=remat)
    for leaf, reference in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(leaf, reference, atol=1e-6)


def test_a_few_updates(state: TrainState) -> None:
    """The first has rate 0; then the same batch gets easier; masks differ from update to update."""
    mesh = data_mesh()
    train_step = make_train_step(CONFIG, 2, mesh, state_shardings(state, mesh))
    state = jax.tree.map(jnp.copy, state)
    before = np.asarray(state.params["encoder"]["patch_embed"]["weight"])
    metrics = []
    for _ in range(8):
        state, found = train_step(state, place_batch(BATCH, mesh))
        metrics.append({name: float(value) for name, value in found.items()})
        if len(metrics) == 1:
            np.testing.assert_array_equal(state.params["encoder"]["patch_embed"]["weight"], before)
    assert [round(found["learning_rate"], 6) for found in metrics[:4]] == [0, 0.005, 0.01, 0.00933]
    assert metrics[0]["loss"] != metrics[1]["loss"]
    assert np.mean([found["loss"] for found in metrics[-3:]]) < 0.9 * metrics[0]["loss"]
    assert int(state.step) == 8


def test_seeds_differ() -> None:
    keys = [init_state_key(dataclasses.replace(CONFIG, seed=seed)) for seed in (0, 0, 1)]
    assert np.array_equal(keys[0], keys[1])
    assert not np.array_equal(keys[0], keys[2])


def init_state_key(config: TrainConfig) -> np.ndarray:
    return np.asarray(jax.random.key_data(jax.jit(lambda: init_state(config, 2).key)()))


def test_large_arrays_are_split_on_request() -> None:
    mesh = jax.sharding.AbstractMesh((4,), ("data",))
    model = dataclasses.replace(MODEL, width=128)
    shapes = jax.eval_shape(lambda: init_state(dataclasses.replace(CONFIG, model=model), 2))
    shardings = state_shardings(shapes, mesh, fsdp=True)
    blocks = shardings.params["encoder"]["blocks"]
    assert tuple(blocks["attention"]["qkv"]["weight"].spec) == (None, None, "data")
    assert tuple(blocks["mlp"]["out"]["weight"].spec) == (None, "data", None)
    assert tuple(blocks["norm1"]["weight"].spec) == ()


def test_a_kernel_of_other_devices_is_refused() -> None:
    mesh = data_mesh()
    shardings = state_shardings(jax.eval_shape(lambda: init_state(CONFIG, 2)), mesh)
    with pytest.raises(UserError, match="needs an NVIDIA GPU and --precision bfloat16"):
        make_train_step(CONFIG, 2, mesh, shardings, kernel="cudnn")


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="--batch-size a multiple of 3"):
        check_batch(CONFIG, 3)
    with pytest.raises(UserError, match=r"2 accumulation steps.*multiple of 16"):
        check_batch(dataclasses.replace(CONFIG, accumulation_steps=2), 8)
    with pytest.raises(UserError, match=r"2 hosts.*multiple of 16"):
        check_batch(CONFIG, 1, 2, crops_per_clip=8)
    check_batch(CONFIG, 8)
