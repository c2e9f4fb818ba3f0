"""AudioSet (Gemmeke et al. 2017): lists of segments, a list of classes, clips named by their YouTube id."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hear_mwmae.audio import AUDIO_SUFFIXES
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.class_list import read_class_list
from hear_mwmae.supervised.data.layouts.listing import TEST, TRAINING, Entry, Listing, names_below
from hear_mwmae.supervised.data.layouts.text import read_rows

BALANCED, UNBALANCED, EVALUATION = (
    "balanced_train_segments.csv",
    "unbalanced_train_segments.csv",
    "eval_segments.csv",
)
CLASS_LIST = "class_labels_indices.csv"
SUBSETS = ("20k", "2m")
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_STEM = re.compile(r"([A-Za-z0-9_-]{11})(?:_([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:_[0-9]{1,9}(?:\.[0-9]{1,9})?)?)?")


def recognises(path: Path) -> bool:
    """Tell whether one of the lists of segments is there."""
    return any((path / name).is_file() for name in (BALANCED, UNBALANCED, EVALUATION))


def read(directory: Path, sound: Path | None, subset: str) -> Listing:
    """Read the lists of segments; a clip's id is its YouTube id. There is no validation set.

    Args:
        subset: "20k" for the balanced list, "2m" for both; empty for "20k" if the balanced list is there.

    Raises:
        UserError: a list that is not there, a row that is not as in AudioSet, two files of one clip.
    """
    subset = subset or ("20k" if (directory / BALANCED).is_file() else "2m")
    training = (BALANCED, UNBALANCED) if subset == "2m" else (BALANCED,)
    lists = [(directory / name, TRAINING) for name in training] + [(directory / EVALUATION, TEST)]
    rows = [(*row, part, file) for file, part in lists for row in _segments(file)]
    folder = sound or directory
    found = _find(folder, {id_: start for _, id_, start, _, _, _ in rows})
    entries = (
        Entry(id_, folder / found[id_] if id_ in found else None, labels, part, file, line)
        for line, id_, _, labels, part, file in rows
    )
    classes = directory / CLASS_LIST
    return Listing(
        name=f"audioset_{subset}",
        entries=tuple(entries),
        multilabel=True,
        classes=read_class_list(classes) if classes.is_file() else None,
    )


def clip_of(stem: str) -> tuple[str, float | None] | None:
    """Return the YouTube id and the start that a file is named by; None for any other name.

    Names are `ID`, `ID_START`, `ID_START_END`, each also with a "Y" before it. None can be read in two ways:
    behind an id come "_" and a digit, and at the place of that digit "Y" and an id have "_" or the end.
    """
    match = _STEM.fullmatch(stem) or (_STEM.fullmatch(stem, 1) if stem.startswith("Y") else None)
    return (match[1], float(match[2]) if match[2] else None) if match else None


def _segments(file: Path) -> Iterator[tuple[int, str, float, tuple[str, ...]]]:
    """Yield line, id, start in seconds and labels of every row."""
    name = printable(file)
    for line, fields in read_rows(file):
        where = f"{name}: line {line}"
        if len(fields) != 4:
            raise UserError(
                f"{where} has {len(fields)} fields where AudioSet's lists have four: "
                'YTID, start, end, "label,label"; correct it.'
            )
        if not _ID.fullmatch(fields[0]):
            raise UserError(
                f"{where}: {printable(fields[0])!r} is no YouTube id of 11 characters; correct it."
            )
        try:
            start = float(fields[1])
        except ValueError:
            start = math.nan
        labels = tuple(label for text in fields[3].split(",") if (label := text.strip()))
        if not 0 <= start < math.inf or not labels:
            problem = "no label" if labels == () else f"the start {printable(fields[1])!r}, which is no time"
            raise UserError(f"{where} has {problem}; correct it.")
        yield line, fields[0], start, labels


def _find(folder: Path, starts: Mapping[str, float]) -> dict[str, str]:
    """Return the file of every id that has one; a file that is named by another start is another clip."""
    found: dict[str, str] = {}
    for path in names_below(folder, AUDIO_SUFFIXES):
        clip = clip_of(path.rsplit("/", 1)[-1].rsplit(".", 1)[0])
        if clip is None or clip[0] not in starts or not _agree(clip[1], starts[clip[0]]):
            continue
        if found.setdefault(clip[0], path) != path:
            raise UserError(
                f"{printable(folder)} has two files of the clip {clip[0]}, {printable(found[clip[0]])} and "
                f"{printable(path)}; keep one of them."
            )
    return found


def _agree(named: float | None, start: float) -> bool:
    """Tell whether a start in seconds or milliseconds, perhaps rounded, is that of the list."""
    return named is None or abs(named - start) < 1 or abs(named / 1000 - start) < 1
