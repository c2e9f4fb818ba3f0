"""Is bfloat16 worth it here? A processor without units for it emulates its products, many times slower."""

import functools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

MEASURED_SIZE = 256
"""Rows and columns of the square product that is timed: milliseconds, and far more than what a call costs."""

TURNS = 5


@functools.cache
def bf16_time() -> float:
    """Return how long a product of bfloat16 takes on one core, in units of a float32 one; measured once."""
    return on_one_core(_measured_products)


def on_one_core(work: Callable[[], Result]) -> Result:
    """Do work as a classifier on a CPU does it, without waiting for other cores."""
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as alone:
            return alone.submit(work).result()
    finally:
        torch.set_num_threads(cores)


def _measured_products() -> float:
    """Time both in turns and take the best of each: what else there is to do only slows them down."""
    shortest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(TURNS):
        for dtype in shortest:
            a = torch.ones(MEASURED_SIZE, MEASURED_SIZE, dtype=dtype)
            start = time.perf_counter()
            torch.mm(a, a)
            shortest[dtype] = min(shortest[dtype], time.perf_counter() - start)
    return shortest[torch.bfloat16] / shortest[torch.float32]


def is_bf16_slower() -> bool:
    """Whether bf16 costs time instead of saving it."""
    return bf16_time() > 1


def bf16_sentence() -> str:
    """Say what was measured, and what follows."""
    if is_bf16_slower():
        return (
            f"bf16 is slower than float32 on this processor, which has no units for it: a product takes "
            f"{bf16_time():.2g} times as long"
        )
    return f"bf16 is faster than float32 on this processor: a product takes {bf16_time():.0%} of the time"


def bf16_advice(precisions: Iterable[object], device: torch.device) -> list[str]:
    """Return the line of a plan that asks for these precisions; none without bf16, or beside a GPU."""
    if device.type != "cpu" or "bf16" not in list(precisions):
        return []
    return [f"  {'warning: ' * is_bf16_slower()}{bf16_sentence()}"]
