"""Large files over HTTP, some at once: each goes on where it stopped and appears once its checksum fits."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from pooch.hashes import hash_matches

from tasks.errors import TaskError
from tasks.zenodo import RemoteArchive

BytesDone = Callable[[int], None]
"""Called with the number of bytes that came in, or negative where bytes are given up; from any thread."""

_CHUNK = 1 << 16
_CONNECTIONS = 3
_TIMEOUT = (10.0, 20.0)
"""Seconds to connect, and without a byte; Ctrl-C waits no longer than that."""
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt; one that came further than all before it starts the count anew."""
_PASSING = (408, 429, 500, 502, 503, 504)


@contextlib.contextmanager
def downloading(
    archives: Sequence[RemoteArchive], folder: Path, bytes_done: BytesDone
) -> Iterator[Iterator[tuple[RemoteArchive, Path]]]:
    """Download `archives` into `folder` a few at a time; yield each, once whole, with its path.

    What is there with the right checksum is not fetched again. On leaving the block, by an exception too, the
    downloads under way stop; their parts stay and the next call goes on from them. Iterating raises TaskError
    for the first file that the server refuses, that keeps breaking off, or whose checksum is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    executor = ThreadPoolExecutor(max_workers=_CONNECTIONS)
    try:
        futures = {executor.submit(_fetch, a, folder, bytes_done, stop): a for a in archives}
        yield ((futures[future], future.result()) for future in as_completed(futures))
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)


def part_path(folder: Path, archive: RemoteArchive) -> Path:
    """Where the bytes that have come so far lie; another version of the file has another part."""
    return folder / f".{archive.name}.{archive.checksum.removeprefix('md5:')[:8]}.part"


def bytes_present(folder: Path, archive: RemoteArchive) -> int:
    """How many bytes of `archive` are in `folder` already, as a whole file or as a part."""
    for path in (folder / archive.name, part_path(folder, archive)):
        if path.is_file():
            return min(path.stat().st_size, archive.size)
    return 0


def _fetch(archive: RemoteArchive, folder: Path, bytes_done: BytesDone, stop: threading.Event) -> Path:
    whole, part = folder / archive.name, part_path(folder, archive)
    try:
        if whole.exists() and hash_matches(whole, archive.checksum):
            return whole
        _Download(archive, part, bytes_done, stop).run()
        if not hash_matches(part, archive.checksum):
            part.unlink()
            raise TaskError(
                f"{archive.url} came with another checksum than its record promises ({archive.checksum}); "
                "run the same command again to download it anew; if it stays so, do not use it."
            )
        part.replace(whole)
    except requests.RequestException as error:
        raise TaskError(
            f"{archive.url} could not be downloaded ({_say(error)}); run the same command later: it goes on "
            "where it stopped."
        ) from error
    except OSError as error:
        raise TaskError(
            f"cannot write {whole} ({error.strerror or error}); make room, then run the same command again: "
            "it goes on where it stopped."
        ) from error
    return whole


@dataclass(frozen=True)
class _Download:
    """One file on its way into its part file."""

    archive: RemoteArchive
    part: Path
    bytes_done: BytesDone
    stop: threading.Event

    def run(self) -> None:
        """Return when the part has as many bytes as the record says; raises RequestException, TaskError."""
        failures, reached = 0, self._size()
        while self._size() != self.archive.size:
            try:
                self._append()
            except requests.RequestException as error:
                size = self._size()
                failures = 0 if size > reached else failures + 1
                reached = max(reached, size)
                if failures > len(_WAITS) or not _may_pass(error):
                    raise
                self._wait(error, _WAITS[max(failures - 1, 0)])

    def _size(self) -> int:
        size = self.part.stat().st_size if self.part.exists() else 0
        if size > self.archive.size:
            self._give_up()
            return 0
        return size

    def _append(self) -> None:
        """One request; raises RequestException when it ends before the last byte."""
        start = self._size()
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(self.archive.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if start and not _continues(response, start):
                self._give_up()
                if response.status_code != 200:
                    raise requests.ConnectionError("the server does not go on where the part ends")
            response.raise_for_status()
            self._write(response)
        if self._size() < self.archive.size:
            raise requests.ConnectionError("the connection ended before the last byte")

    def _write(self, response: requests.Response) -> None:
        """Write what comes as it comes: waiting for whole chunks would keep Ctrl-C waiting on a slow line."""
        with open(self.part, "ab") as out:
            while chunk := _read_some(response):
                if self.stop.is_set():
                    raise TaskError(f"the download of {self.archive.name} was stopped.")
                out.write(chunk)
                self.bytes_done(len(chunk))
                if out.tell() > self.archive.size:
                    raise TaskError(f"{self.archive.url} is larger than its record says; do not use it.")

    def _give_up(self) -> None:
        if self.part.exists():
            self.bytes_done(-min(self.part.stat().st_size, self.archive.size))
            self.part.unlink()

    def _wait(self, error: requests.RequestException, seconds: float) -> None:
        asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
        if self.stop.wait(min(float(asked), 60.0) if asked.isdecimal() else seconds):
            raise TaskError(f"the download of {self.archive.name} was stopped.") from error


def _continues(response: requests.Response, start: int) -> bool:
    """False where the part is of no use: the answer begins elsewhere, or the file has no byte `start`."""
    if response.ok:
        return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    return response.status_code != 416


def _read_some(response: requests.Response) -> bytes:
    """The next bytes, at least one unless the answer is at its end."""
    try:
        return response.raw.read1(_CHUNK, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError("the connection broke off") from error


def _may_pass(error: requests.RequestException) -> bool:
    return error.response is None or error.response.status_code in _PASSING


def _say(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    return "the connection keeps breaking off"
