"""Task archives: their names, and unpacking that trusts nothing in them.

An archive holds one task at one sample rate as `tasks/<task directory>/...`, in most of them below
`hear-<version>/`. Only plain files and folders of that one task come out.
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import TaskError

_NAME = re.compile(r"hear(?:2021|-[^-]+)-(?P<directory>.+)-(?P<rate>\d+)\.tar\.gz")
_LONGEST_READ = 1 << 24
"""No honest archive asks for so many bytes at once: sound is copied in pieces, headers are short."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may unpack to: number of files, bytes of one, bytes in all."""

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

    Returns how many files of the archive are not the task's and were left out. Raises TaskError when the
    archive is truncated or damaged, larger than `limits`, lacks the task, or holds anything but plain files
    and folders at relative paths (a link, a device, an absolute path, `..`), wherever in the archive that is.
    """
    limits = limits or Limits()
    files = size = others = 0
    try:
        for tar, member, path in _members(archive):
            inside = _below(path, directory)
            if member.isdir():
                continue
            if inside is None:
                others += 1
                continue
            files, size = files + 1, size + member.size
            _check_limits(archive, member, files, size, limits)
            tar.extract(member.replace(name=str(inside), deep=False), target, set_attrs=False, filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotADirectoryError) as error:
        raise TaskError(
            f"{archive} is truncated or damaged ({error}); delete it and fetch it again."
        ) from error
    if not files:
        raise TaskError(f"{archive} does not hold the task {directory}; choose the archive named after it.")
    return others


class _Gzip(gzip.GzipFile):
    """Refuses the huge reads that a false header would cause, for they would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return super().read(size)


def _members(archive: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, PurePosixPath]]:
    """Every member with its path, refused when it is no plain file or folder at a safe path."""
    with _Gzip(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
        while (member := tar.next()) is not None:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\\" in member.name:
                raise TaskError(f"{archive} is not safe: {member.name!r} points outside; do not use it.")
            if not member.isreg() and not member.isdir():
                raise TaskError(
                    f"{archive} is not safe: {member.name!r} is a link or a device; do not use it."
                )
            yield tar, member, path
            tar.members.clear()
        if content.read(_LONGEST_READ).strip(b"\0") or content.read(1):
            raise tarfile.ReadError("what follows its last file is no archive")


def _below(path: PurePosixPath, directory: str) -> PurePosixPath | None:
    """`path` relative to the task's directory, which lies at most two folders deep; None elsewhere."""
    if directory not in path.parts[:3]:
        return None
    below = path.parts[path.parts.index(directory) + 1 :]
    return PurePosixPath(*below) if below else None


def _check_limits(archive: Path, member: tarfile.TarInfo, files: int, size: int, limits: Limits) -> None:
    if member.size > limits.file_bytes:
        what = f"{member.name!r} has {member.size} bytes"
    elif size > limits.bytes:
        what = f"its files have more than {limits.bytes} bytes"
    elif files > limits.files:
        what = f"it has more than {limits.files} files"
    else:
        return
    raise TaskError(f"{archive} is larger than its task can be: {what}; do not use it.")
