"""One layer of several networks: forward pass, backward pass and Adam's step, written out by hand.

Activations are kept channels first, [networks, channels, rows]. Batch normalisation then works along
contiguous rows, and everything from the matrix product to the dropout, and from the gradient of the output
to Adam's step, is done block of channels by block of channels while the block is in the processor's cache.
A weight's gradient never exists as a whole. On a GPU all channels of equal learning rate are one block.

A hidden layer computes, with u the normalised W x and f = 1 / (1 - dropout rate) where a unit is kept,

    h = relu(f (scale u + shift));

with g the gradient of f (scale u + shift), sigma the standard deviation and n rows, its gradients are

    dscale = f sum(g u);   dshift = f sum(g);   dz = f scale / sigma (g - sum(g) / n - u sum(g u) / n).

h > 0 exactly where neither ReLU nor dropout has cut, so h is the mask of both.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from evaluation.probes.config import ProbeConfig

BATCH_NORM_EPS = 1e-5
BATCH_NORM_MOMENTUM = 0.1
ADAM_BETA1 = 0.9
ADAM_EPS = 1e-8

BLOCK_ELEMENTS = 1 << 19
"""Activations in one block on a CPU: few enough for its cache, enough for the matrix products' full speed."""

_keep_above = torch.ops.aten.threshold_backward.grad_input
"""(values, x, threshold, grad_input=out): the values where x > threshold, else 0, in one pass."""


@dataclass(frozen=True)
class Fit:
    """One network to train: its configuration and the seed of its own generators."""

    config: ProbeConfig
    generator_seed: int


class Workspace:
    """Memory that is used again in every step, by name: fresh arrays would cost page faults each time."""

    def __init__(self, device: torch.device):
        self.device = device
        self._flat: dict[str, Tensor] = {}

    def empty(self, name: str, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return an uninitialised tensor in the memory of that name."""
        size = 1
        for length in shape:
            size *= length
        if name not in self._flat or len(self._flat[name]) < size:
            self._flat[name] = torch.empty(size, dtype=dtype, device=self.device)
        return self._flat[name][:size].view(shape)


class Dropout:
    """The random masks of some networks, each drawn from the network's own generator.

    A unit is kept when 16 random bits, read as a signed number, are above a threshold; its probability is
    right to 2^-17. On a CPU numpy's SFC64 of the same seed draws the bits, twice as fast as torch.
    """

    def __init__(self, fits: Sequence[Fit], generators: Sequence[torch.Generator]):
        self.rates = [fit.config.dropout for fit in fits]
        self.device = generators[0].device
        self._sources: Sequence[np.random.SFC64 | torch.Generator] = (
            [np.random.SFC64(fit.generator_seed) for fit in fits] if self.device.type == "cpu" else generators
        )
        self.factors = self._factors()

    def select(self, networks: Sequence[int]) -> None:
        """Keep only these networks."""
        self.rates = [self.rates[i] for i in networks]
        self._sources = [self._sources[i] for i in networks]
        self.factors = self._factors()

    def _factors(self) -> Float[Tensor, "networks 1"]:
        """Return 1 / (1 - rate), by which what is kept is scaled."""
        return torch.tensor([1.0 / (1.0 - rate) for rate in self.rates], device=self.device)[:, None]

    def apply_(self, h: Float[Tensor, "networks channels rows"], networks: slice, scratch: Workspace) -> None:
        """Set to zero what is dropped of these networks' activations."""
        number = scratch.empty("number", h.shape[1:])
        for own, source, rate in zip(h, self._sources[networks], self.rates[networks], strict=True):
            if rate > 0:
                number.copy_(_random_bits(source, number.numel()).view_as(number))
                _keep_above(own, number, 32767 - round(65536 * (1.0 - rate)), grad_input=own)


def _random_bits(source: np.random.SFC64 | torch.Generator, count: int) -> Int16[Tensor, " count"]:
    """Return numbers from -32768 to 32767, four from each draw of 64 bits."""
    draws = -(-count // 4)
    if isinstance(source, torch.Generator):
        words = torch.empty(draws, dtype=torch.int64, device=source.device)
        return words.random_(-(2**63), None, generator=source).view(torch.int16)[:count]
    return torch.from_numpy(source.random_raw(draws).view(np.int16)[:count])


@dataclass(frozen=True)
class NetworkBlock:
    """Channels of one layer that are computed together: some of one network's, or whole networks.

    `trained` are views of the layer's parameters, weight first, and `moments` of Adam's two moments of
    each; `product` is the weight as the matrix products take it.
    """

    networks: slice
    channels: slice
    lr: float
    beta2: float
    trained: list[Tensor]
    moments: list[tuple[Tensor, Tensor]]
    product: Tensor

    @property
    def where(self) -> tuple[slice, slice]:
        """The block's place in a tensor of [networks, channels, ...]."""
        return self.networks, self.channels

    def adam_(self, gradients: list[Tensor], step: Float[Tensor, ""]) -> None:
        """Make Adam's step number `step` in one pass over parameters and moments."""
        torch._fused_adam_(
            self.trained,
            gradients,
            [first for first, _ in self.moments],
            [second for _, second in self.moments],
            [],
            [step] * len(gradients),
            lr=self.lr,
            beta1=ADAM_BETA1,
            beta2=self.beta2,
            eps=ADAM_EPS,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )
        if self.product.dtype != self.trained[0].dtype:
            self.product.copy_(self.trained[0])


class Layer:
    """One linear layer of all networks; a hidden one with batch normalisation, dropout and ReLU after it.

    `state` is all that a trained layer consists of, every tensor with a leading network axis: weight and
    bias, and in a hidden layer scale, shift, mean and variance. A hidden layer's bias is not trained:
    batch normalisation takes it out again, so its true gradient is zero, and Adam would scale the rounding
    error found in its place to full steps. `precision` "bf16" rounds what enters a hidden layer's products;
    weights, sums and the output layer stay float32.
    """

    def __init__(self, state: dict[str, Tensor], precision: str, scratch: Workspace):
        self.state = state
        self.hidden = "scale" in state
        self.dtype = torch.bfloat16 if self.hidden and precision == "bf16" else torch.float32
        self.scratch, self.kept = scratch, Workspace(scratch.device)
        trained = ("weight", "scale", "shift") if self.hidden else ("weight", "bias")
        self.moments = {n: (torch.zeros_like(state[n]), torch.zeros_like(state[n])) for n in trained}
        self.blocks: list[NetworkBlock] = []

    def select(self, networks: Sequence[int]) -> None:
        """Keep only these networks; `arrange` has to follow."""
        self.state = {name: tensor[networks] for name, tensor in self.state.items()}
        self.moments = {name: (m[networks], v[networks]) for name, (m, v) in self.moments.items()}

    def arrange(self, configs: Sequence[ProbeConfig], rows: int) -> None:
        """Cut the layer into blocks for batches of up to `rows` rows."""
        weight = self.state["weight"]
        product = weight.to(self.dtype)
        width = weight.shape[1]
        size = min(width, max(BLOCK_ELEMENTS // rows // 16, 1) * 16) if weight.device.type == "cpu" else width
        self.blocks = [
            NetworkBlock(
                *(where := (networks, slice(start, min(start + size, width)))),
                configs[networks.start].lr,
                configs[networks.start].beta2,
                [self.state[name][where] for name in self.moments],
                [(m[where], v[where]) for m, v in self.moments.values()],
                product[where],
            )
            for networks in _runs_of_networks(configs, whole=size == width)
            for start in range(0, width, size)
        ]

    def evaluate(self, inputs: Tensor) -> Float[Tensor, "networks channels rows"]:
        """Return the layer's output as a trained network gives it, from the running statistics."""
        inputs = inputs.to(self.dtype)
        bias = self.state["bias"]
        out = torch.empty(*bias.shape, inputs.shape[-1], device=inputs.device)
        for block in self.blocks:
            _multiply_layers(block.product, _of_networks(inputs, block.networks), out[block.where])
        if not self.hidden:
            return out.add_(bias[..., None])
        factor = self.state["scale"] * (self.state["variance"] + BATCH_NORM_EPS).rsqrt()
        offset = self.state["shift"] + factor * (bias - self.state["mean"])
        return out.mul_(factor[..., None]).add_(offset[..., None]).relu_()

    def forward(self, inputs: Tensor, dropout: Dropout) -> Float[Tensor, "networks channels rows"]:
        """Return the output for a batch [networks, inputs, rows], or [inputs, rows] shared by all.

        A hidden layer's running statistics move on, and what `backward` needs is kept.
        """
        self.inputs = inputs.to(self.dtype)
        bias = self.state["bias"]
        shape = (*bias.shape, inputs.shape[-1])
        self.z = self.kept.empty("z", shape)
        if not self.hidden:
            for block in self.blocks:
                _multiply_layers(
                    block.product, _of_networks(self.inputs, block.networks), self.z[block.where]
                )
            return self.z.add_(bias[..., None])
        self.h = self.kept.empty("h", shape)
        self.factors = dropout.factors
        mean, variance, self.inverse_sigma = (torch.empty_like(bias) for _ in range(3))
        for block in self.blocks:
            self._forward_block(block, mean[block.where], variance[block.where], dropout)
        self.state["mean"].lerp_(mean.add_(bias), BATCH_NORM_MOMENTUM)
        unbiased = variance.mul_(shape[-1] / max(shape[-1] - 1, 1))
        self.state["variance"].lerp_(unbiased, BATCH_NORM_MOMENTUM)
        return self.h

    def _forward_block(self, block: NetworkBlock, mean: Tensor, variance: Tensor, dropout: Dropout) -> None:
        """Compute z, centred, and h of one block; `mean` and `variance` are of its channels."""
        z, h = self.z[block.where], self.h[block.where]
        _multiply_layers(block.product, _of_networks(self.inputs, block.networks), z)
        mean.copy_(z.mean(-1))
        z.sub_(mean[..., None])
        variance.copy_(torch.linalg.vector_norm(z, dim=-1).square_().div_(z.shape[-1]))
        inverse_sigma = self.inverse_sigma[block.where].copy_((variance + BATCH_NORM_EPS).rsqrt_())
        _, scale, shift = block.trained
        factors = self.factors[block.networks]
        torch.mul(z, (factors * scale * inverse_sigma)[..., None], out=h)
        h.add_((factors * shift)[..., None]).relu_()
        dropout.apply_(h, block.networks, self.scratch)

    def backward(self, gradient: Tensor, step: Float[Tensor, ""], below: bool) -> Tensor | None:
        """Make Adam's step from the gradient of the output, which is overwritten.

        Return the gradient of the inputs if `below` asks for it.
        """
        lower = self.kept.empty("lower", self.inputs.shape) if below else None
        for block in self.blocks:
            dz = gradient[block.where]
            others = self._normalisation_backward(block, dz) if self.hidden else [dz.sum(-1)]
            dz = dz.to(self.dtype)
            if lower is not None:
                part = lower[block.networks]
                _multiply_layers(block.product.mT, dz, part, add=block.channels.start > 0)
            weight = self.scratch.empty("weight gradient", block.trained[0].shape)
            _multiply_layers(dz, _of_networks(self.inputs, block.networks).mT, weight)
            block.adam_([weight, *others], step)
        return lower

    def _normalisation_backward(self, block: NetworkBlock, gradient: Tensor) -> list[Tensor]:
        """Turn the gradient of h into that of z, in place, and return those of scale and shift."""
        z, h, rows = self.z[block.where], self.h[block.where], self.z.shape[-1]
        factors, inverse_sigma = self.factors[block.networks], self.inverse_sigma[block.where]
        _keep_above(gradient, h, 0.0, grad_input=gradient)
        total = gradient.sum(-1)
        weighted = torch.mul(gradient, z, out=self.scratch.empty("weighted", z.shape)).sum(-1)
        weighted.mul_(inverse_sigma)
        gradient.addcmul_(z, (weighted * inverse_sigma / -rows)[..., None]).sub_((total / rows)[..., None])
        _, scale, _ = block.trained
        gradient.mul_((factors * scale * inverse_sigma)[..., None])
        return [weighted.mul_(factors), total.mul_(factors)]


def _runs_of_networks(configs: Sequence[ProbeConfig], whole: bool) -> Iterator[slice]:
    """Cut the networks into neighbours that Adam treats alike, or, unless `whole`, into single ones."""
    numbers = range(len(configs))
    for _, run in itertools.groupby(numbers, lambda i: (configs[i].lr, configs[i].beta2, whole or i)):
        first, *others = run
        yield slice(first, others[-1] + 1 if others else first + 1)


def _of_networks(inputs: Tensor, networks: slice) -> Tensor:
    """Return these networks' inputs: their own, or the ones that all share."""
    return inputs if inputs.ndim == 2 else inputs[networks]


def _multiply_layers(a: Tensor, b: Tensor, out: Tensor, add: bool = False) -> None:
    """Write (or add) to float32 `out` the product of [networks, m, k] with [networks, k, n] or [k, n]."""
    if a.dtype != out.dtype:
        product = torch.matmul(a, b)
        out.add_(product) if add else out.copy_(product)
    elif b.ndim == 2:
        torch.mm(a.flatten(0, 1), b, out=out.flatten(0, 1))
    elif add:
        out.baddbmm_(a, b)
    else:
        torch.bmm(a, b, out=out)
