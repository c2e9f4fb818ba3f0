"""A task's labels: their order, and the table that numbers them."""

import re
from collections.abc import Iterable
from pathlib import Path

from tasks.format.alike import spelling
from tasks.format.tables import read_rows

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of HEAR's vocabulary: numeric if all are numbers, else lexicographic.

    Labels that are equal as numbers (1, 01, 1.0) follow one another as texts.
    """
    labels = set(labels)
    if all(_NUMBER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    return tuple(sorted(labels))


def read_vocabulary(file: Path) -> tuple[list[str], list[str]]:
    """The labels of a labelvocabulary.csv by index, and what is wrong with them, a sentence each.

    Raises TaskError when it is no such file at all.
    """
    rows = read_rows(file, ("idx", "label"))
    faults = [
        f"line {row.line} has the idx {row['idx'][:40]!r}, which is no number 0, 1, 2, ...; correct it."
        for row in rows
        if not _INDEX.fullmatch(row["idx"])
    ]
    if faults:
        return [row["label"] for row in rows], faults[:1]
    if not rows or sorted(int(row["idx"]) for row in rows) != list(range(len(rows))):
        faults.append("idx must count 0, 1, 2, ... without a gap, a repeat or an empty file.")
    first: dict[str, tuple[int, str]] = {}
    for row in rows:
        line, other = first.setdefault(spelling(row["label"]), (row.line, row["label"]))
        if line != row.line:
            same = "the same label" if other == row["label"] else "labels of which only the encoding differs"
            faults.append(f"lines {line} and {row.line} have {same} ({row['label']!r}); keep one of them.")
    return [row["label"] for row in sorted(rows, key=lambda row: int(row["idx"]))], faults
