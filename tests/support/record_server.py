"""A server on 127.0.0.1 that answers as the public record of task archives does, and can misbehave."""

import contextlib
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORD = "6332517"


@dataclass
class Record:
    """What the server holds and does: `files` by name, and by file name how it misbehaves.

    `cut` breaks the connection after so many bytes, as often as the list has entries; `status` answers with
    these codes first; `checksums` are false promises; `ignores_range` answers 200 with the whole file;
    `hold` trickles after so many bytes until `released`.
    """

    files: dict[str, bytes]
    cut: dict[str, list[int]] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    ignores_range: bool = False
    hold: dict[str, int] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def answer(self) -> bytes:
        """The record as its API describes it."""
        files = [
            {
                "key": name,
                "size": self.sizes.get(name, len(content)),
                "checksum": f"md5:{self.checksums.get(name, hashlib.md5(content).hexdigest())}",
                "links": {"self": f"https://zenodo.org/api/records/{RECORD}/files/{name}/content"},
            }
            for name, content in self.files.items()
        ]
        return json.dumps({"id": int(RECORD), "files": files}).encode()

    def asked(self, name: str) -> list[str | None]:
        """The Range header of every request for the file `name`."""
        return [asked for path, asked in self.requests if path.endswith(f"/{name}")]


@contextlib.contextmanager
def serving(files: dict[str, bytes], **faults: object) -> Iterator[Record]:
    """Serve `files` at `record.url` until the block ends."""
    record = Record(files, **faults)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, asked = self.path, self.headers.get("Range")
            record.requests.append((path, asked))
            if path == f"/api/records/{RECORD}":
                self._send(200, record.answer(), {})
                return
            name = path.removeprefix(f"/records/{RECORD}/files/")
            if record.status.get(name):
                self._send(record.status[name].pop(0), b"{}", {"Retry-After": "0"})
            elif name in record.files:
                self._send_file(name, asked)
            else:
                self._send(404, json.dumps({"status": 404, "message": "no such record"}).encode(), {})

        def _send_file(self, name: str, asked: str | None) -> None:
            content, start = record.files[name], 0
            headers = {"ETag": '"x"'}
            if asked and not record.ignores_range:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self._send(416, b"", {})
                    return
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206 if "Content-Range" in headers else 200, content[start:], headers, name)

        def _send(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                if record.cut.get(name):
                    self.wfile.write(body[: record.cut[name].pop(0)])
                    self.close_connection = True
                elif name in record.hold and not record.released.is_set():
                    self._trickle(body, record.hold[name])
                else:
                    self.wfile.write(body)

        def _trickle(self, body: bytes, first: int) -> None:
            self.wfile.write(body[:first])
            while first < len(body) and not record.released.wait(0.02):
                self.wfile.write(body[first : first + 1])
                first += 1
            self.wfile.write(body[first:])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that goes away is part of the tests
    record.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield record
    finally:
        record.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def pack(task: Path, name: str, prefix: str = "hear-2021.0.6/tasks") -> bytes:
    """The .tar.gz archive of the task directory `task` as `<prefix>/<name>/...`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(task, arcname=f"{prefix}/{name}")
    return content.getvalue()
