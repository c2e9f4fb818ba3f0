"""The arithmetic and the memory of a fit, by hand."""

from evaluation.probes.config import ProbeConfig
from evaluation.probes.cost import neighbour_flops, network_bytes, training_flops

CONFIG = ProbeConfig(hidden_dim=100, batch_size=64, check_val_every_n_epoch=2)
PARTS = {"train": 1000, "valid": 30, "test": 20}


def test_products_of_two_layers() -> None:
    first, second = 2 * 10 * 100, 2 * 100 * 5
    found = training_flops(CONFIG, **PARTS, dim=10, n_labels=5, epochs=7)
    steps = 7 * 1000 * (2 * first + 3 * second)
    assert found == steps + (3 * 30 + 20) * (first + second), "three checks in seven epochs"
    assert neighbour_flops(**PARTS, dim=10) == 2 * 10 * 1000 * 50


def test_a_linear_probe_has_no_gradient_below_it() -> None:
    linear = ProbeConfig(hidden_layers=0, check_val_every_n_epoch=2)
    product = 2 * 10 * 5
    assert training_flops(linear, **PARTS, dim=10, n_labels=5, epochs=2) == (1000 * 4 + 50) * product


def test_the_memory_of_a_network() -> None:
    parameters = 11 * 100 + 101 * 5
    found = network_bytes(CONFIG, **PARTS, dim=10, n_labels=5)
    assert found == 4 * (5 * parameters + 6 * 64 * 100 + 2 * (50 + 1000) * 5)
