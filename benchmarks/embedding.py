"""How much of the bare encoder's speed arrives at the user: `python -m benchmarks.embedding`.

The encoder takes 2 s per chunk, and its rate counts 2 s of sound for every chunk. A 10 s clip has 1001 frames
and fills six chunks, hence the end-to-end rate is given both per chunk and per second of sound.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hear_mwmae import processor
from hear_mwmae.command import run_command
from hear_mwmae.config import NAMED_MODELS
from hear_mwmae.embedding import CPU_BATCH, PRECISIONS, EmbeddingModel, get_scene_embeddings
from hear_mwmae.errors import UserError
from hear_mwmae.frontend import HOP_MS
from hear_mwmae.loading import load_model
from hear_mwmae.weights import Weights, write_model_file

CLIP_SECONDS = 10
# VmHWM and not getrusage: the latter counts the parent's memory from before the exec.
LOAD = """
import sys, time
from pathlib import Path
start = time.perf_counter()
import torch
from hear_mwmae import load_model

def report():
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(seconds, int(status["VmHWM"].split()[0]) / 1024)

model = load_model(sys.argv[1])
report()
model.scene_embeddings([torch.zeros(160000)])
report()
"""


def shortest_times(works: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest time in s of each work; they take turns, so that a busy moment hits all alike."""
    shortest = [math.inf] * len(works)
    for _ in range(repeats):
        for index, work in enumerate(works):
            start = time.perf_counter()
            work()
            shortest[index] = min(shortest[index], time.perf_counter() - start)
    return shortest


@torch.no_grad()
def rates(model: EmbeddingModel, *, clips: int, repeats: int) -> tuple[float, float, float]:
    """Times real time: bare encoder, end to end per chunk, end to end per second of sound."""
    frames, bands = model.config.input_size
    chunk_seconds = frames * HOP_MS / 1000
    batch = torch.randn(CPU_BATCH, frames, bands)
    audio = torch.rand(clips, CLIP_SECONDS * model.sample_rate) * 2 - 1
    chunks = -(-model.column_count(audio.shape[1]) // model.config.grid[0])
    bare, elapsed = shortest_times(
        [lambda: model.encoder(batch), lambda: get_scene_embeddings(audio, model)], repeats
    )
    return (
        CPU_BATCH * chunk_seconds / bare,
        clips * chunks * chunk_seconds / elapsed,
        clips * CLIP_SECONDS / elapsed,
    )


def load_cost(model: EmbeddingModel) -> list[tuple[float, float]]:
    """Seconds and peak resident MiB of a fresh process (Linux): model ready, first 10 s clip embedded."""
    tensors = {f"encoder.{name}": tensor for name, tensor in model.encoder.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model_file(path, Weights(model.config, tensors))
        command = [sys.executable, "-c", LOAD, str(path)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(float(seconds), float(mib)) for seconds, mib in map(str.split, lines)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one table; return the exit status."""
    return run_command(lambda: _run(_parser().parse_args(arguments)), "stopped.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--model", choices=NAMED_MODELS, default="mw_mae_b")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=3, help="10 s clips per call")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, metavar="NAME",
        help=f"of {', '.join(PRECISIONS)}; default: all but what this processor only emulates",
    )  # fmt: skip
    return parser


def _run(options: argparse.Namespace) -> int:
    if min(options.threads, options.clips, options.repeats) < 1:
        raise UserError("--threads, --clips and --repeats must be at least 1.")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    precisions = options.precision or list(PRECISIONS)
    if not options.precision and processor.multiplies_bf16() is False:
        precisions.remove("bf16")
        print(f"{processor.describe_bf16()} It is left out; --precision bf16 measures it.", file=sys.stderr)
    print(f"{options.model}, {options.threads} threads; rates in times real time")
    print(f"{'':10}{'bare encoder':>14}{'end to end, per chunk':>24}{'share':>8}{'per second of sound':>22}")
    for precision in precisions:
        print(f"measuring {precision} ...", file=sys.stderr, flush=True)
        model = load_model(model=options.model, precision=precision)
        bare, chunks, sound = rates(model, clips=options.clips, repeats=options.repeats)
        print(f"{precision:10}{bare:14.2f}{chunks:24.2f}{chunks / bare:8.0%}{sound:22.2f}", flush=True)
    if not Path("/proc/self/status").exists():
        return 0
    print("measuring a fresh process ...", file=sys.stderr, flush=True)
    costs = load_cost(load_model(model=options.model))
    for when, (seconds, mib) in zip(("ready", "first clip"), costs, strict=True):
        print(f"{when} after {seconds:.2f} s, {mib:.0f} MiB resident at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
