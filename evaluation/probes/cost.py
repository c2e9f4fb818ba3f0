"""What a fit costs: bytes in training, and arithmetic."""

import itertools

from evaluation.probes.config import ProbeConfig
from evaluation.probes.linear import BLOCK_ELEMENTS, HISTORY
from evaluation.probes.networks import EXAMINED_ROWS


def network_bytes(config: ProbeConfig, *, train: int, valid: int, test: int, dim: int, n_labels: int) -> int:
    """Return the memory of one network in training.

    `train`, `valid` and `test` are numbers of rows. A network holds its parameters five times (with
    gradient, two moments and the best copy), about six copies of a batch's hidden activations, and at last
    its answers for the validation and test rows and those of the training rows that are asked.
    """
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(_widths(config, dim, n_labels)))
    batch = min(max(train, valid, test), config.batch_size)
    activations = 6 * batch * config.hidden_dim * max(config.hidden_layers, 1)
    answers = 2 * (valid + test + min(train, EXAMINED_ROWS)) * n_labels
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


def regression_bytes(*, train: int, valid: int, test: int, dim: int, n_labels: int) -> int:
    """Return the memory of one logistic regression: its parameters with the search's past, and its answers.

    The rows, which all of a split share, are not in it.
    """
    parameters = (min(dim, train) + 1) * n_labels
    answers = 2 * (valid + test + min(train, EXAMINED_ROWS)) * n_labels
    return 8 * ((2 * HISTORY + 8) * parameters + 2 * BLOCK_ELEMENTS) + 4 * answers


def regression_flops(*, train: int, valid: int, test: int, dim: int, n_labels: int, epochs: int) -> float:
    """Return the operations of the matrix products: two for each pass over the training rows."""
    columns = dim if 2 * train > dim else train
    return 2.0 * columns * n_labels * (2 * epochs * train + valid + test)


def neighbour_flops(*, train: int, valid: int, test: int, dim: int) -> float:
    """Return the operations of comparing every validation and test row with every training row."""
    return 2.0 * train * (valid + test) * dim


def _widths(config: ProbeConfig, dim: int, n_labels: int) -> list[int]:
    return [dim, *[config.hidden_dim] * config.hidden_layers, n_labels]
