"""How fast this machine trains classifiers, against plain training loops and against its own limits.

    python -m benchmarks.probes                        # one table; each line is printed when it is there
    python -m benchmarks.probes --sizes 5000x768       # clips x dimensions, any number of them
    python -m benchmarks.probes --bf16                 # with columns for products of 16 bits
    python -m benchmarks.probes --growth               # time against clips and seeds

One network is the paper's: a hidden layer of 1024, batches of 1024. The columns are milliseconds per network
and epoch of training steps (no validation), each the best of several rounds in which all take turns, since
other work on the machine can only slow them down:

    engine   `evaluation.probes.train`, twice as many networks as there are cores
    plain    a loop over batches of a tensor in memory, torch's layers and Adam, one network at a time
    loader   as hear-eval-kit trains: a DataLoader that collates single rows, one network at a time
    limit    the roofline, from rates measured here and now: the time of the matrix products at the rate of a
             square product, plus the time to move what must be moved at the memory's speed. That is Adam's
             seven passes over its state (read and write weight and both moments, read the gradient) in
             every step, and over the hidden activations one forward pass (read, write) and one backward
             pass (read gradient and activation, write). The three follow one another, so their times add.

In the columns marked bf16, which --bf16 adds, the hidden layer's products take operands of 16 bits,
on both sides of the comparison; where the processor emulates them that takes many times as long. Over 100 %
of the limit is possible: caches are faster than the memory.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from evaluation.cli.command import run_command
from evaluation.probes.config import ProbeConfig
from evaluation.probes.processor import bf16_sentence
from evaluation.probes.train import Fit, Rows, train_stack

Precision = Literal["float32", "bf16"]
Times = dict[str, float]
"""Seconds per network and epoch: of the engine under the names of its precisions, "plain" and "loader"."""

LABELS = 10
GROWTH_CLIPS = (500, 1000, 2000, 4000, 8000)
GROWTH_SEEDS = (2, 4, 8, 16)
CONFIG = ProbeConfig()
PRODUCT_SIZE, MOVED_NUMBERS = 1024, 1 << 26
LONGEST_SECONDS = 5.0
"""A rate is measured for so long at most, and once at least."""

EXAMINED_ROWS = 2
"""Rows of the parts that a fit is validated and tested on: next to nothing, training is timed."""


MOST_NUMBERS = 1 << 29
"""Embeddings of 2 GB; the contenders hold them several times."""


@dataclass(frozen=True)
class Size:
    """A task's training rows and the embeddings' dimensions."""

    clips: int
    dim: int

    @staticmethod
    def parse(text: str) -> "Size":
        """Read "1800x64"; argparse turns the ValueError into its own sentence."""
        clips, dim = map(int, text.split("x"))
        if clips < EXAMINED_ROWS or dim < 1 or clips * dim > MOST_NUMBERS:
            raise ValueError(text)
        return Size(clips, dim)

    def __str__(self) -> str:
        return f"{self.clips}x{self.dim}"

    def rows(self) -> Rows:
        """Return random embeddings and classes."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.clips, self.dim, generator=generator)
        return Rows(x, torch.randint(0, LABELS, (self.clips,), generator=generator))


@dataclass(frozen=True)
class Machine:
    """What the machine reaches at best: operations per second in matrix products, bytes per second.

    `bf16` is 0 where it was not measured.
    """

    float32: float
    bf16: float
    bandwidth: float

    @staticmethod
    def measure(precisions: Sequence[Precision]) -> "Machine":
        """Time square products of these precisions and a pass over an array that no cache holds."""
        n, rates = PRODUCT_SIZE, {"float32": 0.0, "bf16": 0.0}
        for name in precisions:
            dtype = torch.bfloat16 if name == "bf16" else torch.float32
            a, out = torch.ones(n, n, dtype=dtype), torch.empty(n, n, dtype=dtype)
            rates[name] = 2 * n**3 / _best(lambda a=a, out=out: torch.mm(a, a, out=out), 20)
        array = torch.zeros(MOVED_NUMBERS)
        return Machine(**rates, bandwidth=2 * array.nbytes / _best(lambda: array.add_(1.0), 5))

    def better(self, other: "Machine") -> "Machine":
        """Return the better of two measurements, rate by rate: what disturbs only slows down."""
        return Machine(
            max(self.float32, other.float32), max(self.bf16, other.bf16), max(self.bandwidth, other.bandwidth)
        )

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
    """Return the shortest of several times in seconds; of work that takes long, of fewer."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < LONGEST_SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def engine(rows: Rows, epochs: int, networks: int, precision: Precision = "float32") -> list[np.ndarray]:
    """Train networks with this project's engine; the only validation follows the last epoch."""
    changes = {"max_epochs": epochs, "check_val_every_n_epoch": epochs, "matmul_precision": precision}
    part = Rows(rows.x[:EXAMINED_ROWS], rows.target[:EXAMINED_ROWS])
    fits = [Fit(replace(CONFIG, **changes), seed) for seed in range(networks)]
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


def measure(size: Size, rounds: int, precisions: Sequence[Precision], advance: Callable[[], object]) -> Times:
    """Return the seconds per network and epoch of the contenders; `advance` is told of each that has run."""
    rows, networks = size.rows(), 2 * torch.get_num_threads()
    epochs = max(2, min(30, int(6e7 / (size.clips * size.dim))))
    contenders: dict[str, tuple[Callable[[], object], int]] = {
        **{
            name: (lambda name=name: engine(rows, epochs, networks, name), epochs * networks)
            for name in precisions
        },
        "plain": (lambda: plain(rows, epochs), epochs),
        "loader": (lambda: loader(rows, epochs), epochs),
    }
    times = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, (work, count) in contenders.items():
            times[name] = min(times[name], _best(work, 1) / count)
            advance()
    return times


def table(sizes: Sequence[Size], rounds: int, precisions: Sequence[Precision]) -> Iterator[str]:
    """Measure, and return the rates of the machine and the table of the module's text line by line."""
    machine, both = Machine.measure(precisions), "bf16" in precisions
    coarse = f", {machine.bf16 / 1e9:.0f} bf16" if both else ""
    yield (
        f"{torch.get_num_threads()} threads: matrix products {machine.float32 / 1e9:.0f} GFLOP/s "
        f"float32{coarse}; memory {machine.bandwidth / 1e9:.1f} GB/s"
    )
    yield "Milliseconds per network and epoch; plain and loader also as multiples of the engine's time"
    yield (
        "        size    limit   engine of limit     plain         loader"
        + "       bf16 limit   engine of limit" * both
    )
    for size in sizes:
        runs = rounds * (len(precisions) + 2)
        with tqdm(total=runs, desc=str(size), unit="run", leave=False, disable=None) as bar:
            times = measure(size, rounds, precisions, bar.update)
        machine = machine.better(Machine.measure(precisions))
        ours, simple, collated = (times[name] for name in ("float32", "plain", "loader"))
        limit = machine.limit(size, "float32")
        line = (
            f"{size!s:>12} {1e3 * limit:8.1f} {1e3 * ours:8.1f} {limit / ours:8.0%}"
            f"{1e3 * simple:10.1f} {simple / ours:4.1f}x {1e3 * collated:8.1f} {collated / ours:4.1f}x"
        )
        if both:
            limit = machine.limit(size, "bf16")
            line += f"{1e3 * limit:15.1f} {1e3 * times['bf16']:8.1f} {limit / times['bf16']:8.0%}"
        yield line


def growth(rounds: int, dim: int = 64) -> Iterator[str]:
    """Return the time of an epoch of all networks against clips and seeds; the cost must grow linearly."""
    epochs = 3
    yield f"ms per epoch of all networks, {dim} dimensions (microseconds per clip and seed)"
    yield "   clips" + "".join(f"{f'{n} seeds':>18}" for n in GROWTH_SEEDS)
    for clips in GROWTH_CLIPS:
        rows, cells = Size(clips, dim).rows(), ""
        for n in GROWTH_SEEDS:
            taken = _best(lambda n=n, rows=rows: engine(rows, epochs, n), rounds) / epochs
            cells += f"{1e3 * taken:9.0f} ({1e6 * taken / clips / n:6.2f})"
        yield f"{clips:8}{cells}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probes", description=__doc__.split("\n")[0])
    sizes = [Size(1800, 64), Size(141, 3840), Size(4000, 3840)]
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=sizes, metavar="CLIPSxDIM")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the best counts (default 5)")
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="measure products of 16 bits, too; emulated, they take many times as long",
    )
    parser.add_argument("--growth", action="store_true", help="print time against clips and seeds instead")

    def work() -> int:
        options = parser.parse_args(arguments)
        if options.rounds < 1:
            parser.error("--rounds: give a whole number of at least 1")
        if options.bf16:
            print(f"{bf16_sentence()}.", file=sys.stderr)
        precisions: list[Precision] = ["float32", "bf16"] if options.bf16 else ["float32"]
        lines = growth(options.rounds) if options.growth else table(options.sizes, options.rounds, precisions)
        for line in lines:
            print(line, flush=True)
        return 0

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
