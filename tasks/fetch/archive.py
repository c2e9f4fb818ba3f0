"""Task archives: their names, and unpacking that trusts nothing in them.

An archive holds one task at one sample rate as `tasks/<task directory>/...`, in most of them below
`hear-<version>/`. Only plain files and folders of that one task come out.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from tasks.errors import TaskError
from tasks.fetch.tar import Member, read_members
from tasks.names import printable

_NAME = re.compile(r"hear(?:2021|-[^-]+)-(?P<directory>\w.*)-(?P<rate>\d{1,6})\.tar\.gz")
_DEEPEST, _LONGEST_NAME, _LONGEST_PATH = 32, 255, 1024
"""Folders within each other, bytes of one name, bytes of a path; a clip has 3 folders and some 60 bytes."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may hold, with what is left out: files and folders, bytes of one file, bytes in all."""

    files: int = 1_000_000
    file_bytes: int = 1 << 30
    bytes: int = 1 << 38


def by_task(names: Iterable[str]) -> dict[str, str]:
    """Task directory's name -> its archive among the file `names`, the one of the highest sample rate.

    Names are those of the public record (`hear2021-<task>-48000.tar.gz`) or of HEAR's own preprocessing
    (`hear-<version>-<task>-<rate>.tar.gz`); other files are passed over.
    """
    found: dict[str, tuple[int, str]] = {}
    for name in sorted(names):
        if match := _NAME.fullmatch(name):
            rate, directory = int(match["rate"]), match["directory"]
            found[directory] = max(found.get(directory, (0, name)), (rate, name))
    return {directory: name for directory, (_, name) in found.items()}


def unpack_task(archive: Path, directory: str, target: Path, limits: Limits | None = None) -> int:
    """Unpack what `archive` (.tar.gz) holds below `<directory>/` into the folder `target`.

    Returns how many files of the archive are not the task's and were left out.

    Raises:
        TaskError: an archive that cannot be read, is truncated or damaged, larger than `limits`, lacks the
            task, holds a file twice, or anything but plain files and folders at short relative paths (a link,
            a device, an absolute path, `..`, a name that is no text), wherever in the archive that is.
        OSError: the disk refuses.
    """
    limits = limits or Limits()
    files = size = others = inside = 0
    try:
        for member in read_members(archive):
            path = _safe_path(archive, member)
            files, size = files + 1, size + member.size
            _check_limits(archive, member, files, size, limits)
            below = _below(path, directory)
            if member.kind == "folder":
                continue
            if below is None:
                others += 1
                continue
            inside += 1
            _write(member, target / below)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TaskError(
            f"{archive} is truncated or damaged ({error}); delete it and fetch it again."
        ) from error
    except (FileNotFoundError, PermissionError) as error:
        if error.filename != str(archive):
            raise
        raise TaskError(f"{archive} cannot be read ({error.strerror}).") from error
    if not inside:
        raise TaskError(f"{archive} does not hold the task {directory}; choose the archive named after it.")
    return others


def _safe_path(archive: Path, member: Member) -> PurePosixPath:
    """The member's path, refused when it is no plain file or folder at a safe path."""
    path, shown = PurePosixPath(member.name), f"'{printable(member.name[:100])}'"
    drive = any(PureWindowsPath(name).drive for name in path.parts)
    if path.is_absolute() or drive or ".." in path.parts or "\\" in member.name:
        raise TaskError(f"{archive} is not safe: {shown} points outside; do not use it.")
    if printable(member.name) != member.name:
        raise TaskError(f"{archive} is not safe: the name {shown} is not plain text; do not use it.")
    names = [name.encode() for name in path.parts]
    if (
        len(names) > _DEEPEST
        or sum(len(name) + 1 for name in names) > _LONGEST_PATH
        or any(len(name) > _LONGEST_NAME for name in names)
    ):
        raise TaskError(
            f"{archive} is not safe: {shown} is more than {_DEEPEST} folders deep, or longer than "
            f"{_LONGEST_NAME} bytes in a name or {_LONGEST_PATH} in all; do not use it."
        )
    if member.kind == "other":
        raise TaskError(f"{archive} is not safe: {shown} is no plain file or folder; do not use it.")
    return path


def _write(member: Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as out:
            for piece in member.pieces:
                out.write(piece)
    except (FileExistsError, NotADirectoryError) as error:
        raise tarfile.ReadError(f"'{member.name}' is there twice, or as a file and a folder") from error


def _below(path: PurePosixPath, directory: str) -> PurePosixPath | None:
    """`path` relative to the task's directory, which lies at most two folders deep; None elsewhere."""
    if directory not in path.parts[:3]:
        return None
    below = path.parts[path.parts.index(directory) + 1 :]
    return PurePosixPath(*below) if below else None


def _check_limits(archive: Path, member: Member, files: int, size: int, limits: Limits) -> None:
    if member.size > limits.file_bytes:
        what = f"'{member.name}' has {member.size} bytes"
    elif size > limits.bytes:
        what = f"its files have more than {limits.bytes} bytes"
    elif files > limits.files:
        what = f"it has more than {limits.files} files"
    else:
        return
    raise TaskError(f"{archive} is larger than its task can be: {what}; do not use it.")
