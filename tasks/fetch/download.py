"""Large files over HTTP, some at once: each goes on where it stopped and appears once its checksum fits."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import requests

from tasks.errors import TaskError
from tasks.fetch.http import Answer, StoppedError, TooSlowError, asking
from tasks.fetch.zenodo import RemoteArchive
from tasks.names import printable

BytesDone = Callable[[int], None]
"""Called with the number of bytes that came in, or negative where bytes are given up; from any thread."""

_CONNECTIONS = 3
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt; one that came `_FARTHER` than all before it starts the count anew."""
_FARTHER = 1 << 16
_ATTEMPTS = 100
"""However far each one came."""
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
        if whole.exists() and f"md5:{_md5(whole, stop)}" == archive.checksum:
            return whole
        _Download(archive, part, bytes_done, stop).run()
        if f"md5:{_md5(part, stop)}" != archive.checksum:
            part.unlink()
            raise TaskError(
                f"{archive.url} came with another checksum than its record promises ({archive.checksum}); "
                "run the same command again to download it anew; if it stays so, do not use it."
            )
        part.replace(whole)
    except StoppedError as error:
        raise TaskError(f"the download of {archive.name} was stopped.") from error
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


def _md5(path: Path, stop: threading.Event) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            if stop.is_set():
                raise StoppedError
            found.update(piece)
    return found.hexdigest()


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
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._append()
                return
            except requests.RequestException as error:
                size = self._size()
                failures = 0 if size >= reached + _FARTHER else failures + 1
                reached = max(reached, size)
                if failures > len(_WAITS) or attempt == _ATTEMPTS or not _may_pass(error):
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
        if start == self.archive.size:
            return
        headers = {"Range": f"bytes={start}-"} if start else {}
        with asking(self.archive.url, headers=headers, stop=self.stop) as answer:
            if start and not _continues(answer, start):
                self._give_up()
                if answer.status != 200:
                    raise requests.ConnectionError("the server does not go on where the part ends")
            answer.response.raise_for_status()
            self._write(answer)
        if self._size() < self.archive.size:
            raise requests.ConnectionError("the connection ended before the last byte")

    def _write(self, answer: Answer) -> None:
        with open(self.part, "ab") as out:
            for piece in answer.pieces():
                out.write(piece)
                self.bytes_done(len(piece))
                if out.tell() > self.archive.size:
                    raise TaskError(f"{self.archive.url} is larger than its record says; do not use it.")

    def _give_up(self) -> None:
        if self.part.exists():
            self.bytes_done(-min(self.part.stat().st_size, self.archive.size))
            self.part.unlink()

    def _wait(self, error: requests.RequestException, seconds: float) -> None:
        asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
        if self.stop.wait(min(float(asked), 60.0) if asked.isdecimal() else seconds):
            raise StoppedError from error


def _continues(answer: Answer, start: int) -> bool:
    """False where the part is of no use: the answer begins elsewhere, or the file has no byte `start`."""
    if answer.status < 400:
        return answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    return answer.status != 416


def _may_pass(error: requests.RequestException) -> bool:
    return error.response is None or error.response.status_code in _PASSING


def _say(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"{error.response.status_code} {printable((error.response.reason or '')[:80])}"
    if isinstance(error, TooSlowError | requests.TooManyRedirects):
        return str(error)
    return "the connection keeps breaking off"
