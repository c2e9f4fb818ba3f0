"""What a layout's lists say, before anything is known of the files: the same value from every layout."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hear_mwmae.errors import UserError
from hear_mwmae.files import SYSTEM_NAMES
from hear_mwmae.names import printable

TRAINING, VALIDATION, TEST = PARTS = ("train", "valid", "test")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip that a list names."""

    id: str
    path: Path | None
    """Where it ought to be; None if a look through the folders did not find it."""
    labels: tuple[str, ...]
    part: str
    """One of `PARTS`, or a fold."""
    file: Path
    """The list that names the clip, or the clip itself where folders are the list."""
    line: int = 0
    """In the list; 0 where it has no lines."""

    @property
    def where(self) -> str:
        """The place to correct, as the beginning of a sentence."""
        return printable(self.file) + (f": line {self.line}" if self.line else "")


@dataclass(frozen=True)
class Classes:
    """The classes of a data set in their order, from a list that has them all."""

    names: tuple[str, ...]
    positions: dict[str, int]
    """Of every name, and of other names that lists have for the classes."""
    file: Path | None = None
    """None where the layout itself says what the classes are."""


@dataclass(frozen=True)
class Listing:
    """What the lists of a data set name."""

    name: str
    entries: tuple[Entry, ...]
    multilabel: bool = False
    classes: Classes | None = None
    """None where the labels of the entries are all there is."""
    folds: tuple[str, ...] = ()
    """In their order; empty where the data set is divided into `PARTS`."""
    next_validates: bool = False
    """Whether the fold after the tested one is for validation, as in HEAR; else there is no validation."""
    absent: tuple[str, ...] = ()
    """Ids of what the data set should have beyond the entries."""


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort labels or folds: by number if all are numbers, else by letter; none twice."""
    labels = set(labels)
    if all(_NUMBER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    return tuple(sorted(labels))


def own_classes(names: Sequence[str]) -> Classes:
    """Return the classes of a layout that says itself what they are; none may be there twice."""
    return Classes(tuple(names), {name: i for i, name in enumerate(names)})


def relative_name(text: str, where: str) -> str:
    """Return a file's path as a list writes it, without "./" and "//".

    Raises:
        UserError: an absolute path, one with "..", or none.
    """
    name = PurePosixPath(text)
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise UserError(
            f"{where} names the file {printable(text)!r}, which is no path below the folder of sound; "
            "write it as seen from there."
        )
    return name.as_posix()


def names_below(folder: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the paths below a folder, with forward slashes, of the files with one of these suffixes.

    Nothing is asked of the files themselves, and no path objects are made: 50,000 files took 0.17 s where
    `hear_mwmae.files.files_below` took 1.5 s. Linked folders are followed, each once; hidden files and those
    of the system are passed over.

    Raises:
        UserError: a folder that is not there or cannot be read.
    """
    root = os.fspath(folder)
    seen: set[tuple[int, int]] = set()
    for here, inner, names in os.walk(root, onerror=_refuse_folder, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not is_hidden(name))
        below = os.path.relpath(here, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        for name in names:
            if os.path.splitext(name)[1].lower() in suffixes and not is_hidden(name):
                yield prefix + name


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden or the system's."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def sound_folder(candidates: Sequence[Path], names: Iterable[str]) -> Path:
    """Return the folder with the most of these files; of equal ones the first."""
    if len(candidates) == 1:
        return candidates[0]
    counts = dict.fromkeys(candidates, 0)
    for name in names:
        for folder in candidates:
            counts[folder] += os.path.exists(os.path.join(folder, name))
    return max(candidates, key=lambda folder: counts[folder])


def _refuse_folder(error: OSError) -> None:
    raise UserError(
        f"{printable(error.filename)}: the folder cannot be read ({error.strerror}); correct the path or "
        "make it readable."
    )
