"""What was read and whether it is still the same: files hashed at one time and used at another."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FileState = tuple[int, ...]
"""Device, inode, size (bytes), times of the last change of content and of anything (ns)."""


@dataclass(frozen=True)
class FileMark:
    """The SHA-256 of a file and the state in which it had that content."""

    state: FileState
    digest: bytes


def file_state(path: Path) -> FileState | None:
    """Return the state of a file, which every change of it changes; None when it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def mark_file(path: Path) -> FileMark:
    """Hash a file; OSError when it cannot be read."""
    with open(path, "rb") as file:
        state = file_state(path) or ()
        return FileMark(state, hashlib.file_digest(file, "sha256").digest())


def changed_file(marks: Mapping[Path, FileMark]) -> Path | None:
    """Return the first file whose content is another than when it was marked, or that is gone."""
    for path, mark in marks.items():
        if file_state(path) == mark.state:
            continue
        try:
            if mark_file(path).digest != mark.digest:
                return path
        except OSError:
            return path
    return None


def touched_file(states: Mapping[Path, FileState | None]) -> Path | None:
    """Return the first file that is not in this state any more."""
    return next((path for path, state in states.items() if file_state(path) != state), None)


def differing_file(before: Mapping[Path, FileMark], now: Mapping[Path, FileMark]) -> Path | None:
    """Return the first file that has another digest in `now`, or is in only one of both."""
    for path in (*before, *now):
        one, two = before.get(path), now.get(path)
        if one is None or two is None or one.digest != two.digest:
            return path
    return None


def files_below(path: Path) -> list[Path]:
    """Return a file itself, or all files in a folder, in one order; [] when there is nothing."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def states_of(paths: Iterable[Path]) -> dict[Path, FileState | None]:
    """Return the state of each file."""
    return {path: file_state(path) for path in paths}
