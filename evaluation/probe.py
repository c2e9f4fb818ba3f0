r"""The shallow classifier, many networks at once.

Each network m of a stack computes, for rows x of the (shared) embeddings,

    z = W1[m] x + b1[m];   h = relu(dropout(batch_norm(z)));   logits = W2[m] h + b2[m]

All networks see the same rows in the same order, so the first layer of the whole stack is one wide matrix
product, and batch normalisation, which works channel by channel, needs no change at all. Initial weights and
dropout come from each network's own generator; a network that has stopped leaves the stack.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from evaluation.protocol import ProbeConfig

BATCH_NORM_EPS = 1e-5
BATCH_NORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class Fit:
    """One network to train: its configuration and the seed of its own generator."""

    config: ProbeConfig
    generator_seed: int


@dataclass(frozen=True)
class Rows:
    """Embeddings and targets of one part of the data, in the order in which they are trained on.

    `target` is the class index of each row (multiclass) or its multi-hot vector (multilabel).
    """

    x: Float[Tensor, "rows dim"]
    target: Int[Tensor, "rows"] | Float[Tensor, "rows labels"]


@dataclass(frozen=True)
class FitResult:
    """What one network came to: the score and epoch (0-based) of its best check, and its test logits."""

    validation_score: float
    epoch: int
    epochs: int
    test_logits: Float[np.ndarray, "rows labels"]


Score = Callable[[Float[np.ndarray, "rows labels"]], float]
"""From the logits of the validation rows to the score that is maximised."""


def train_stack(
    fits: Sequence[Fit],
    train: Rows,
    valid: Rows,
    test: Rows,
    n_labels: int,
    score: Score,
    on_epoch: Callable[[int, int], None] = lambda epoch, alive: None,
) -> list[FitResult]:
    """Train all `fits` together and return their results in the same order.

    The embeddings' device is where everything runs. `on_epoch` is told the epoch (1-based) and how many
    networks are still training. The fits' configurations must agree in all that `ProbeConfig.stackable`
    keeps (ValueError otherwise).
    """
    shared = fits[0].config
    if any(fit.config.stackable() != shared.stackable() for fit in fits):
        raise ValueError("the networks of one stack must agree in everything but dropout and initial weights")
    stack = _Stack(fits, train.x.shape[1], n_labels, train.x.device)
    progress = [_Progress() for _ in fits]
    batches = _batches(train, shared.batch_size)
    for epoch in range(shared.max_epochs):
        for batch in batches:
            stack.step(batch)
        last = epoch + 1 == shared.max_epochs
        if (epoch + 1) % shared.check_val_every_n_epoch == 0 or (last and progress[0].epoch < 0):
            logits = stack.logits(valid.x)
            stopped = [
                progress[index].check(float(np.float32(score(logits[row]))), epoch, shared.patience)
                for row, index in enumerate(stack.members)
            ]
            stack.keep_best([progress[index].improved for index in stack.members])
            stack.drop(stopped)
        on_epoch(epoch + 1, len(stack.members))
        if not stack.members:
            break
    test_logits = stack.best_logits(test.x)
    return [
        FitResult(state.score, state.epoch, state.epochs or epoch + 1, logits)
        for state, logits in zip(progress, test_logits, strict=True)
    ]


@dataclass
class _Progress:
    """Early stopping of one network: strictly better counts, the first of equals wins."""

    score: float = -math.inf
    epoch: int = -1
    epochs: int = 0
    improved: bool = False
    checks_without_gain: int = 0

    def check(self, score: float, epoch: int, patience: int) -> bool:
        """Record one validation score and return whether training stops here."""
        self.improved = score > self.score or self.epoch < 0
        if self.improved:
            self.score, self.epoch, self.checks_without_gain = score, epoch, 0
        else:
            self.checks_without_gain += 1
        stop = self.checks_without_gain >= patience or not math.isfinite(score)
        if stop:
            self.epochs = epoch + 1
        return stop


def _batches(rows: Rows, batch_size: int) -> list[Rows]:
    """Cut the rows into batches in order; a last batch of one row joins the one before it.

    Batch normalisation has no variance of a single row; the original crashes there.
    """
    starts = list(range(0, len(rows.x), batch_size))
    if len(starts) > 1 and len(rows.x) - starts[-1] == 1:
        starts.pop()
    ends = [*starts[1:], len(rows.x)]
    return [Rows(rows.x[a:b], rows.target[a:b]) for a, b in zip(starts, ends, strict=True)]


class _Stack:
    """Parameters, optimiser and best weights of several networks, with a leading network axis."""

    def __init__(self, fits: Sequence[Fit], dim: int, n_labels: int, device: torch.device):
        config = fits[0].config
        self.members = list(range(len(fits)))
        self.generators = [torch.Generator(device).manual_seed(fit.generator_seed) for fit in fits]
        self.dropout = [fit.config.dropout for fit in fits]
        self.widths = [dim, *[config.hidden_dim] * config.hidden_layers, n_labels]
        networks = [
            _initial(self.widths, fit.config.initialization, generator)
            for fit, generator in zip(fits, self.generators, strict=True)
        ]
        self.parameters = _trainable([torch.stack(tensors) for tensors in zip(*networks, strict=True)])
        hidden = (len(fits), config.hidden_dim)
        self.running = [
            (torch.zeros(hidden, device=device), torch.ones(hidden, device=device))
            for _ in range(config.hidden_layers)
        ]
        self.best = [tensor.detach().clone() for tensor in self._state()]
        self.optimizer = torch.optim.Adam(self._trained(), lr=config.lr, fused=True)

    def _state(self) -> list[Tensor]:
        """Return everything that a trained network consists of: parameters and running statistics."""
        return [*self.parameters, *[tensor for pair in self.running for tensor in pair]]

    def _trained(self) -> list[Tensor]:
        return [parameter for parameter in self.parameters if parameter.requires_grad]

    def step(self, batch: Rows) -> None:
        """Make one Adam step of every network on one batch."""
        logits = _forward(self.parameters, self.running, batch.x, self._dropout_masks(len(batch.x)))
        self.optimizer.zero_grad()
        _summed_loss(logits, batch.target).backward()
        self.optimizer.step()

    def _dropout_masks(self, rows: int) -> list[Float[Tensor, "rows channels"]]:
        masks = []
        for width in self.widths[1:-1]:
            mask = torch.empty(rows, len(self.members), width, device=self.parameters[0].device)
            for position, index in enumerate(self.members):
                keep = 1.0 - self.dropout[index]
                draw = torch.rand(rows, width, generator=self.generators[index], device=mask.device)
                torch.mul(draw < keep, 1.0 / keep, out=mask[:, position])
            masks.append(mask.flatten(1))
        return masks

    @torch.no_grad()
    def logits(self, x: Float[Tensor, "rows dim"]) -> Float[np.ndarray, "networks rows labels"]:
        """Return what the networks that are still training say of these rows."""
        return _forward(self.parameters, self.running, x, None).cpu().numpy()

    @torch.no_grad()
    def keep_best(self, improved: Sequence[bool]) -> None:
        """Copy the weights of the networks that have just improved."""
        rows = [row for row, flag in enumerate(improved) if flag]
        members = [self.members[row] for row in rows]
        for best, current in zip(self.best, self._state(), strict=True):
            best[members] = current[rows]

    @torch.no_grad()
    def drop(self, stopped: Sequence[bool]) -> None:
        """Take the networks that have stopped out of the stack."""
        if not any(stopped):
            return
        rows = [row for row, flag in enumerate(stopped) if not flag]
        self.members = [self.members[row] for row in rows]
        if not rows:
            return
        state = [self.optimizer.state.pop(parameter) for parameter in self._trained()]
        self.parameters = _trainable([parameter[rows] for parameter in self.parameters])
        self.running = [(mean[rows], var[rows]) for mean, var in self.running]
        self.optimizer.param_groups[0]["params"] = self._trained()
        for parameter, moments in zip(self._trained(), state, strict=True):
            moments["exp_avg"] = moments["exp_avg"][rows]
            moments["exp_avg_sq"] = moments["exp_avg_sq"][rows]
            self.optimizer.state[parameter] = moments

    @torch.no_grad()
    def best_logits(self, x: Float[Tensor, "rows dim"]) -> Float[np.ndarray, "networks rows labels"]:
        """Return the logits of every network with the weights of its best check."""
        parameters = self.best[: len(self.parameters)]
        statistics = self.best[len(self.parameters) :]
        running = list(zip(statistics[0::2], statistics[1::2], strict=True))
        return _forward(parameters, running, x, None).cpu().numpy()


def _trainable(parameters: list[Tensor]) -> list[Tensor]:
    """Let gradients flow to all but the hidden layers' biases.

    Batch normalisation takes a bias out again, so its true gradient is zero; Adam would scale the rounding
    error found in its place to full steps, and a result would depend on the company it was computed in.
    """
    for index, parameter in enumerate(parameters[:-2]):
        parameter.requires_grad_(index % 4 != 1)
    for parameter in parameters[-2:]:
        parameter.requires_grad_()
    return parameters


def _initial(widths: Sequence[int], initialization: str, generator: torch.Generator) -> list[Tensor]:
    """Return one network's parameters: weight, bias (and batch-norm scale, shift) layer by layer.

    Weights are Xavier with gain 1 in the first layer and sqrt(2) in later ones; biases are uniform in
    +-1/sqrt(fan_in), which is what the original leaves to torch.
    """
    xavier = getattr(torch.nn.init, f"{initialization}_")
    device = generator.device
    tensors = []
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        weight = torch.empty(fan_out, fan_in, device=device)
        xavier(weight, gain=1.0 if layer == 0 else math.sqrt(2.0), generator=generator)
        bound = 1.0 / math.sqrt(fan_in)
        bias = torch.empty(fan_out, device=device).uniform_(-bound, bound, generator=generator)
        tensors += [weight, bias]
        if layer < len(widths) - 2:
            tensors += [torch.ones(fan_out, device=device), torch.zeros(fan_out, device=device)]
    return tensors


def _forward(
    parameters: Sequence[Tensor],
    running: Sequence[tuple[Tensor, Tensor]],
    x: Float[Tensor, "rows dim"],
    masks: Sequence[Float[Tensor, "rows channels"]] | None,
) -> Float[Tensor, "networks rows labels"]:
    """Run the stack; `masks` are the dropout factors in training and None in evaluation."""
    networks = parameters[0].shape[0]
    h = x
    for layer, (mean, var) in enumerate(running):
        weight, bias, scale, shift = parameters[4 * layer : 4 * layer + 4]
        z = _linear(h, weight, bias) if layer == 0 else _unstack(_batched_linear(h, weight, bias))
        h = functional.batch_norm(
            z,
            mean.flatten(),
            var.flatten(),
            scale.flatten(),
            shift.flatten(),
            training=masks is not None,
            momentum=BATCH_NORM_MOMENTUM,
            eps=BATCH_NORM_EPS,
        )
        if masks is not None:
            h = h.mul_(masks[layer])
        h = h.relu_()
    weight, bias = parameters[-2:]
    if not running:
        return _linear(h, weight, bias).unflatten(1, (networks, -1)).transpose(0, 1)
    return _batched_linear(h, weight, bias)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Float[Tensor, "rows channels"]:
    """Apply every network's layer to the same rows: one wide product."""
    return functional.linear(x, weight.flatten(0, 1), bias.flatten())


def _batched_linear(h: Tensor, weight: Tensor, bias: Tensor) -> Float[Tensor, "networks rows out"]:
    """Apply every network's layer to its own channels."""
    own = h.unflatten(1, (weight.shape[0], -1)).transpose(0, 1)
    return torch.baddbmm(bias[:, None], own, weight.transpose(1, 2))


def _unstack(z: Float[Tensor, "networks rows out"]) -> Float[Tensor, "rows channels"]:
    return z.transpose(0, 1).flatten(1)


def _summed_loss(logits: Float[Tensor, "networks rows labels"], target: Tensor) -> Float[Tensor, ""]:
    """Return the sum over networks of each one's mean loss: their gradients stay their own."""
    networks = logits.shape[0]
    if target.ndim == 1:
        flat = functional.cross_entropy(logits.flatten(0, 1), target.repeat(networks), reduction="sum")
        return flat / len(target)
    every = target.expand(networks, -1, -1)
    return functional.binary_cross_entropy_with_logits(logits, every, reduction="sum") / target.numel()
