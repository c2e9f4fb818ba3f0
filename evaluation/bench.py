"""How fast this machine trains classifiers, against plain training loops and against its own limits.

    python -m evaluation.bench                        # one table, about two minutes on two cores
    python -m evaluation.bench --sizes 5000x768       # clips x dimensions, any number of them
    python -m evaluation.bench --growth               # time against clips and seeds

One network is the paper's: a hidden layer of 1024, batches of 1024. The columns are milliseconds per network
and epoch of training steps (no validation), each the best of several rounds in which all take turns, since
other work on the machine can only slow them down:

    engine   `evaluation.probe`, twice as many networks as there are cores
    plain    a loop over batches of a tensor in memory, torch's layers and Adam, one network at a time
    loader   as hear-eval-kit trains: a DataLoader that collates single rows, one network at a time
    limit    the roofline, from rates measured here and now: the time of the matrix products at the rate of a
             square product, plus the time to move what must be moved at the memory's speed. That is Adam's
             seven passes over its state (read and write weight and both moments, read the gradient) in
             every step, and over the hidden activations one forward pass (read, write) and one backward
             pass (read gradient and activation, write). The three follow one another, so their times add.

In the columns marked bf16 the hidden layer's products take operands of 16 bits, on both sides of the
comparison. Over 100 % of the limit is possible: caches are faster than the memory.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from evaluation.probe import Fit, Rows, train_stack
from evaluation.protocol import ProbeConfig

Precision = Literal["float32", "bf16"]
LABELS = 10
GROWTH_CLIPS = (500, 1000, 2000, 4000, 8000)
GROWTH_SEEDS = (2, 4, 8, 16)
CONFIG = ProbeConfig()
EXAMINED_ROWS = 2
"""Rows of the parts that a fit is validated and tested on: next to nothing, training is timed."""


@dataclass(frozen=True)
class Size:
    """A task's training rows and the embeddings' dimensions."""

    clips: int
    dim: int

    @staticmethod
    def parse(text: str) -> "Size":
        """Read "1800x64"; argparse turns the ValueError into its own sentence."""
        clips, dim = map(int, text.split("x"))
        if clips < EXAMINED_ROWS or dim < 1:
            raise ValueError(text)
        return Size(clips, dim)

    def rows(self) -> Rows:
        """Return random embeddings and classes."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.clips, self.dim, generator=generator)
        return Rows(x, torch.randint(0, LABELS, (self.clips,), generator=generator))


@dataclass(frozen=True)
class Machine:
    """What the machine reaches at best: operations per second in matrix products, bytes per second."""

    float32: float
    bf16: float
    bandwidth: float

    @staticmethod
    def measure() -> "Machine":
        """Time square products and a pass over an array that no cache holds."""
        n = 1024
        rates = []
        for dtype in (torch.float32, torch.bfloat16):
            a, out = torch.ones(n, n, dtype=dtype), torch.empty(n, n, dtype=dtype)
            rates.append(2 * n**3 / _best(lambda a=a, out=out: torch.mm(a, a, out=out), 20))
        array = torch.zeros(1 << 26)
        return Machine(*rates, 2 * array.nbytes / _best(lambda: array.add_(1.0), 5))

    def better(self, other: "Machine") -> "Machine":
        """Return the better of two measurements, rate by rate: what disturbs only slows down."""
        return Machine(*map(max, astuple(self), astuple(other)))

    def limit(self, size: Size, precision: Precision) -> float:
        """Return the seconds of one epoch of one network at the roofline; see the module's text."""
        hidden = CONFIG.hidden_dim
        first = 2 * (2 * size.clips * size.dim * hidden)
        last = 3 * (2 * size.clips * hidden * LABELS)
        weights = (size.dim + 2) * hidden + (hidden + 1) * LABELS
        steps = -(-size.clips // CONFIG.batch_size)
        moved = 4 * (7 * weights * steps + 5 * size.clips * hidden)
        rate = self.bf16 if precision == "bf16" else self.float32
        return first / rate + last / self.float32 + moved / self.bandwidth


def _best(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several times in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def engine(rows: Rows, epochs: int, networks: int, precision: Precision = "float32") -> list[np.ndarray]:
    """Train networks with this project's engine; the only validation follows the last epoch."""
    config = ProbeConfig(max_epochs=epochs, check_val_every_n_epoch=epochs, matmul_precision=precision)
    part = Rows(rows.x[:EXAMINED_ROWS], rows.target[:EXAMINED_ROWS])
    fits = [Fit(config, seed) for seed in range(networks)]
    results = train_stack(fits, rows, part, part, LABELS, lambda logits: 0.0)
    return [result.test_logits for result in results]


class _SingleRows(Dataset):
    """Rows one by one, with multi-hot targets, as hear-eval-kit hands them to its DataLoader."""

    def __init__(self, rows: Rows):
        self.x = rows.x.numpy()
        self.hot = nn.functional.one_hot(rows.target, LABELS).numpy()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.x[index].copy()), torch.from_numpy(self.hot[index])


def _steps(dim: int) -> Callable[[Tensor, Tensor], None]:
    """Return the training step of one network of torch's own layers."""
    hidden = CONFIG.hidden_dim
    net = nn.Sequential(
        nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.Dropout(CONFIG.dropout), nn.ReLU(),
        nn.Linear(hidden, LABELS),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=CONFIG.lr)

    def step(x: Tensor, target: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), target).backward()
        optimizer.step()

    return step


def plain(rows: Rows, epochs: int) -> None:
    """Train one network on slices of a tensor."""
    step = _steps(rows.x.shape[1])
    for _ in range(epochs):
        for x, target in zip(
            rows.x.split(CONFIG.batch_size), rows.target.split(CONFIG.batch_size), strict=True
        ):
            step(x, target)


def loader(rows: Rows, epochs: int) -> None:
    """Train one network on batches that a DataLoader collates from single rows."""
    step = _steps(rows.x.shape[1])
    batches = DataLoader(_SingleRows(rows), CONFIG.batch_size)
    for _ in range(epochs):
        for x, hot in batches:
            step(x, hot.argmax(1))


def measure(size: Size, rounds: int) -> list[float]:
    """Return the seconds per network and epoch of engine, engine in bf16, plain and loader."""
    rows, networks = size.rows(), 2 * torch.get_num_threads()
    epochs = max(2, min(30, int(6e7 / (size.clips * size.dim))))
    contenders: list[tuple[Callable[[], object], int]] = [
        (lambda: engine(rows, epochs, networks), epochs * networks),
        (lambda: engine(rows, epochs, networks, "bf16"), epochs * networks),
        (lambda: plain(rows, epochs), epochs),
        (lambda: loader(rows, epochs), epochs),
    ]
    times = [[_best(work, 1) / count for work, count in contenders] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def table(sizes: Sequence[Size], rounds: int) -> str:
    """Return the rates of the machine and the table of the module's text."""
    machine, measured = Machine.measure(), []
    for size in sizes:
        measured.append(measure(size, rounds))
        machine = machine.better(Machine.measure())
    lines = [
        f"{torch.get_num_threads()} threads: matrix products {machine.float32 / 1e9:.0f} GFLOP/s float32, "
        f"{machine.bf16 / 1e9:.0f} bf16; memory {machine.bandwidth / 1e9:.1f} GB/s",
        "Milliseconds per network and epoch; plain and loader also as multiples of the engine's time",
        "        size    limit   engine of limit     plain         loader       bf16 limit   engine of limit",
    ]
    for size, (ours, ours16, simple, collated) in zip(sizes, measured, strict=True):
        limit, limit16 = machine.limit(size, "float32"), machine.limit(size, "bf16")
        lines.append(
            f"{f'{size.clips}x{size.dim}':>12} {1e3 * limit:8.1f} {1e3 * ours:8.1f} {limit / ours:8.0%}"
            f"{1e3 * simple:10.1f} {simple / ours:4.1f}x {1e3 * collated:8.1f} {collated / ours:4.1f}x"
            f"{1e3 * limit16:15.1f} {1e3 * ours16:8.1f} {limit16 / ours16:8.0%}"
        )
    return "\n".join(lines)


def growth(rounds: int, dim: int = 64) -> str:
    """Return the time of an epoch of all networks against clips and seeds; the cost must grow linearly."""
    epochs = 3
    lines = [f"ms per epoch of all networks, {dim} dimensions (microseconds per clip and seed)"]
    lines.append("   clips" + "".join(f"{f'{n} seeds':>18}" for n in GROWTH_SEEDS))
    for clips in GROWTH_CLIPS:
        rows = Size(clips, dim).rows()
        times = [_best(lambda n=n, rows=rows: engine(rows, epochs, n), rounds) / epochs for n in GROWTH_SEEDS]
        cells = (
            f"{1e3 * t:9.0f} ({1e6 * t / clips / n:6.2f})" for t, n in zip(times, GROWTH_SEEDS, strict=True)
        )
        lines.append(f"{clips:8}" + "".join(cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench", description=__doc__.split("\n")[0])
    sizes = [Size(1800, 64), Size(141, 3840), Size(4000, 3840)]
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=sizes, metavar="CLIPSxDIM")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the best counts (default 5)")
    parser.add_argument("--growth", action="store_true", help="print time against clips and seeds instead")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: give a whole number of at least 1")
    print(growth(options.rounds) if options.growth else table(options.sizes, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
