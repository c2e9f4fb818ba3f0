"""HEAR's rules for new folds and subsampling: the benchmark's published archives fix every number here."""

import hashlib
import random
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tasks.errors import TaskError

_RETRIES = 1000


def shuffled(keys: Collection[str], seed: str) -> list[str]:
    """The distinct `keys`, sorted, then shuffled by Python's generator seeded with the text `seed`."""
    order = sorted(set(keys))
    random.Random(seed).shuffle(order)
    return order


def new_folds(
    labels: Mapping[str, Collection[str]], nfolds: int = 5, *, every_label: bool = True
) -> dict[str, tuple[str, ...]]:
    """Divide keys (file stems) into `nfolds` parts, each of which has every label if `every_label`.

    Parameters: `labels` maps every key to its labels. Returns fold name ("fold00", ...) -> keys.
    The seed text is "split_k_folds", and where a fold lacks a label "split_k_folds_retry_0", 1, ... in
    turn. Raises TaskError when no attempt gives every fold every label.
    """
    seeds = ["split_k_folds", *(f"split_k_folds_retry_{i}" for i in range(_RETRIES))]
    for seed in seeds:
        parts = np.array_split(np.array(shuffled(labels, seed), dtype=object), nfolds)
        if not every_label or lacking(parts, labels) is None:
            return {fold_name(i): tuple(part) for i, part in enumerate(parts)}
    raise TaskError(
        f"no division into {nfolds} folds gives each of them the label {lacking(parts, labels)!r}; "
        "add clips of that label or leave it out."
    )


def permuted(count: int, seed: str) -> list[int]:
    """The numbers 0 .. count - 1 in HEAR's order for the text `seed`, from its SHA-1 modulo 2^32 - 1."""
    number = int(hashlib.sha1(seed.encode()).hexdigest(), 16) % (2**32 - 1)
    return np.random.RandomState(number).permutation(count).tolist()


def subsampled(stems: Collection[str], split: str, count: int) -> list[str]:
    """`count` of the file `stems` of a split, as HEAR draws them to keep a split below its time limit."""
    ordered = sorted(stems)
    return [ordered[i] for i in permuted(len(ordered), f"SubsampleSplit({split})")[:count]]


def lacking(parts: Sequence[Collection[str]], labels: Mapping[str, Collection[str]]) -> str | None:
    """The first label that some part (a collection of keys) does not have; None when all have all."""
    every = {label for key in labels for label in labels[key]}
    for part in parts:
        missing = every.difference(*(labels[key] for key in part))
        if missing:
            return min(missing)
    return None


def fold_name(index: int) -> str:
    """HEAR's name of fold number `index`: "fold00", "fold01", ..."""
    return f"fold{index:02d}"
