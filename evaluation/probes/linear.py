r"""Logistic regression on standardised embeddings: what a linear classifier finds in them.

With x the embedding less the training rows' mean, divided by their standard deviation, it minimises

    1/2 ||W||^2 + C \sum_i loss(W x_i + b, y_i),

the loss being the cross-entropy of all classes or, where a clip may have several, of every label by itself.
That is scikit-learn's LogisticRegression after its StandardScaler. The minimum is unique, so that nothing is
random and nothing depends on a learning rate, a batch or a number of epochs. L-BFGS finds it, in double
precision, on the device where the embeddings are; scikit-learn has no GPU, and of several labels it fits one
after the other.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Real
from torch import Tensor
from torch.nn import functional

from evaluation.probes.config import LinearConfig

BLOCK_ELEMENTS = 1 << 20
"""Numbers of a block of rows that is in double precision at a time."""

TOLERANCE = 1e-5
"""The largest derivative of the mean loss at which the search ends; scikit-learn's is 1e-4."""

MOST_STEPS = 1000
"""The search ends here at the latest, near the minimum where the penalty is too weak to make it sharp."""

HISTORY = 10
"""Past steps from which L-BFGS takes the curvature."""

MOST_DEVIATIONS = 1e15
"""Rows further from the training rows are taken for so far away: their logits stay finite."""


def standardised(
    train: Float[Tensor, "train dim"], *others: Float[Tensor, "_ dim"]
) -> list[Float[Tensor, "_ columns"]]:
    """Return all rows less the training rows' mean, divided by their standard deviation.

    A column that is constant in training is 0 there, and counts nowhere. Where the training rows are at most
    half as many as the columns, `columns` are their span's coordinates, as many as rows: the minimum lies in
    it, and the penalty does not change with a rotation.
    """
    mean = _regression_sum(block.sum(0) for block in _exact_regression(train)) / len(train)
    variance = _regression_sum((block - mean).square_().sum(0) for block in _exact_regression(train)) / len(
        train
    )
    epsilon = torch.finfo(torch.float64).eps
    constant = variance <= len(train) * epsilon * variance + (len(train) * mean * epsilon).square()
    scale = torch.where(constant, 1.0, variance.sqrt())

    def scaled(x: Tensor) -> Iterator[Tensor]:
        for block in _exact_regression(x):
            yield block.sub_(mean).div_(scale).clamp_(-MOST_DEVIATIONS, MOST_DEVIATIONS)

    if 2 * len(train) > train.shape[1]:
        return [torch.cat([block.float() for block in scaled(x)]) for x in (train, *others)]
    basis, coordinates = torch.linalg.qr(torch.cat(list(scaled(train))).mT)
    rotated = (torch.cat([(block @ basis).float() for block in scaled(x)]) for x in others)
    return [coordinates.mT.float().contiguous(), *rotated]


def _exact_regression(x: Tensor) -> Iterator[Float[Tensor, "_ dim"]]:
    """Return the rows in double precision, block by block, each a copy."""
    for rows in x.split(max(1, BLOCK_ELEMENTS // x.shape[1])):
        yield rows.to(torch.float64, copy=True)


def _regression_sum(of_blocks: Iterator[Float[Tensor, " dim"]]) -> Float[Tensor, " dim"]:
    total = sum(of_blocks)
    assert isinstance(total, Tensor)  # there is at least one block
    return total


@dataclass(frozen=True)
class Regression:
    """What was found: weights and, in the last row, biases; and how often the rows were gone over."""

    weights: Float[Tensor, "columns_and_1 labels"]
    passes: int

    def logits(self, x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows labels"]:
        """Return what it says of rows as `standardised` gives them, in single precision."""
        return torch.cat(
            [(block @ self.weights[:-1] + self.weights[-1]).float() for block in _exact_regression(x)]
        )


def regress(
    x: Float[Tensor, "rows columns"],
    target: Real[Tensor, "rows labels"],
    config: LinearConfig,
    *,
    multilabel: bool,
    on_pass: Callable[[], None] = lambda: None,
) -> Regression:
    """Find the minimum for standardised rows and their multi-hot targets; `on_pass` may raise to end it.

    The search is for weights in units in which the penalty's curvature, 1 / (C rows), and the loss's, at
    most 1/4, are together 1: strong penalties would take ten times as many steps without it.
    """
    decay = 1.0 / (config.C * len(x))
    unit = 1.0 / math.sqrt(1.0 + 4.0 * decay)
    weights = torch.zeros(x.shape[1] + 1, target.shape[1], dtype=torch.float64, device=x.device)
    weights.grad = torch.zeros_like(weights)
    passes = 0

    def mean_loss() -> Float[Tensor, ""]:
        """Return the loss with its gradient in `weights.grad`, divided by C and by the rows."""
        nonlocal passes
        on_pass()
        passes += 1
        inner, gradient = weights[:-1] * unit, weights.grad
        assert gradient is not None  # L-BFGS reads what is put there above
        torch.mul(inner, decay, out=gradient[:-1])
        gradient[-1] = 0.0
        loss = inner.square().sum() * (decay / 2)
        for block, hot in zip(
            _exact_regression(x), target.split(max(1, BLOCK_ELEMENTS // x.shape[1])), strict=True
        ):
            logits, hot = block @ inner + weights[-1], hot.double()
            if multilabel:
                loss += functional.binary_cross_entropy_with_logits(logits, hot, reduction="sum") / len(x)
                residual = logits.sigmoid()
            else:
                logarithm = logits.log_softmax(1)
                loss -= (logarithm * hot).sum() / len(x)
                residual = logarithm.exp()
            residual.sub_(hot).div_(len(x))
            gradient[:-1].addmm_(block.mT, residual)
            gradient[-1] += residual.sum(0)
        gradient[:-1] *= unit
        return loss

    search = torch.optim.LBFGS(
        [weights],
        max_iter=MOST_STEPS,
        max_eval=2 * MOST_STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=1e-14,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    search.step(mean_loss)
    weights[:-1] *= unit
    return Regression(weights, passes)
