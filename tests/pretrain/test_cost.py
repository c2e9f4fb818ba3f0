"""Parameters, operations and memory against the released code's counts, the torch side and XLA itself."""

import dataclasses
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from hear_mwmae.config import ModelConfig
from hear_mwmae.convert import decoder_shapes, encoder_shapes
from hear_mwmae.pretrain.configs import TABLES
from hear_mwmae.pretrain.configs.run import ENCODERS, both
from hear_mwmae.pretrain.model.mae import forward, init_params
from hear_mwmae.pretrain.training.cost import (
    measured_peak,
    parameter_count,
    peak_flops,
    train_flops_per_crop,
    training_memory,
)

# Millions of parameters of the released modules: encoder, without position codes, and for decoders of 4 and 8
# blocks the total of MAE and of MW-MAE.
RELEASED = {
    "t": (5.400, 5.351, (12.694, 12.695), (19.792, 19.794)),
    "s": (21.416, 21.320, (28.784, 28.784), (35.882, 35.884)),
    "m": (37.992, 37.863, (45.409, 45.409), (52.507, 52.509)),
    "b": (85.299, 85.107, (92.815, 92.815), (99.913, 99.914)),
    "l": (302.636, 302.379, (310.250, 310.249), (317.348, 317.349)),
    "h": (630.086, 629.765, (637.798, 637.797), (644.896, 644.897)),
}
RELEASED_PATCHES = {
    (8, 16): (92.745, 92.743),
    (8, 8): (92.815, 92.815),
    (4, 8): (93.066, 93.069),
    (5, 5): (93.219, 93.224),
}
ENCODER_WINDOWS = (2, 2, 5, 5, 10, 10, 25, 25, 50, 50, 0, 0)
CONFIGS = [run.train.model for module in TABLES.values() for run in module.RUNS.values()]


def millions(count: int) -> float:
    return round(count / 1e6, 3)


def lowered(
    config: ModelConfig, *, batch: int, gradient: bool = True, remat: bool = False
) -> jax.stages.Lowered:
    """The model's loss, or loss and gradient, as XLA gets it."""

    def loss(params: dict, features: jax.Array, noise: jax.Array) -> jax.Array:
        return forward(params, features, noise, config, remat=remat)["loss"]

    params = jax.eval_shape(lambda key: init_params(config, key), jax.random.key(0))
    inputs = [
        jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in (config.input_size, (config.tokens,))
    ]
    return jax.jit(jax.value_and_grad(loss) if gradient else loss).lower(params, *inputs)


@pytest.mark.parametrize("size", RELEASED)
def test_parameters_are_those_of_the_released_modules(size: str) -> None:
    encoder, without_codes, *totals = RELEASED[size]
    for depth, total in zip((4, 8), totals, strict=True):
        mae, mw_mae = (
            parameter_count(config) for config in both(ModelConfig(decoder_depth=depth, **ENCODERS[size]))
        )
        assert (millions(mae.encoder), millions(mae.encoder_without_codes)) == (encoder, without_codes)
        assert (millions(mae.total), millions(mw_mae.total)) == total


@pytest.mark.parametrize("patch_size", RELEASED_PATCHES)
def test_parameters_at_other_patch_sizes_are_those_of_the_released_modules(
    patch_size: tuple[int, int],
) -> None:
    configs = both(ModelConfig(patch_size=patch_size))
    assert (
        tuple(millions(parameter_count(config).total) for config in configs) == RELEASED_PATCHES[patch_size]
    )


@pytest.mark.parametrize("config", [*CONFIGS, dataclasses.replace(CONFIGS[3], relative_position_bias=False)])
def test_parameters_are_those_of_a_model_file(config: ModelConfig) -> None:
    count = parameter_count(config)
    encoder = {name: math.prod(shape) for name, shape in encoder_shapes(config).items()}
    assert count.encoder == sum(encoder.values())
    assert count.encoder_without_codes == count.encoder - encoder["encoder.position_codes"]
    assert count.decoder == sum(map(math.prod, decoder_shapes(config).values()))


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", None),
        ("TPU v3", 61.5e12),
        ("TPU v4", 275e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v5", 459e12),
        ("TPU v6 lite", 918e12),
        ("cpu", None),
        ("NVIDIA GeForce RTX 3090", None),
    ],
)
def test_peaks_are_the_data_sheets_or_none(kind: str, peak: float | None) -> None:
    assert peak_flops(SimpleNamespace(device_kind=kind)) == peak


def test_the_measured_peak_is_a_rate_of_this_machine() -> None:
    rate = measured_peak("float32", seconds=0.01)
    # Of one core upwards to a whole accelerator.
    assert 1e9 < rate < 1e16


# XLA counts the body of a scan once, hence one block each; it also counts what is not a matrix product, which
# makes 0.5 to 1.1 % of the models below.
ONE_BLOCK = ModelConfig(depth=1, decoder_depth=1)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        *both(ONE_BLOCK),
        both(dataclasses.replace(ONE_BLOCK, patch_size=(5, 5)))[1],
        dataclasses.replace(both(ONE_BLOCK)[1], encoder_windows=ENCODER_WINDOWS),
    ],
    ids=["mae", "mw_mae", "mw_mae_5x5", "windows in the encoder"],
)
def test_operations_are_those_that_xla_counts(config: ModelConfig, gradient: bool) -> None:
    counted = lowered(config, batch=2, gradient=gradient).cost_analysis()["flops"]
    ours = 2 * train_flops_per_crop(config) / (1 if gradient else 3)
    assert 1 < counted / ours < 1.02


def test_operations_grow_with_depth_by_whole_blocks() -> None:
    def flops(**changes: int) -> float:
        return train_flops_per_crop(dataclasses.replace(ONE_BLOCK, **changes))

    assert flops(depth=9) - flops() == pytest.approx(8 * (flops(depth=2) - flops()), rel=1e-12)
    assert flops(decoder_depth=9) - flops() == pytest.approx(
        8 * (flops(decoder_depth=2) - flops()), rel=1e-12
    )


@pytest.mark.parametrize(("remat", "low", "high"), [(False, 1.0, 1.25), (True, 1.0, 1.35)])
def test_memory_is_about_what_xla_allots(remat: bool, low: float, high: float) -> None:
    config = ModelConfig(
        width=96, heads=3, depth=4, decoder_width=96, decoder_heads=2, decoder_windows=(25, 0)
    )
    estimate = training_memory(config, batch=8, precision="float32", remat=remat)
    # The machine code does not matter here, the plan of the memory is made before.
    program = lowered(config, batch=8, remat=remat).compile({"xla_backend_optimization_level": 0})
    assert low < program.memory_analysis().temp_size_in_bytes / estimate.activations < high
    assert estimate.state == 16 * parameter_count(config).total


def test_memory_in_bfloat16_takes_less_and_can_be_shared() -> None:
    config = both(ONE_BLOCK)[0]
    wide, narrow = (training_memory(config, batch=4, precision=name) for name in ("float32", "bfloat16"))
    assert 0.4 < narrow.activations / wide.activations < 0.8
    shared = training_memory(config, batch=4, shards=4)
    # A quarter of the 16 bytes, and the gathered bfloat16 copy.
    assert (shared.state, shared.activations) == (6 * parameter_count(config).total, narrow.activations)
    assert training_memory(config, batch=8).activations == 2 * narrow.activations
    assert narrow.total == narrow.state + narrow.activations
