"""Parameters, operations and memory against the released code's counts, the torch side and XLA itself."""

import dataclasses
import math
from types import SimpleNamespace

import pytest

from hear_mwmae.config import ModelConfig
from hear_mwmae.convert import decoder_shapes, encoder_shapes
from hear_mwmae.pretrain.configs import TABLES
from hear_mwmae.pretrain.configs.run import ENCODERS, both
from hear_mwmae.pretrain.cost import (
    measured_peak,
    parameter_count,
    peak_flops,
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
CONFIGS = [run.train.model for module in TABLES.values() for run in module.RUNS.values()]


def millions(count: int) -> float:
    return round(count / 1e6, 3)


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
