"""The public record of the benchmark's prepared archives: what there is, how large, with which checksum.

Source: the record "2021.3" of concept DOI 10.5281/zenodo.5885750, which adds vocal_imitation and the
corrected TFDS data sets; archives are named `hear2021-<task directory>-48000.tar.gz`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tasks.errors import TaskError
from tasks.fetch.http import TooSlowError, asking
from tasks.json_files import parse_json
from tasks.names import printable

RECORD = "6332517"
SERVER = "https://zenodo.org"

_PLAIN_NAME = re.compile(r"\w[\w.+-]{,199}")
_CHECKSUM = re.compile(r"(?:md5:)?([0-9a-f]{32})")
_LARGEST = 1 << 44
"""Bytes of one file; the whole record has 1e11."""
_MOST_BYTES = 4 << 20
"""Of the record's description, which has 3e4."""
_SECONDS = 60.0
"""For the whole description."""


@dataclass(frozen=True)
class RemoteArchive:
    """One file of a record: `size` in bytes, `checksum` as "md5:<hex>"."""

    name: str
    url: str
    size: int
    checksum: str


def read_record(record: str = RECORD, server: str = SERVER) -> dict[str, RemoteArchive]:
    """Ask `<server>/api/records/<record>` for the record's files; return them by name.

    The files themselves are at `<server>/records/<record>/files/<name>`, on Zenodo and on a mirror of it.
    Names that are no plain file names, and empty files, are passed over.

    Raises:
        TaskError: the server cannot be reached, has no such record, answers in another form, with more than
            4 MiB or for longer than a minute.
    """
    server = server.rstrip("/")
    where = printable(f"{server}/api/records/{record}")
    if not server.startswith(("https://", "http://")):
        raise TaskError(f"{printable(server)} is no address of a server (https://...); check --mirror.")
    try:
        content = _read(f"{server}/api/records/{record}", where)
    except requests.RequestException as error:
        raise TaskError(
            f"{where} cannot be reached ({_reason(error)}); check the network, or use archives that "
            "are on disk with --archives."
        ) from error
    try:
        answer = parse_json(content, "the answer")
    except TaskError as error:
        why = str(error).partition(";")[0]
        raise TaskError(
            f"{where} does not answer as a Zenodo record does ({why}); check --mirror."
        ) from error
    files = answer.get("files") if isinstance(answer, dict) else None
    if not files:
        message = answer.get("message") if isinstance(answer, dict) else None
        why = printable(message[:200]) if isinstance(message, str) else "no reason given"
        raise TaskError(f"{where} lists no files ({why}); check --record.")
    try:
        return _archives(files, f"{server}/records/{record}/files")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TaskError(
            f"{where} describes its files in an unknown form ({error}); check --mirror."
        ) from error


def _read(url: str, where: str) -> bytes:
    content = bytearray()
    with asking(url) as answer:
        for piece in answer.pieces(seconds=_SECONDS):
            content += piece
            if len(content) > _MOST_BYTES:
                raise TaskError(
                    f"{where} answers with more than {_MOST_BYTES} bytes, as no record does; check --mirror."
                )
    return bytes(content)


def _archives(files: list[Mapping[str, Any]], base: str) -> dict[str, RemoteArchive]:
    """Both forms of Zenodo's description: `key`, `size`, "md5:..." and `filename`, `filesize`, "..."."""
    if not isinstance(files, list):
        raise TypeError("the files are no list")
    found: dict[str, RemoteArchive] = {}
    for file in files:
        name = file["key"] if "key" in file else file["filename"]
        size = file["size"] if "size" in file else file["filesize"]
        checksum = _CHECKSUM.fullmatch(file["checksum"])
        if type(size) is not int or not 0 <= size <= _LARGEST:
            raise ValueError(f"the size of {printable(str(name)[:200])} is {printable(str(size)[:40])}")
        if checksum is None:
            raise ValueError(f"the checksum of {printable(str(name)[:200])} is no MD5")
        if not size or not _PLAIN_NAME.fullmatch(name):
            continue
        if name in found:
            raise ValueError(f"{name} is there twice")
        found[name] = RemoteArchive(name, f"{base}/{name}", size, f"md5:{checksum[1]}")
    return found


def _reason(error: requests.RequestException) -> str:
    """The innermost cause, which is what a person understands: "Connection refused"."""
    if isinstance(error, TooSlowError | requests.TooManyRedirects):
        return str(error)
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return getattr(cause, "strerror", None) or printable(str(cause)[:120]) or type(cause).__name__
