"""The members of a .tar.gz one after the other, in little memory whatever its headers say.

`tarfile` believes them: sparse maps without end, headers that it reads whole and follows by recursion,
negative sizes that lead it back to where it was.
"""

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512
_PIECE = 1 << 16
_LONGEST_HEADER = 1 << 14
"""Bytes of a header that extends the next one; a path of 4096 characters has room in it."""
_MOST_HEADERS = 8
"""Such headers before one member; two are usual."""
_LONGEST_END = 1 << 24
"""Zeros after the last member; GNU tar writes 10 KiB."""
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


@dataclass(frozen=True)
class Member:
    """One member: `kind` is "file", "folder", or "other" for a link, a device and all else.

    Bytes of the name that are no UTF-8 are lone surrogates in it. `pieces` reads a file's content, at most
    `size` bytes, and is of use until the next member is asked for.
    """

    name: str
    kind: str
    size: int
    pieces: Iterator[bytes]


def read_members(archive: Path) -> Iterator[Member]:
    """Yield every member, and read to the end of the file, so that its checksum is compared.

    Raises:
        tarfile.TarError: no archive, one that is damaged, sparse, or has headers as no program writes them.
        gzip.BadGzipFile, zlib.error, EOFError: compressed data that are damaged or end early.
    """
    with gzip.open(archive) as content:
        headers = 0
        extended: dict[str, str] = {}
        while block := content.read(_BLOCK):
            if not block.strip(b"\0"):
                _check_end(content)
                return
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if header.type in (*_LONG_NAMES, *_PAX, tarfile.XGLTYPE):
                headers += 1
                if headers > _MOST_HEADERS:
                    raise tarfile.ReadError(f"more than {_MOST_HEADERS} headers for one file")
                extended |= _extension(header, _read_header(content, header.size))
                continue
            member = _member(content, header, extended)
            yield member
            for _ in member.pieces:
                pass
            content.read(-member.size % _BLOCK)
            headers, extended = 0, {}
        if extended:
            raise tarfile.ReadError("it ends where a file should begin")


def _member(content: gzip.GzipFile, header: tarfile.TarInfo, extended: dict[str, str]) -> Member:
    size = int(extended.get("size", header.size))
    if not 0 <= size < 1 << 63:
        raise tarfile.ReadError(f"a file of {size} bytes")
    if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended):
        raise tarfile.ReadError("a file with holes (sparse), which is not read")
    name = extended.get("path", header.name)
    if header.type == tarfile.DIRTYPE:
        return Member(name, "folder", 0, iter(()))
    if header.type not in _PLAIN:
        return Member(name, "other", 0, iter(()))
    return Member(name, "file", size, _pieces(content, size))


def _pieces(content: gzip.GzipFile, size: int) -> Iterator[bytes]:
    while size:
        piece = content.read(min(size, _PIECE))
        if not piece:
            raise tarfile.ReadError("it ends within a file")
        size -= len(piece)
        yield piece


def _read_header(content: gzip.GzipFile, size: int) -> bytes:
    if not 0 <= size <= _LONGEST_HEADER:
        raise tarfile.ReadError(f"a header of {size} bytes")
    found = content.read(size + -size % _BLOCK)
    if len(found) < size:
        raise tarfile.ReadError("it ends within a header")
    return found[:size]


def _extension(header: tarfile.TarInfo, content: bytes) -> dict[str, str]:
    """What an extension says of the next member: "path", "size", and what shows that it is sparse."""
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return {}
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    said = {k: v for k, v in _records(content) if k in ("path", "size") or k.startswith("GNU.sparse")}
    if header.type == tarfile.XGLTYPE and said:
        raise tarfile.ReadError(f"a header that gives all files one {next(iter(said))}")
    if len(said.get("size", "")) > 19 or not said.get("size", "0").isdecimal():
        raise tarfile.ReadError("a size that is no number")
    return said


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """The records "<length> <key>=<value>\\n" of a pax header."""
    while content.strip(b"\0"):
        digits = content.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 6 else 0
        record, content = content[:length], content[length:]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n"):
            raise tarfile.ReadError("a header in an unknown form")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")


def _check_end(content: gzip.GzipFile) -> None:
    seen = 0
    while piece := content.read(_PIECE):
        seen += len(piece)
        if piece.strip(b"\0") or seen > _LONGEST_END:
            raise tarfile.ReadError("what follows its last file is no archive")
