"""What was read and whether it is still the same: files hashed at one time and used at another."""

import ast
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FileState = tuple[int, ...]
"""Device, inode, size (bytes), times of the last change of content and of anything (ns)."""


@dataclass(frozen=True)
class FileMark:
    """The SHA-256 of a file, or of what a source means, and the state in which it had that content."""

    state: FileState
    digest: bytes
    source: bool = False


def file_state(path: Path) -> FileState | None:
    """Return the state of a file, which every change of it changes; None when it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def mark_file(path: Path, *, source: bool = False) -> FileMark:
    """Hash a file, of a Python source what it means; OSError when it cannot be read."""
    with open(path, "rb") as file:
        state = file_state(path) or ()
        if source:
            return FileMark(state, hashlib.sha256(_meaning_of_source(file.read())).digest(), source=True)
        return FileMark(state, hashlib.file_digest(file, "sha256").digest())


def _meaning_of_source(source: bytes) -> bytes:
    """Return a Python source without comments, docstrings and formatting; as it is where it is none."""
    try:
        return _dumped_tree(ast.parse(source)).encode(errors="surrogatepass")
    except (SyntaxError, ValueError, RecursionError):
        return source


def _dumped_tree(node: Any) -> str:
    """Return a syntax tree as text that is the same in all versions of Python: what is empty is left out."""
    if isinstance(node, list):
        return f"[{','.join(_dumped_tree(one) for one in node if not _is_source_text(one))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    inner = ",".join(f"{name}={_dumped_tree(value)}" for name, value in fields)
    return f"{type(node).__name__}({inner})"


def _is_source_text(node: Any) -> bool:
    """Whether a statement is a docstring, or another value that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def changed_file(marks: Mapping[Path, FileMark]) -> Path | None:
    """Return the first file whose content is another than when it was marked, or that is gone."""
    for path, mark in marks.items():
        if file_state(path) == mark.state:
            continue
        try:
            if mark_file(path, source=mark.source).digest != mark.digest:
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
