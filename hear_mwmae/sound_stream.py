"""Sound files decoded block by block to where they really end, whatever their headers say of it."""

import contextlib
import io
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from jaxtyping import Float

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# libsndfile gives this, or more, where a header does not tell.
UNKNOWN_FRAMES = 2**36 - 1
UNKNOWN_BYTES = 0x7FFFFF00
# Writers miscount their own headers by so many bytes.
SLACK_BYTES = 64
SMALL_BLOCK = 256
HEADER_BYTES = 1 << 16
_MISCOUNT = re.compile(r":\s*(\d+) \(should be (\d+)\)")


class SoundStream:
    """Blocks of a file's samples; use it as a context.

    Attributes:
        rate, channels: what the header says.
        stated: frames that the header says, 0 where it does not tell.
        early: why the end of the sound is missing, or "".

    Raises:
        soundfile.SoundFileError, OSError: nothing of the file can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self._file = opened.enter_context(_opened(path))
            self._stack = opened.pop_all()
        self.rate, self.channels = self._file.samplerate, self._file.channels
        head, _ = _head(path)
        self.stated = _flac_frames(head) if head[:4] == b"fLaC" else self._file.frames
        if self.stated >= UNKNOWN_FRAMES or (self._file.format == "MP3" and not _has_mp3_index(head)):
            self.stated = 0
        self.early = ""

    def __enter__(self) -> "SoundStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def blocks(self, size: int) -> Iterator[Float[np.ndarray, "frames channels"]]:
        """Yield all frames, `size` at a time; each block is valid until the next is asked for."""
        block = np.empty((size, self.channels), np.float32)
        count, problem = 0, ""
        try:
            while len(read := self._file.read(out=block)):
                count += len(read)
                yield read
        except soundfile.SoundFileError as error:
            # What was decoded before the damage is lost with its block; in small ones little is.
            for small in self._rest(count, block[:SMALL_BLOCK]):
                count += len(small)
                yield small
            if not count:
                raise
            problem = f"damaged there ({reason_of(error)})"
        self.early = self._why_early(count, problem)

    def _rest(
        self, passed: int, small: Float[np.ndarray, "frames channels"]
    ) -> Iterator[Float[np.ndarray, "frames channels"]]:
        """Decode anew, and yield what follows `passed` frames up to the damage."""
        with contextlib.suppress(soundfile.SoundFileError), _opened(self._path) as file:
            block = np.empty((1 << 12, self.channels), np.float32)
            while passed:
                passed -= len(file.read(out=block[: min(passed, len(block))])) or passed
            while len(read := file.read(out=small)):
                yield read

    def _why_early(self, count: int, problem: str) -> str:
        if self.stated > count:
            problem = problem or "cut off, or its header is wrong"
            return f"ends after {_time(count, self.rate)} of {_time(self.stated, self.rate)}: {problem}"
        if problem:
            return f"ends after {_time(count, self.rate)}: {problem}"
        counts = [tuple(map(int, pair)) for pair in _MISCOUNT.findall(self._file.extra_info)]
        missing = [said - there for said, there in counts if there + SLACK_BYTES < said < UNKNOWN_BYTES]
        if missing:
            return f"ends after {_time(count, self.rate)}, {max(missing)} bytes early: cut off"
        if self._file.format == "OGG" and _ogg_ends_early(self._path):
            return f"ends after {_time(count, self.rate)} without the end of its stream: cut off"
        return ""


class _Unseekable(soundfile.SoundFile):
    """Reads on to where decoding ends: the seeking that `read` does else believes the header's length."""

    def seekable(self) -> bool:
        return False


class _Patched(io.RawIOBase):
    """A file some bytes of which read differently."""

    def __init__(self, path: Path, position: int, content: bytes) -> None:
        self._file = path.open("rb")
        self._position, self._content = position, content

    def readinto(self, buffer: "WriteableBuffer") -> int:
        start = self._file.tell()
        count = self._file.readinto(buffer)
        read = memoryview(buffer).cast("B")
        for offset, value in enumerate(self._content, self._position - start):
            if 0 <= offset < count:
                read[offset] = value
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a file so that its header cannot end the reading early."""
    head, start = _head(path)
    with contextlib.ExitStack() as stack:
        # As bytes: names need not be text in any encoding.
        source: object = os.fsencode(path)
        if head[:4] == b"fLaC":
            source = stack.enter_context(_Patched(path, start + 21, bytes([head[21] & 0xF0, 0, 0, 0, 0])))
        elif (position := _unset_wav_size(head)) is not None:
            source = stack.enter_context(_Patched(path, position, b"\xff" * 4))
        elif _is_mp3(head) and not _has_mp3_index(head):
            # Without an index the length of a seekable file is an estimate from its first frame.
            source = stack.enter_context(_piped(path))
        try:
            file = stack.enter_context(_Unseekable(source, closefd=False))
        except TypeError:  # for the name *.raw
            raise soundfile.SoundFileRuntimeError("it has no header that says the rate") from None
        yield file


@contextlib.contextmanager
def _piped(path: Path) -> Iterator[int]:
    """Give the reading end of a pipe that a thread fills with the file."""
    reading, writing = os.pipe()

    def feed() -> None:
        with contextlib.suppress(OSError), open(writing, "wb", 0) as pipe, path.open("rb") as file:
            while part := file.read(HEADER_BYTES):
                pipe.write(part)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        os.close(reading)  # Ends a thread that still writes.
        thread.join()


def _head(path: Path) -> tuple[bytes, int]:
    """Return the beginning of a file, behind a tag (which may hold a picture), and where that is."""
    with path.open("rb") as file:
        head, start = file.read(HEADER_BYTES), 0
        if head[:3] == b"ID3" and len(head) > 9:
            start = 10 + sum((byte & 0x7F) << 7 * (3 - index) for index, byte in enumerate(head[6:10]))
            file.seek(start)
            head = file.read(HEADER_BYTES)
    return head, start


def _flac_frames(head: bytes) -> int:
    return int.from_bytes(head[21:26], "big") & (2**36 - 1)


def _unset_wav_size(head: bytes) -> int | None:
    """Where the size of the samples stands in a WAV file that says 0, as if its writer was stopped."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position = 12
    while position + 8 <= len(head):
        name, size = (
            head[position : position + 4],
            int.from_bytes(head[position + 4 : position + 8], "little"),
        )
        if name == b"data":
            follows = head[position + 8 : position + 12]
            return position + 4 if size == 0 and len(follows) == 4 and not follows.strip().isalnum() else None
        position += 8 + size + size % 2
    return None


def _is_mp3(head: bytes) -> bool:
    return len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2


def _has_mp3_index(head: bytes) -> bool:
    return any(word in head[:256] for word in (b"Xing", b"Info", b"VBRI"))


def _ogg_ends_early(path: Path) -> bool:
    """Whether the last page is incomplete or does not say that it is the last."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 2 * HEADER_BYTES))
        tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    if start < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def reason_of(error: OSError | soundfile.SoundFileError) -> str:
    """Return what a library says of a file, without the name that it has for it."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".") or type(error).__name__


def _time(frames: int, rate: int) -> str:
    return f"{frames / rate:.3f} s"
