"""The public record of the benchmark's prepared archives: what there is, how large, with which checksum.

Source: the record "2021.3" of concept DOI 10.5281/zenodo.5885750, which adds vocal_imitation and the
corrected TFDS data sets; archives are named `hear2021-<task directory>-48000.tar.gz`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pooch
import requests
from pooch.downloaders import ZenodoRepository

from tasks.errors import TaskError

RECORD = "6332517"
SERVER = "https://zenodo.org"

_PLAIN_NAME = re.compile(r"[\w][\w.+-]*")
_TIMEOUT = 30.0
"""Seconds without an answer."""


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
    Raises TaskError when the server cannot be reached, has no such record, or answers in another form.
    """
    server = server.rstrip("/")
    repository = ZenodoRepository(f"10.5281/zenodo.{record}", f"{server}/{record}", timeout=_TIMEOUT)
    repository.base_api_url = f"{server}/api/records"
    where = f"{server}/api/records/{record}"
    try:
        answer = repository.api_response
    except ValueError as error:
        raise TaskError(f"{where} does not answer as a Zenodo record does; check --mirror.") from error
    except requests.RequestException as error:
        raise TaskError(
            f"{where} cannot be reached ({_reason(error)}); check the network, or use archives that "
            "are on disk with --archives."
        ) from error
    if not isinstance(answer, Mapping) or not answer.get("files"):
        message = answer.get("message") if isinstance(answer, Mapping) else None
        raise TaskError(f"{where} lists no files ({message or 'no reason given'}); check --record.")
    try:
        return _archives(repository, f"{server}/records/{record}/files")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TaskError(f"{where} describes its files in an unknown form; check --mirror.") from error


def _archives(repository: ZenodoRepository, base: str) -> dict[str, RemoteArchive]:
    registry = pooch.create(path="", base_url="", registry=None)
    repository.populate_registry(registry)
    sizes = {f.get("key", f.get("filename")): f.get("size", f.get("filesize")) for f in _files(repository)}
    return {
        name: RemoteArchive(name, f"{base}/{name}", int(sizes[name]), checksum)
        for name, checksum in registry.registry.items()
        if _PLAIN_NAME.fullmatch(name)
    }


def _files(repository: ZenodoRepository) -> list[Mapping]:
    return repository.api_response["files"]


def _reason(error: requests.RequestException) -> str:
    """The innermost cause, which is what a person understands: "Connection refused"."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return getattr(cause, "strerror", None) or type(cause).__name__
