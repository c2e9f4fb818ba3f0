"""Finding files in folders, telling whether one has changed, and putting a new one in place."""

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable

# What systems and programs put beside recordings, nobody's own; names that begin with a dot count too.
SYSTEM_NAMES = {"__macosx", "$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle"}
Signature = tuple[int, int, int, int]


def files_below(root: Path, suffixes: Collection[str]) -> list[Path]:
    """List a folder's files with one of these suffixes (in small letters), at any depth, in sorted order.

    Linked folders are followed, each once: a loop ends, and what lies in `root` anyway keeps its own path.
    Hidden files and those of the system (`._x.wav`, a trash, `__MACOSX`) are passed over. A link that leads
    nowhere is warned of.

    Raises:
        UserError: a folder that cannot be read.
    """
    files: list[Path] = []
    broken: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        links: list[Path] = []
        for top in sorted(waiting):
            for folder, inner, names in os.walk(top, onerror=_refuse_folder):
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in seen:
                    inner.clear()
                    continue
                seen.add((status.st_dev, status.st_ino))
                inner[:] = sorted(filter(_is_recording, inner))
                links += [Path(folder, name) for name in inner if os.path.islink(os.path.join(folder, name))]
                found = [Path(folder, name) for name in names if _is_recording(name)]
                found = [path for path in found if path.suffix.lower() in suffixes]
                files += [path for path in found if path.is_file()]
                broken += [path for path in found if path.is_symlink() and not path.exists()]
        waiting = links
    if broken:
        warnings.warn(
            f"{printable(min(broken))}: the link leads nowhere; {len(broken)} such are left out.",
            stacklevel=3,
        )
    return sorted(files)


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES


def _refuse_folder(error: OSError) -> None:
    raise UserError(
        f"{printable(error.filename)}: the folder cannot be read ({error.strerror}); make it readable or "
        "leave it out."
    )


def name_as_text(name: str | Path) -> str:
    r"""Return a file's name as text that any file can hold; bytes of it that are no UTF-8 become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def signature(path: Path) -> Signature:
    """Return what changes when a file is written to or replaced: size, times of change, place on its disk."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there at the end takes the place of `path`, and else nothing is left.

    A reader, or a crash, sees all of the new file or the old one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file such that a reader, or a crash, sees all of it or what was there before."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def set_aside(path: Path, why: str) -> None:
    """Rename a file that cannot be used to the first free name `<name>.damaged<n>`, and warn of it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    path.rename(aside)
    warnings.warn(f"{printable(path)}: {why}; it is kept as {aside.name}.", stacklevel=3)


def append_line(path: Path, text: str) -> None:
    """Append a line to a text file as a whole: after a failure, as of a full disk, nothing of it is left.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = size > 0 and file.read(1) != b"\n"
        content = b"\n" * torn + text.encode() + b"\n"
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
