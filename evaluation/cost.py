"""What a fit costs: the bytes of a network in training and its arithmetic."""

import itertools

from evaluation.protocol import ProbeConfig


def network_bytes(config: ProbeConfig, *, train: int, valid: int, test: int, dim: int, n_labels: int) -> int:
    """Return the memory of one network in training.

    `train`, `valid` and `test` are numbers of rows. A network holds its parameters five times (with
    gradient, two moments and the best copy), about six copies of a batch's hidden activations, and at last
    its answers for the validation and test rows.
    """
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(_widths(config, dim, n_labels)))
    batch = min(max(train, valid, test), config.batch_size)
    activations = 6 * batch * config.hidden_dim * max(config.hidden_layers, 1)
    answers = 2 * (valid + test) * n_labels
    return 4 * (5 * parameters + activations + answers)


def training_flops(
    config: ProbeConfig, *, train: int, valid: int, test: int, dim: int, n_labels: int, epochs: int
) -> float:
    """Return the floating-point operations of one fit's matrix products.

    `train`, `valid` and `test` are numbers of rows. A training step needs each product three times
    (forward, gradient of weights, gradient of inputs) but no gradient of the embeddings.
    """
    first, *others = [2 * a * b for a, b in itertools.pairwise(_widths(config, dim, n_labels))]
    checks = max(1, epochs // config.check_val_every_n_epoch)
    forward = first + sum(others)
    return float(epochs * train * (2 * first + 3 * sum(others)) + (checks * valid + test) * forward)


def neighbour_flops(*, train: int, valid: int, test: int, dim: int) -> float:
    """Return the operations of comparing every validation and test row with every training row."""
    return 2.0 * train * (valid + test) * dim


def _widths(config: ProbeConfig, dim: int, n_labels: int) -> list[int]:
    return [dim, *[config.hidden_dim] * config.hidden_layers, n_labels]
