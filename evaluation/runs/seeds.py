"""Seeds as `--seeds` takes them: how many, or which ones."""

import re
from collections.abc import Sequence

from evaluation.errors import EvaluationError

MOST_SEEDS = 10_000
LARGEST_SEED = 2**31 - 1


def seeds_of(text: str) -> tuple[int, ...]:
    """Read `--seeds`: a number of seeds from 0 on, or, with a comma or a hyphen, which ones.

    Raises EvaluationError for what is neither, for too many seeds and too large ones.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(re.fullmatch(r"[0-9]{1,10}(-[0-9]{1,10})?", part) for part in parts):
        raise EvaluationError(
            f"--seeds {text}: give how many (10 are the seeds 0 to 9), or which: 0-9, 3,5,42, or 42, for one"
        )
    if text.strip() == parts[0] and "-" not in text:
        parts = [f"0-{int(text) - 1}"] if int(text) else []
    seeds: set[int] = set()
    for first, _, last in (part.partition("-") for part in parts):
        start, stop = int(first), int(last or first)
        if stop < start:
            raise EvaluationError(f"--seeds {text}: {start}-{stop} runs backwards")
        if stop > LARGEST_SEED:
            raise EvaluationError(f"--seeds {text}: seeds go up to {LARGEST_SEED}")
        if len(seeds) + stop - start >= MOST_SEEDS:
            raise EvaluationError(f"--seeds {text}: at most {MOST_SEEDS} seeds can be asked for")
        seeds.update(range(start, stop + 1))
    if not seeds:
        raise EvaluationError(f"--seeds {text}: at least one seed is needed")
    return tuple(sorted(seeds))


def seeds_text(seeds: Sequence[int]) -> str:
    """Return seeds as `--seeds` takes them: "0-9", "3,5,42", "42,"."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    text = ",".join(f"{a}-{b}" if b > a else str(a) for a, b in runs)
    return text if len(seeds) > 1 else f"{text},"
