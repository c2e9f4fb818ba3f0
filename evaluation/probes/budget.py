"""How good a representation is with few labels: nested, stratified parts of the training clips."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped


def budget_rows(
    multi_hot: Shaped[np.ndarray, "rows labels"], names: Sequence[str], percent: float
) -> Bool[np.ndarray, " rows"]:
    """Return which rows a budget of `percent` keeps.

    Of every class it keeps the same share, rounded, but at least one row, and of classes that share rows
    with others more than that; rows without any label count as a class. Within a class the rows come in the
    order of a hash of their `names`, which must differ, so that a smaller budget is part of a larger one and
    nothing else (row order, seed, other classes) matters.
    """
    hashes = [hashlib.sha256(name.encode()).digest() for name in names]
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=hashes.__getitem__)] = np.arange(len(names))
    kept = np.zeros(len(names), bool)
    classes = np.column_stack([multi_hot > 0, ~(multi_hot > 0).any(1)])
    for members in map(np.flatnonzero, classes.T):
        wanted = max(1, int(len(members) * percent / 100 + 0.5))
        kept[members[np.argsort(rank[members])][:wanted]] = True
    return kept
