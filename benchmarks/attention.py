"""What multi-window attention costs beside plain attention: `python -m benchmarks.attention`.

The bare attention core, from query, key and value to the mixed values, without projections. "plain" is the
framework's own `jax.nn.dot_product_attention`; on NVIDIA GPUs in bfloat16 also its fused cuDNN kernel, and
the ratios are then to that. All rows take turns, and the shortest time of each counts.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array
from tqdm import tqdm

from hear_mwmae.config import paper_windows
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.windows import multi_window_attention, reference_attention
from hear_mwmae.pretrain.needed import run_pretrain_command
from hear_mwmae.pretrain.settings import PRECISIONS

PROGRAM = "python -m benchmarks.attention"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one table; return the exit status."""
    return run_pretrain_command(lambda: _run(_parser().parse_args(arguments)), "stopped.")


def _run(options: argparse.Namespace) -> int:
    if min(options.tokens, options.head_dim, options.batch, options.repeats) < 1:
        raise UserError("--tokens, --head-dim, --batch and --repeats must be at least 1.")
    windows = paper_windows(options.tokens)
    functions = contestants(windows, options.head_dim, options.precision)
    shape = (options.batch, options.tokens, len(windows), options.head_dim)
    inputs = [
        jax.random.normal(key, shape, options.precision) for key in jax.random.split(jax.random.key(0), 4)
    ]
    device = jax.devices()[0]
    print(f"{device.device_kind} ({device.platform}), {options.precision}, batch {options.batch}")
    print(f"{options.tokens} tokens, {len(windows)} heads of {options.head_dim}, windows {windows}")
    forward = shortest_times({name: jax.jit(f) for name, f in functions.items()}, inputs[:3], options.repeats)
    both = shortest_times({name: jax.jit(_with_gradients(f)) for name, f in functions.items()},
                          inputs, options.repeats)  # fmt: skip
    base = "plain, cuDNN" if "plain, cuDNN" in functions else "plain"
    print(f"{'':28}{'forward':>18}{'forward + backward':>24}")
    for name in functions:
        row = f"{name:28}"
        for times, width in ((forward, 9), (both, 15)):
            row += f"{1000 * times[name]:{width}.2f} ms{times[name] / times[base]:5.2f}x"
        print(row)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    accelerated = jax.default_backend() != "cpu"
    batch = 256 if accelerated else 32
    parser.add_argument("--tokens", type=int, default=250, metavar="N", help="patches (default 250)")
    parser.add_argument("--head-dim", type=int, default=48, metavar="N", help="size of a head (default 48)")
    parser.add_argument("--batch", type=int, default=batch, metavar="N", help=f"(default here {batch})")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0 if accelerated else 1])
    parser.add_argument("--repeats", type=int, default=20, metavar="N", help="(default 20)")
    return parser


def contestants(windows: Sequence[int], head_dim: int, precision: str) -> dict[str, Callable[..., Array]]:
    """Functions of query, key and value [batch, tokens, heads, head_dim] by what they are."""
    tables = {
        str(head): jnp.linspace(-1.0, 1.0, 2 * window - 1) for head, window in enumerate(windows) if window
    }
    windowed = partial(multi_window_attention, windows=windows)
    functions = {
        "plain": jax.nn.dot_product_attention,
        "multi-window": windowed,
        "multi-window, biases": partial(windowed, bias_tables=tables),
        "global with a block mask": partial(reference_attention, windows=windows),
    }
    # The fused kernel takes 16-bit inputs only.
    if jax.default_backend() == "gpu" and precision == "bfloat16":
        fused = partial(jax.nn.dot_product_attention, implementation="cudnn")
        functions = {"plain, cuDNN": fused} | functions
        functions["multi-window, cuDNN globals"] = partial(windowed, bias_tables=tables, kernel="cudnn")
    return functions


def _with_gradients(function: Callable[..., Array]) -> Callable[..., object]:
    """Make a function of query, key, value and an output gradient that gives the output and all gradients."""

    def run(query: Array, key: Array, value: Array, gradient: Array) -> object:
        mixed, back = jax.vjp(function, query, key, value)
        return mixed, back(gradient)

    return run


def shortest_times(
    functions: Mapping[str, Callable[..., object]], inputs: Sequence[Array], repeats: int
) -> dict[str, float]:
    """Shortest time in s of each function; they take turns, so that a busy moment hits all alike."""
    shortest = dict.fromkeys(functions, math.inf)
    for repeat in tqdm(range(repeats + 1), desc="measuring", unit="turn", leave=False, disable=None):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*inputs))
            if repeat:  # The first round compiles.
                shortest[name] = min(shortest[name], time.perf_counter() - start)
    return shortest


if __name__ == "__main__":
    sys.exit(main())
