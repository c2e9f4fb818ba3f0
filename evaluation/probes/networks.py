"""Several shallow classifiers of one shape, trained in step; `layer` has the arithmetic."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from evaluation.probes.layer import Dropout, Fit, Layer, Workspace

EXAMINED_ROWS = 10_000
"""Training rows, evenly spaced, that a trained classifier is asked about at the end."""

EVALUATED_ROWS = 1024
"""Rows that go through the networks at a time when they are only asked."""


class Networks:
    """Parameters, optimiser and best weights of several networks that agree in `ProbeConfig.stackable`.

    `rows` is the number of training rows. Initial weights, dropout and orders come from each network's own
    generator, so what becomes of it does not depend on the others.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        rows: int,
        dim: int,
        n_labels: int,
        device: torch.device,
    ):
        config = fits[0].config
        self.fits = fits
        self.members = list(range(len(fits)))
        self.configs = [fit.config for fit in fits]
        self.generators = [torch.Generator(device).manual_seed(fit.generator_seed) for fit in fits]
        widths = [dim, *[config.hidden_dim] * config.hidden_layers, n_labels]
        own = [
            initial_state(widths, fit.config.initialization, g)
            for fit, g in zip(fits, self.generators, strict=True)
        ]
        self.dropout = Dropout(fits, self.generators)
        scratch = Workspace(device)
        self.layers = [
            Layer(
                {name: torch.stack([s[name] for s in states]) for name in states[0]},
                config.matmul_precision,
                scratch,
            )
            for states in zip(*own, strict=True)
        ]
        self.best = [{name: t.clone() for name, t in layer.state.items()} for layer in self.layers]
        self.batch_rows = min(rows, config.batch_size)
        self.steps = torch.zeros((), device=device)
        self._arrange()

    def _arrange(self) -> None:
        for layer in self.layers:
            layer.arrange(self.configs, self.batch_rows)

    def orders(self, rows: int) -> Int[Tensor, "networks rows"]:
        """Draw an order of the training rows for every network."""
        device = self.steps.device
        draws = [torch.randperm(rows, generator=g, device=device) for g in self.generators]
        return torch.stack(draws)

    def step(self, x: Tensor, hot: Tensor, multiclass: bool) -> None:
        """Make one Adam step of every network on a batch of embeddings and multi-hot targets.

        Both are [rows, ...] where the networks share the batch, else [networks, rows, ...].
        """
        h = x.mT
        for layer in self.layers:
            h = layer.forward(h, self.dropout)
        gradient = _loss_gradient(h, hot.mT, multiclass)
        self.steps += 1
        for number, layer in reversed(list(enumerate(self.layers))):
            lower = layer.backward(gradient, self.steps, below=number > 0)
            gradient = gradient if lower is None else lower

    def logits(self, x: Float[Tensor, "rows dim"]) -> Float[np.ndarray, "networks rows labels"]:
        """Return what the networks that are still training say of these rows."""
        parts = []
        for rows in x.split(EVALUATED_ROWS):
            h = rows.mT
            for layer in self.layers:
                h = layer.evaluate(h)
            parts.append(h.mT)
        return torch.cat(parts, 1).cpu().numpy()

    def keep_best(self, improved: Sequence[bool]) -> None:
        """Copy the weights of the networks that have just improved."""
        rows = [row for row, flag in enumerate(improved) if flag]
        for layer, best in zip(self.layers, self.best, strict=True):
            for name, tensor in layer.state.items():
                for row in rows:
                    best[name][self.members[row]].copy_(tensor[row])

    def drop(self, stopped: Sequence[bool]) -> None:
        """Take the networks that have stopped out of the stack."""
        rows = [row for row, flag in enumerate(stopped) if not flag]
        if len(rows) == len(self.members):
            return
        self.members = [self.members[row] for row in rows]
        self.configs = [self.configs[row] for row in rows]
        self.generators = [self.generators[row] for row in rows]
        self.dropout.select(rows)
        for layer in self.layers:
            layer.select(rows)
        self._arrange()

    def restore_best(self) -> None:
        """Bring all networks back with the weights of their best check; they cannot train any more."""
        self.members = list(range(len(self.fits)))
        self.configs = [fit.config for fit in self.fits]
        for layer, best in zip(self.layers, self.best, strict=True):
            layer.state, layer.moments = best, {}
        self._arrange()


def initial_state(
    widths: Sequence[int], initialization: str, generator: torch.Generator
) -> list[dict[str, Tensor]]:
    """Return one network's state, layer by layer.

    Weights are Xavier with gain 1 in the first layer and sqrt(2) in later ones; biases are uniform in
    +-1/sqrt(fan_in), which is what the original leaves to torch.
    """
    xavier = getattr(torch.nn.init, f"{initialization}_")
    device = generator.device
    layers = []
    for number, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        weight = torch.empty(fan_out, fan_in, device=device)
        xavier(weight, gain=1.0 if number == 0 else math.sqrt(2.0), generator=generator)
        bound = 1.0 / math.sqrt(fan_in)
        bias = torch.empty(fan_out, device=device).uniform_(-bound, bound, generator=generator)
        layers.append({"weight": weight, "bias": bias})
        if number < len(widths) - 2:
            zeros, ones = torch.zeros_like(bias), torch.ones_like(bias)
            layers[-1] |= {"scale": ones, "shift": zeros, "mean": zeros.clone(), "variance": ones.clone()}
    return layers


def _loss_gradient(
    logits: Float[Tensor, "networks labels rows"], hot: Tensor, multiclass: bool
) -> Float[Tensor, "networks labels rows"]:
    """Return the gradient of each network's mean loss: cross-entropy, or binary over all elements."""
    labels, rows = logits.shape[1:]
    if multiclass:
        return logits.softmax(1).sub_(hot).div_(rows)
    return logits.sigmoid().sub_(hot).div_(rows * labels)
