"""HEAR's rules for new folds and subsampling, whose numbers its published archives fix; folds of groups."""

import hashlib
import random
from collections import Counter, defaultdict
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


def grouped_folds(
    labels: Mapping[str, Collection[str]], groups: Mapping[str, str], nfolds: int
) -> dict[str, tuple[str, ...]]:
    """Divide keys into `nfolds` parts that keep groups whole and have about as many keys of every label.

    Parameters: `labels` maps every key to its labels and `groups` to its group. Returns fold name -> keys.
    Nothing is drawn: labels follow one another by how few groups have them, a label's groups by how many of
    its keys they have; each goes where the label has the fewest keys so far, and then where the fewest
    keys are. Raises TaskError for labels that fewer groups have than there are folds.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in sorted(labels):
        members[groups[key]].append(key)
    held = {g: Counter(label for key in keys for label in labels[key]) for g, keys in members.items()}
    having: dict[str, list[str]] = defaultdict(list)
    for group in sorted(held):
        for label in held[group]:
            having[label].append(group)
    _check_groups(having, nfolds)
    counts: list[Counter[str]] = [Counter() for _ in range(nfolds)]
    parts: list[list[str]] = [[] for _ in range(nfolds)]
    placed: set[str] = set()
    for label in sorted(having, key=lambda name: (len(having[name]), name)):
        waiting = [g for g in having[label] if g not in placed]
        for group in sorted(waiting, key=lambda g: -held[g][label]):
            fold = min(range(nfolds), key=lambda i: (counts[i][label], len(parts[i])))
            counts[fold] += held[group]
            parts[fold] += members[group]
            placed.add(group)
    return {fold_name(i): tuple(sorted(part)) for i, part in enumerate(parts)}


def _check_groups(having: Mapping[str, Collection[str]], nfolds: int) -> None:
    few = [f"{label!r} ({len(having[label])})" for label in sorted(having) if len(having[label]) < nfolds]
    if few:
        raise TaskError(
            f"fewer groups than {nfolds} folds have {', '.join(few)}; leave these labels out, add groups, or "
            "make fewer folds."
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
