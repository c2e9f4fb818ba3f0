"""The stacked engine against a plain network of torch's own layers, trained alone."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.metrics.table import scene_metric
from evaluation.probes.config import ProbeConfig
from evaluation.probes.layer import Dropout, Workspace
from evaluation.probes.train import Fit, FitResult, Rows, Stack, as_trained_on, train_stack, train_stacks

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
    return lambda logits: scene_metric(name)(hot.numpy(), logits)


def train(fits: Sequence[Fit], parts: Sequence[Rows], name: str = "top1_acc") -> list[FitResult]:
    """Train all in one stack, as on a GPU."""
    config = fits[0].config
    stack = Stack(fits, lambda: (as_trained_on(parts[0], config), *parts[1:]), 5, score_on(parts[1], name))
    (trained,) = train_stacks([stack], 1)
    return trained.results


class Plain(nn.Module):
    """The classifier as the protocol's text says it, one network, dropout before the ReLU."""

    def __init__(self, fit: Fit, dim: int):
        super().__init__()
        config, self.generator = fit.config, torch.Generator().manual_seed(fit.generator_seed)
        self.bits = np.random.SFC64(fit.generator_seed)
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

    def mask(self, shape: torch.Size) -> torch.Tensor:
        """What is kept: 16 bits per unit, channel by channel, four units to a draw."""
        draws = torch.from_numpy(self.bits.random_raw(-(-shape.numel() // 4)).view(np.int16))
        bits = draws[: shape.numel()]
        return (bits.int() + 32768 >= 65536 - round(65536 * self.keep)).view(shape[1], shape[0]).T

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, norm in zip(self.linear[:-1], self.norm, strict=False):
            x = norm(linear(x))
            if self.training and self.keep < 1:
                x = x * self.mask(x.shape) / self.keep
            x = torch.relu(x)
        return self.linear[-1](x)


def train_plain(fit: Fit, parts: Sequence[Rows], name: str) -> FitResult:
    """Train one network as the protocol says: Adam, a check every third epoch, the best check's weights."""
    train_rows, valid, test = parts
    config, net = fit.config, Plain(fit, train_rows.x.shape[1])
    for linear in net.linear[:-1]:
        linear.bias.requires_grad_(
            False
        )  # its gradient is zero but for rounding: see evaluation.probes.layer
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=config.lr, betas=(0.9, config.beta2))
    loss = nn.CrossEntropyLoss() if valid.target.ndim == 1 else nn.BCEWithLogitsLoss()
    best, since, kept, epoch, n = -np.inf, 0, None, 0, len(train_rows.x)
    for epoch in range(config.max_epochs):
        net.train()
        order = torch.randperm(n, generator=net.generator) if config.shuffle else torch.arange(n)
        for rows in order.split(config.batch_size):
            optimizer.zero_grad()
            loss(net(train_rows.x[rows]), train_rows.target[rows]).backward()
            optimizer.step()
        if (epoch + 1) % config.check_val_every_n_epoch:
            continue
        net.eval()
        with torch.no_grad():
            score = np.float32(score_on(valid, name)(net(valid.x).numpy()))
            since += 1
            if score > best:
                best, since, kept = score, 0, (net(valid.x).numpy(), net(test.x).numpy(), epoch)
        if since >= config.patience:
            break
    return FitResult(float(best), kept[2], epoch + 1, *kept[:2])


def assert_same(a: FitResult, b: FitResult, tolerance: float = ROUNDING) -> None:
    assert (a.validation_score, a.epoch, a.epochs) == (b.validation_score, b.epoch, b.epochs)
    np.testing.assert_allclose(a.valid_logits, b.valid_logits, atol=tolerance)
    np.testing.assert_allclose(a.test_logits, b.test_logits, atol=tolerance)


def varied(**changes: object) -> ProbeConfig:
    return replace(CONFIG, **changes)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 channels, so that a small layer has several, the last one incomplete."""
    monkeypatch.setattr("evaluation.probes.layer.BLOCK_ELEMENTS", 1)


@pytest.fixture
def threads() -> Iterator[None]:
    """Three cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_network_of_a_stack_equals_the_plain_network_alone(
    layers: int, multilabel: bool, shuffle: bool
) -> None:
    parts, name = data(multilabel), "mAP" if multilabel else "top1_acc"
    shared = {"hidden_layers": layers, "patience": 2, "shuffle": shuffle}
    configs = [
        varied(**shared),
        varied(**shared, dropout=0.0, initialization="xavier_uniform"),
        varied(**shared, lr=1e-2),
        varied(**shared, lr=1e-3, beta2=0.95, dropout=0.5),
        varied(**shared),
    ]
    fits = [Fit(config, seed) for seed, config in enumerate(configs)]
    for fit, result in zip(fits, train(fits, parts, name), strict=True):
        assert_same(result, train_plain(fit, parts, name))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.usefixtures("narrow")
def test_a_layer_in_several_blocks_equals_the_plain_network(layers: int) -> None:
    parts = data()
    fits = [Fit(varied(hidden_layers=layers, hidden_dim=44, lr=lr), 3) for lr in (3e-3, 1e-3)]
    for fit, result in zip(fits, train(fits, parts), strict=True):
        assert_same(result, train_plain(fit, parts, "top1_acc"))


def test_a_networks_result_does_not_depend_on_its_company() -> None:
    parts = data()
    config = varied(patience=3, max_epochs=60)
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
    short = varied(max_epochs=6)
    result = train_stack([Fit(CONFIG, 0)], *parts, 5, lambda logits: next(scores))[0]
    assert (result.epoch, result.epochs) == (5, 30)
    assert result.validation_score == np.float32(0.7)
    first_two = iter([0.1, 0.7])
    expected = train_stack([Fit(short, 0)], *parts, 5, lambda logits: next(first_two))[0]
    assert np.array_equal(result.test_logits, expected.test_logits)


def test_a_score_that_is_not_a_number_stops_that_network_only() -> None:
    parts = tuple(data())
    scores = iter([0.5, 0.5, np.nan, 0.6, *[0.7] * 20])
    stack = Stack([Fit(CONFIG, 0), Fit(CONFIG, 1)], lambda: parts, 5, lambda logits: next(scores))
    ((first, second),) = (trained.results for trained in train_stacks([stack], 1))
    assert (first.epochs, first.epoch, first.validation_score) == (6, 2, 0.5)
    assert second.epochs == CONFIG.max_epochs


def test_networks_of_different_shape_are_refused() -> None:
    other = varied(hidden_dim=8)
    with pytest.raises(ValueError, match="must agree"):
        train([Fit(CONFIG, 0), Fit(other, 0)], data())


def test_what_adam_and_initialisation_use_may_differ_within_a_stack() -> None:
    train([Fit(CONFIG, 0), Fit(varied(lr=1e-2, beta2=0.9, initialization="xavier_uniform"), 0)], data())


@pytest.mark.usefixtures("threads")
def test_threads_change_no_result_and_an_error_in_one_ends_all() -> None:
    parts, fits = data(), [Fit(varied(hidden_dim=300, batch_size=1024), seed) for seed in range(5)]
    told: list[tuple[float, int]] = []
    stopping = varied(hidden_dim=300, batch_size=1024, patience=2)
    together = train_stack(
        [Fit(stopping, fit.generator_seed) for fit in fits],
        *parts,
        5,
        score_on(parts[1]),
        lambda done, alive: told.append((done, alive)),
    )
    assert told[-1] == (pytest.approx(5), 0)
    assert told == sorted(told, key=lambda one: (one[0], -one[1]))
    assert max(alive for _, alive in told) == 5
    for fit, result in zip(fits, together, strict=True):
        alone = train([Fit(stopping, fit.generator_seed)], parts)[0]
        assert_same(result, alone)
    assert torch.get_num_threads() == 3

    def broken(logits: np.ndarray) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_stack(fits, *parts, 5, broken)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("threads")
def test_on_a_cpu_cores_and_company_change_no_bit() -> None:
    config = varied(hidden_dim=300, batch_size=1024, max_epochs=6)
    parts, fits = data(sizes=(701, 7, 7)), [Fit(config, seed) for seed in range(4)]
    together = train_stack(fits, *parts, 5, score_on(parts[1]))
    for threads in (1, 3):
        torch.set_num_threads(threads)
        alone = train_stack(fits[3:], *parts, 5, score_on(parts[1]))[0]
        assert np.array_equal(alone.test_logits, together[3].test_logits)


def test_the_loss_can_decide_instead_of_a_score() -> None:
    parts = data()
    target = parts[1].target

    def negative_loss(logits: np.ndarray) -> float:
        return -float(nn.functional.cross_entropy(torch.from_numpy(logits), target))

    result = train_stack([Fit(varied(lr=3e-2, max_epochs=90, patience=4), 0)], *parts, 5, negative_loss)[0]
    assert result.validation_score < 0
    assert result.validation_score == pytest.approx(negative_loss(result.valid_logits), abs=1e-6)
    assert result.epochs == result.epoch + 1 + 4 * 3


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_rounded_products_stay_near_the_exact_ones(layers: int) -> None:
    parts, fits = data(), [Fit(varied(hidden_layers=layers, lr=1e-3), seed) for seed in range(2)]
    exact = train(fits, parts)
    rounded = train(
        [replace(fit, config=replace(fit.config, matmul_precision="bf16")) for fit in fits], parts
    )
    for a, b in zip(exact, rounded, strict=True):
        assert np.abs(a.test_logits - b.test_logits).max() < 0.15
        if layers:
            assert not np.array_equal(a.test_logits, b.test_logits)
        else:
            assert np.array_equal(a.test_logits, b.test_logits)


def test_dropout_keeps_the_share_it_should_and_its_masks_are_independent() -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    fits = [Fit(varied(dropout=rate), seed) for seed, rate in enumerate((0.1, 0.25, 0.0))]
    dropout = Dropout(fits, generators)
    h = torch.ones(3, 1000, 1000)
    dropout.apply_(h, slice(0, 3), Workspace(h.device))
    for share, rate in zip(h.mean((1, 2)).tolist(), (0.1, 0.25, 0.0), strict=True):
        assert share == pytest.approx(1 - rate, abs=4 * (rate * (1 - rate)) ** 0.5 / 1000)
    first, second = h[0].mean().item(), h[1].mean().item()
    uncertainty = 4 * 0.3 * 0.3 / 1000
    assert (h[0, 1:] * h[0, :-1]).mean().item() == pytest.approx(first**2, abs=uncertainty)
    assert (h[0, :, 1:] * h[0, :, :-1]).mean().item() == pytest.approx(first**2, abs=uncertainty)
    assert (h[0] * h[1]).mean().item() == pytest.approx(first * second, abs=4 * 0.3 * 0.44 / 1000)
