"""The stacked engine against a plain network of torch's own layers, trained alone."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.metrics import metric_named
from evaluation.probe import Fit, FitResult, Rows, train_stack
from evaluation.protocol import ProbeConfig

CONFIG = ProbeConfig(hidden_dim=24, lr=3e-3, max_epochs=30, batch_size=32, dropout=0.25)
ROUNDING = 1e-5


def data(multilabel: bool = False, sizes: Sequence[int] = (75, 40, 30), seed: int = 0) -> list[Rows]:
    """Three parts of a task that can be learned but not perfectly: 12 features, 5 classes."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(5, 12, generator=generator)
    parts = []
    for size in sizes:
        label = torch.randint(0, 5, (size,), generator=generator)
        x = centres[label] + 1.2 * torch.randn(size, 12, generator=generator)
        hot = nn.functional.one_hot(label, 5).float()
        second = nn.functional.one_hot((label + 2) % 5, 5).float()
        parts.append(Rows(x, torch.maximum(hot, second) if multilabel else label))
    return parts


def score_on(rows: Rows, name: str = "top1_acc"):
    hot = rows.target if rows.target.ndim == 2 else nn.functional.one_hot(rows.target, 5)
    return lambda logits: metric_named(name)(hot.numpy(), logits)


def train(fits: Sequence[Fit], parts: Sequence[Rows], name: str = "top1_acc") -> list[FitResult]:
    return train_stack(fits, *parts, 5, score_on(parts[1], name))


class Plain(nn.Module):
    """The classifier as the protocol's text says it, one network, dropout before the ReLU."""

    def __init__(self, fit: Fit, dim: int):
        super().__init__()
        config, self.generator = fit.config, torch.Generator().manual_seed(fit.generator_seed)
        widths = [dim, *[config.hidden_dim] * config.hidden_layers, 5]
        self.linear, self.norm = nn.ModuleList(), nn.ModuleList()
        for index, (a, b) in enumerate(itertools.pairwise(widths)):
            layer = nn.Linear(a, b)
            gain = 1.0 if index == 0 else 2**0.5
            getattr(nn.init, config.initialization + "_")(layer.weight, gain, generator=self.generator)
            nn.init.uniform_(layer.bias, -(a**-0.5), a**-0.5, generator=self.generator)
            self.linear.append(layer)
            self.norm.append(nn.BatchNorm1d(b))
        self.keep = 1 - config.dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, norm in zip(self.linear[:-1], self.norm, strict=False):
            x = norm(linear(x))
            if self.training:
                x = x * (torch.rand(x.shape, generator=self.generator) < self.keep) / self.keep
            x = torch.relu(x)
        return self.linear[-1](x)


def train_plain(fit: Fit, parts: Sequence[Rows], name: str) -> FitResult:
    """Train one network as the protocol says: Adam, a check every third epoch, the best check's weights."""
    train_rows, valid, test = parts
    config, net = fit.config, Plain(fit, train_rows.x.shape[1])
    for linear in net.linear[:-1]:
        linear.bias.requires_grad_(False)  # its gradient is zero but for rounding: see evaluation.probe
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=config.lr)
    loss = nn.CrossEntropyLoss() if valid.target.ndim == 1 else nn.BCEWithLogitsLoss()
    best, since, kept, epoch = -np.inf, 0, None, 0
    for epoch in range(config.max_epochs):
        net.train()
        for x, y in zip(
            train_rows.x.split(config.batch_size), train_rows.target.split(config.batch_size), strict=True
        ):
            optimizer.zero_grad()
            loss(net(x), y).backward()
            optimizer.step()
        if (epoch + 1) % config.check_val_every_n_epoch:
            continue
        net.eval()
        with torch.no_grad():
            score = np.float32(score_on(valid, name)(net(valid.x).numpy()))
            since += 1
            if score > best:
                best, since, kept = score, 0, (epoch, net(test.x).numpy())
        if since >= config.patience:
            break
    return FitResult(float(best), kept[0], epoch + 1, kept[1])


def assert_same(a: FitResult, b: FitResult) -> None:
    assert (a.validation_score, a.epoch, a.epochs) == (b.validation_score, b.epoch, b.epochs)
    np.testing.assert_allclose(a.test_logits, b.test_logits, atol=ROUNDING)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("multilabel", [False, True])
def test_each_network_of_a_stack_equals_the_plain_network_alone(layers: int, multilabel: bool) -> None:
    parts, name = data(multilabel), "mAP" if multilabel else "top1_acc"
    config = ProbeConfig(**{**vars(CONFIG), "hidden_layers": layers, "patience": 2})
    uniform = ProbeConfig(**{**vars(config), "dropout": 0.1, "initialization": "xavier_uniform"})
    fits = [Fit(config, 1), Fit(uniform, 2), Fit(config, 3)]
    for fit, result in zip(fits, train(fits, parts, name), strict=True):
        assert_same(result, train_plain(fit, parts, name))


def test_a_networks_result_does_not_depend_on_its_company() -> None:
    parts = data()
    config = ProbeConfig(**{**vars(CONFIG), "patience": 3, "max_epochs": 60})
    fits = [Fit(config, seed) for seed in range(7)]
    together = train(fits, parts)
    assert len({result.epochs for result in together}) > 1, "the networks should stop at different epochs"
    for fit, result in zip(fits, together, strict=True):
        assert_same(result, train([fit], parts)[0])
    for fit, result in zip(fits[::-1], train(fits[::-1], parts), strict=True):
        assert_same(result, together[fit.generator_seed])


def test_the_same_stack_gives_the_same_bits() -> None:
    parts, fits = data(), [Fit(CONFIG, seed) for seed in range(3)]
    for a, b in zip(train(fits, parts), train(fits, parts), strict=True):
        assert np.array_equal(a.test_logits, b.test_logits)


def test_training_learns_and_seeds_differ() -> None:
    parts = data()
    results = train([Fit(CONFIG, seed) for seed in range(4)], parts)
    chance = 0.2
    assert min(result.validation_score for result in results) > 2 * chance
    assert not np.array_equal(results[0].test_logits, results[1].test_logits)


def test_a_last_batch_of_one_row_joins_the_one_before() -> None:
    parts = data(sizes=(65, 40, 30))
    result = train([Fit(CONFIG, 0)], parts)[0]
    assert np.isfinite(result.test_logits).all()


def test_the_best_check_is_kept_not_the_last() -> None:
    parts = data()
    scores = iter([0.1, 0.7, 0.7, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1])
    short = ProbeConfig(**{**vars(CONFIG), "max_epochs": 6})
    result = train_stack([Fit(CONFIG, 0)], *parts, 5, lambda logits: next(scores))[0]
    assert (result.epoch, result.epochs) == (5, 30)
    assert result.validation_score == np.float32(0.7)
    first_two = iter([0.1, 0.7])
    expected = train_stack([Fit(short, 0)], *parts, 5, lambda logits: next(first_two))[0]
    assert np.array_equal(result.test_logits, expected.test_logits)


def test_a_score_that_is_not_a_number_stops_that_network_only() -> None:
    parts = data()
    scores = iter([0.5, 0.5, np.nan, 0.6, *[0.7] * 20])
    first, second = train_stack([Fit(CONFIG, 0), Fit(CONFIG, 1)], *parts, 5, lambda logits: next(scores))
    assert (first.epochs, first.epoch, first.validation_score) == (6, 2, 0.5)
    assert second.epochs == CONFIG.max_epochs


def test_networks_of_different_shape_are_refused() -> None:
    other = ProbeConfig(**{**vars(CONFIG), "hidden_dim": 8})
    with pytest.raises(ValueError, match="must agree"):
        train([Fit(CONFIG, 0), Fit(other, 0)], data())
