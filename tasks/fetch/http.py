"""What a server answers, within bounds: nothing that it does makes a command wait or remember for ever.

A thread of its own reads each answer, for a server can keep `requests` waiting without end although each of
its waits has a limit: by one byte of a header every ten seconds, by redirects, by trailers that never end.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3

_CONNECT = 10.0
"""Seconds to connect."""
_SILENCE = 20.0
"""Seconds without a byte."""
_SILENT = "nothing came for {:.0f} s"
_ANSWER = 60.0
"""Seconds until the answer proper begins, redirects included."""
_WINDOW, _SLOWEST = 60.0, 1000
"""Over so many seconds so many bytes a second must come."""
_REDIRECTS = 5
_PIECE = 1 << 16
_LOOK = 0.1
"""Seconds between two looks at whether to stop."""


class TooSlowError(requests.Timeout):
    """A server that takes longer than is waited for; the text says what was waited for."""


class StoppedError(Exception):
    """Whoever asked wants the answer no longer."""


@dataclass(frozen=True)
class Answer:
    """The beginning of an answer; `pieces` reads what follows."""

    status: int
    reason: str
    headers: Mapping[str, str]
    response: requests.Response
    _reader: "_Reader"

    def pieces(self, *, seconds: float = float("inf")) -> Iterator[bytes]:
        """Yield the body as it comes, as it was sent (not decompressed), in pieces of at most 64 KiB.

        Raises:
            TooSlowError: 20 s without a byte, less than 1000 bytes a second over a minute, or not at its end
                after `seconds`.
            StoppedError: `stop` was set.
            requests.RequestException: the connection broke off.
        """
        begun = since = time.monotonic()
        came = 0
        while piece := self._reader.take(_SILENCE, _SILENT.format(_SILENCE)):
            yield piece
            came += len(piece)
            now = time.monotonic()
            if now - begun > seconds:
                raise TooSlowError(f"it had not ended after {seconds:.0f} s")
            if now - since > _WINDOW:
                if came < _SLOWEST * _WINDOW:
                    raise TooSlowError(f"less than {_SLOWEST} bytes a second came over {_WINDOW:.0f} s")
                since, came = now, 0


@contextlib.contextmanager
def asking(
    url: str, *, headers: Mapping[str, str] | None = None, stop: threading.Event | None = None
) -> Iterator[Answer]:
    """Ask for `url` with GET; the answer, whatever its status, may be read until the block ends.

    Raises:
        TooSlowError: no answer within a minute.
        StoppedError: `stop` was set.
        requests.RequestException: no connection, or more than five redirects.
    """
    reader = _Reader(url, {"Accept-Encoding": "identity", **(headers or {})}, stop or threading.Event())
    reader.start()
    try:
        response = reader.take(_ANSWER, f"no answer within {_ANSWER:.0f} s")
        yield Answer(response.status_code, response.reason or "", response.headers, response, reader)
    finally:
        reader.left.set()


class _Reader(threading.Thread):
    """Reads one answer; a daemon, so that a server cannot keep the process from ending."""

    def __init__(self, url: str, headers: Mapping[str, str], stop: threading.Event):
        super().__init__(daemon=True)
        self.url = url
        self.headers = headers
        self.stop = stop
        self.left = threading.Event()
        self.items: queue.Queue[Any] = queue.Queue(maxsize=4)

    def take(self, seconds: float, what: str) -> Any:
        """The next item; raises what the thread met, TooSlowError(what), StoppedError."""
        until = time.monotonic() + seconds
        while not self.stop.is_set():
            with contextlib.suppress(queue.Empty):
                item = self.items.get(timeout=_LOOK)
                if isinstance(item, BaseException):
                    raise item
                return item
            if time.monotonic() > until:
                raise TooSlowError(what)
        raise StoppedError

    def run(self) -> None:
        """Put the response, then pieces, an empty one last; or what went wrong."""
        try:
            with _follow(self.url, self.headers) as response:
                self._put(response)
                piece = b"more"
                while piece and not self.left.is_set():
                    piece = response.raw.read1(_PIECE, decode_content=False)
                    self._put(piece)
        except requests.ConnectTimeout:
            self._put(TooSlowError(f"no connection within {_CONNECT:.0f} s"))
        except (requests.Timeout, urllib3.exceptions.ReadTimeoutError):
            self._put(TooSlowError(_SILENT.format(_SILENCE)))
        except urllib3.exceptions.HTTPError as error:
            broken = requests.ConnectionError("the connection broke off")
            broken.__cause__ = error
            self._put(broken)
        except BaseException as error:
            self._put(error)

    def _put(self, item: Any) -> None:
        while not self.left.is_set():
            with contextlib.suppress(queue.Full):
                self.items.put(item, timeout=_LOOK)
                return


class _Session(requests.Session):
    """Leaves redirects alone: following them, `requests` would read their bodies whole."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _follow(url: str, headers: Mapping[str, str]) -> requests.Response:
    with _Session() as session:
        for _ in range(_REDIRECTS + 1):
            response = session.get(url, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE))
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["location"])
    raise requests.TooManyRedirects(f"it redirects more than {_REDIRECTS} times")
