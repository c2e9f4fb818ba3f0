"""Files that appear whole or not at all, and files of one JSON text per line that only grow."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write UTF-8 text or bytes under a temporary name in the same folder and rename it to `path`."""
    with atomically(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder; what was written there is `path` afterwards.

    Returns when it is on the disk. After an error `path` is what it was, and nothing else is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Lines:
    r"""A file of lines: those that are ended, without their ends, and what stands after the last of them.

    `numbers` are the lines' places in the file, from 1. `plain` says that the file is just those lines, each
    ended by one "\n", and then `torn`. It is not when an editor or a copy has changed line ends or encoding,
    a power failure has left zeros, or a full disk a line within another.
    """

    whole: Sequence[bytes]
    numbers: Sequence[int]
    torn: bytes
    plain: bool


def read_lines(path: Path, start: bytes) -> Lines:
    """Read a file of lines in UTF-8 or UTF-16, whatever ends them; empty lines and zeros are passed over.

    A file that is not there has none. `start` is how every line begins and what is nowhere within one: where
    it stands in a line, what is before it was torn, which is dropped, or has lost its end.
    """
    content = path.read_bytes() if path.exists() else b""
    *ended, last = _LINE_END.split(_utf8(content).replace(b"\0", b""))
    found = [(number, piece) for number, line in enumerate(ended, 1) for piece in _pieces(line, start)]
    *lost_end, torn = _pieces(last, start) or [b""]
    found += [(len(ended) + 1, piece) for piece in lost_end]
    whole = [line for _, line in found]
    plain = content == b"".join(line + b"\n" for line in whole) + torn
    return Lines(whole, [number for number, _ in found], torn, plain)


def _pieces(line: bytes, start: bytes) -> list[bytes]:
    """Return the lines that one line holds: itself, or those that it was joined from but the torn ones."""
    starts = [match.start() for match in re.finditer(re.escape(start), line)]
    if not starts:
        return [line] if line.strip() else []
    pieces = [line[a:b] for a, b in itertools.pairwise([*starts, len(line)])]
    return [piece for piece in pieces[:-1] if piece.rstrip().endswith(b"}")] + pieces[-1:]


def _utf8(content: bytes) -> bytes:
    for encoding, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        if content.startswith(mark):
            return content[2:].decode(encoding, errors="replace").encode(errors="replace")
    return content.removeprefix(_BOM)


def ends_whole(path: Path) -> bool:
    """Whether the next line can be appended: the file is empty, not there, or its last line is ended."""
    if not path.exists() or not path.stat().st_size:
        return True
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def append(path: Path, text: str) -> None:
    """Append and return when it is on the disk; after an error nothing of it is in the file.

    A line that was torn when a process died is ended first.
    """
    text = text if ends_whole(path) else "\n" + text
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            rest = text.encode()
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), end)
            raise


def set_aside(path: Path) -> Path:
    """Copy a file to `<name>.damaged-<n>`, with the first n that is free, and return that name."""
    numbers = range(1, 10**6)
    free = next(aside for n in numbers if not (aside := path.with_name(f"{path.name}.damaged-{n}")).exists())
    write_atomically(free, path.read_bytes())
    return free


def cache_directory() -> Path:
    """Return where embeddings, resampled clips and sample tasks are kept between runs.

    `$HEAR_MWMAE_CACHE` if set, else the user's cache folder of the operating system.
    """
    if chosen := os.environ.get("HEAR_MWMAE_CACHE"):
        return Path(chosen).expanduser()
    return user_cache_path("hear-mwmae", appauthor=False)
