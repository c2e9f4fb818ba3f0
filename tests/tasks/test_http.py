"""Servers that never end, drip, lie or lead in circles: one sentence, in bounded time and memory."""

import contextlib
import gzip
import itertools
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tasks import TaskError
from tasks.fetch import download, http, zenodo
from tasks.fetch.download import downloading
from tasks.fetch.zenodo import RECORD, RemoteArchive, read_record

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"[" * (1 << 26), 1)
MIB = b"[" * (1 << 20)


@contextlib.contextmanager
def serving(answer: Callable[[int], Iterator[bytes]]) -> Iterator[str]:
    """Send every client what `answer(number of the request)` yields until it goes away; yield the address."""
    server = socket.create_server(("127.0.0.1", 0))
    numbers = itertools.count()
    ended = threading.Event()

    def serve(client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            for part in answer(number):
                if ended.is_set():
                    return
                client.sendall(part)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=serve, args=(client, next(numbers)), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for module, name, value in [
        (http, "_ANSWER", 1.0),
        (http, "_SILENCE", 1.0),
        (http, "_WINDOW", 1.0),
        (zenodo, "_SECONDS", 1.0),
        (download, "_WAITS", (0.01, 0.01)),
    ]:
        monkeypatch.setattr(module, name, value)


def drip(*parts: bytes) -> Iterator[bytes]:
    """The bytes one by one, 50 ms apart; the last part again and again."""
    *first, last = parts
    for byte in itertools.chain(b"".join(first), itertools.cycle(last)):
        time.sleep(0.05)
        yield bytes([byte])


def forever(first: bytes, then: bytes) -> Iterator[bytes]:
    yield first
    yield from itertools.repeat(then)


def redirect(number: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: /%d\r\nContent-Length: 999999999\r\n\r\n" % number + body


ANSWERS = {
    "JSON without end": (lambda _: forever(OK + b"\r\n", MIB), "answers with more than 4194304 bytes"),
    "chunks without end": (
        lambda _: forever(CHUNKED, b"100000\r\n" + MIB + b"\r\n"),
        "answers with more than 4194304 bytes",
    ),
    "a length that is a lie": (
        lambda _: forever(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", MIB),
        "answers with more than 4194304 bytes",
    ),
    "a bomb": (
        lambda _: iter([OK + b"Content-Encoding: gzip\r\n\r\n", BOMB]),
        "does not answer as a Zenodo record",
    ),
    "a body drop by drop": (lambda _: drip(OK + b"\r\n", b" "), "(had not ended after 1 s|no answer)"),
    "headers drop by drop": (lambda _: drip(OK, b"a: b\r\n"), "(no answer within|nothing came for) 1 s"),
    "headers without end": (lambda _: forever(OK, b"a: b\r\n" * 1000), "cannot be reached"),
    "a header without end": (lambda _: forever(OK + b"a: ", MIB), "cannot be reached"),
    "patience, for ever": (
        lambda _: forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "(no answer within|nothing came for) 1 s",
    ),
    "trailers without end": (
        lambda _: forever(CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n"),
        "nothing came for 1 s",
    ),
    "nothing": (
        lambda _: (time.sleep(0.1) or b"" for _ in itertools.count()),
        "(no answer within|nothing came for) 1 s",
    ),
    "circles": (lambda n: iter([redirect(n)]), "redirects more than 5 times"),
    "redirects with bodies": (lambda n: forever(redirect(n), MIB), "redirects more than 5 times"),
    "a redirect to a file": (
        lambda _: iter([b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"]),
        "cannot be reached",
    ),
    "a length that is never reached": (
        lambda _: iter([OK + b"Content-Length: 99\r\n\r\n{}"]),
        "cannot be reached",
    ),
    "no HTTP": (lambda _: forever(b"", MIB), "cannot be reached"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_record_of_a_hostile_server_is_one_sentence(kind):
    answer, why = ANSWERS[kind]
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with serving(answer) as url, pytest.raises(TaskError, match=rf"^{url}/api[^\n]*{why}[^\n]*--"):
            read_record(server=url)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < 20


def described(**changes: object) -> dict:
    return {"key": "a.tar.gz", "size": 3, "checksum": "md5:" + "0" * 32, **changes}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[" * 100_000, "nested more than"),
        ('{"files": [' + "9" * 5000 + "]}", "integer beyond 64 bits"),
        ('{"files": [{"key": "a", "size": NaN}]}', "no finite number"),
        ('{"files": [], "files": [1]}', "twice"),
        ("[]", "lists no files"),
        ("{}", "lists no files"),
        ('{"files": [], "message": "a\\u001b[2Jb"}', r"no files \(a\\x1b\[2Jb\)"),
        (json.dumps({"message": "x" * 10**6}), r"lists no files \(x{200}\)"),
        ('{"files": {"a": 1}}', "unknown form"),
        ('{"files": [7]}', "unknown form"),
        *(
            (json.dumps({"files": [described(**changes)]}), "unknown form")
            for changes in [
                {"checksum": None},
                {"checksum": ""},
                {"checksum": "md5:"},
                {"checksum": "sha256:" + "0" * 64},
                {"checksum": {}},
                {"size": -1},
                {"size": 3.5},
                {"size": True},
                {"size": "3"},
                {"size": 1 << 60},
                {"key": 7},
                {"key": None},
            ]
        ),
        (json.dumps({"files": [described(), described()]}), "a.tar.gz is there twice"),
    ],
)
def test_a_record_in_another_shape_is_one_sentence(content, why):
    with (
        serving(lambda _: iter([OK + b"\r\n", content.encode()])) as url,
        pytest.raises(TaskError, match=rf"^{url}/api[^\n]*{why}[^\n]*--"),
    ):
        read_record(server=url)


def test_both_forms_of_a_record_are_read_through_redirects():
    old = {"filename": "b.tar.gz", "filesize": 4, "checksum": "1" * 32}
    files = [described(), old, described(key="empty", size=0), described(key="../up")]
    body = json.dumps({"files": files}).encode()

    def answer(number: int) -> Iterator[bytes]:
        return iter([redirect(number)] if number < 5 else [OK + b"\r\n", body])

    with serving(answer) as url:
        base = f"{url}/records/{RECORD}/files"
        assert read_record(server=url) == {
            "a.tar.gz": RemoteArchive("a.tar.gz", f"{base}/a.tar.gz", 3, "md5:" + "0" * 32),
            "b.tar.gz": RemoteArchive("b.tar.gz", f"{base}/b.tar.gz", 4, "md5:" + "1" * 32),
        }


@pytest.mark.parametrize("server", ["ftp://example.org", "example.org", "/data", "file:///data", ""])
def test_what_is_no_address_is_named(server):
    with pytest.raises(TaskError, match=r"is no address of a server.*--mirror"):
        read_record(server=server)


DOWNLOADS = {
    "drop by drop": (
        lambda _: drip(OK + b"Content-Length: 999\r\n\r\n", b"x"),
        "(less than 1000 bytes|no answer)",
    ),
    "a byte at a time": (
        lambda n: iter(
            [b"HTTP/1.1 206 OK\r\nContent-Range: bytes %d-9/9\r\nContent-Length: 99\r\n\r\nx" % n]
        ),
        "keeps breaking off",
    ),
    "more than it says": (lambda _: forever(OK + b"\r\n", MIB), "larger than its record says"),
    "chunks without end": (
        lambda _: forever(CHUNKED, b"100000\r\n" + MIB + b"\r\n"),
        "larger than its record says",
    ),
    "circles": (lambda n: forever(redirect(n), MIB), "redirects more than 5 times"),
    "a reason for a terminal": (lambda _: iter([b"HTTP/1.1 404 a\x1b[2J\r\n\r\n"]), r"404 a\\x1b\[2J"),
}


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_a_download_from_a_hostile_server_is_one_sentence(tmp_path, kind):
    answer, why = DOWNLOADS[kind]
    tracemalloc.start()
    try:
        with serving(answer) as url:
            archive = RemoteArchive("a.tar.gz", f"{url}/a.tar.gz", 999, "md5:" + "0" * 32)
            with (
                downloading([archive], tmp_path, int) as arriving,
                pytest.raises(TaskError, match=why) as error,
            ):
                next(arriving)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.tar.gz").exists()


def test_a_download_that_comes_a_little_farther_each_time_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_FARTHER", 1)
    monkeypatch.setattr(download, "_ATTEMPTS", 7)
    asked = []

    def answer(number: int) -> Iterator[bytes]:
        asked.append(number)
        return iter(
            [b"HTTP/1.1 206 OK\r\nContent-Range: bytes %d-9/9\r\nContent-Length: 99\r\n\r\nx" % number]
        )

    with serving(answer) as url:
        archive = RemoteArchive("a.tar.gz", f"{url}/a.tar.gz", 999, "md5:" + "0" * 32)
        with (
            downloading([archive], tmp_path, int) as arriving,
            pytest.raises(TaskError, match="breaking off"),
        ):
            next(arriving)
    assert len(asked) == 7


def test_a_download_is_left_at_once_though_the_server_is_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "_ANSWER", 60.0)
    with serving(lambda _: (time.sleep(0.1) or b"" for _ in itertools.count())) as url:
        archive = RemoteArchive("a.tar.gz", f"{url}/a.tar.gz", 999, "md5:" + "0" * 32)
        begun = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt), downloading([archive], tmp_path, int):
            time.sleep(0.3)
            raise KeyboardInterrupt
        assert time.monotonic() - begun < 10
