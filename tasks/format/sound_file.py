"""A sound file read forward, block by block: what decodes counts, whatever length its header states.

libsndfile believes lengths: it stops where the header of a FLAC, or its estimate for an MP3 without an index,
says, and fails where a FLAC has less than that. So the length of a FLAC is hidden from it, an MP3 comes
through a pipe, of which no length can be estimated, and nothing is sought after a read.
"""

import contextlib
import io
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from jaxtyping import Float

from tasks.errors import TaskError
from tasks.names import printable

Block = Float[np.ndarray, "samples channels"]

_BLOCK = 1 << 18
_BLOCKS = (_BLOCK, 1 << 12, 1 << 6, 1)
"""Samples of all channels read at once, and what is tried where a block is damaged, to lose none before."""
_STREAMED = 0x7FFF0000
"""From this on, a size in a header is what programs write into a pipe: they do not know it."""
_MISCOUNTED = 64
"""Bytes by which writers are off in their own headers."""
_CHUNKS = 1000
_MP3_DELAY = 2304
"""Samples by which decoders of an MP3 differ at its ends."""


class SoundReader:
    """Reads a sound file once, forward. `rate` is in Hz; iterating gives float32 blocks to the end.

    `content` is read in place of the file at `path`, which then is only named. After the last block
    `ends_early` is what is wrong with the end: None, or such as "ends early: 0.4 s of the 2 s ...".
    """

    def __init__(self, path: Path | str, content: bytes | None = None):
        """Raises TaskError when the file is missing or no sound."""
        self._path = Path(path)
        self._content = content
        self._samples = 0
        self._format = ""
        self.ends_early: str | None = None
        if content is None and not self._path.is_file():
            raise TaskError(f"{self._path} is missing; restore it.")
        try:
            with self._file() as file:
                self._start, self._kind = _kind(file)
                self._patch = _patch(file, self._start, self._kind)
            with self._open() as sound:
                self.rate: int = sound.samplerate
                self.channels: int = sound.channels
                self.subtype: str = sound.subtype
                self._format = sound.format
                self._stated: int = sound.frames
        except (OSError, TypeError, soundfile.SoundFileError) as error:
            raise self._unreadable(error) from error

    def __iter__(self) -> Iterator[Block]:
        """Raises TaskError when nothing can be decoded."""
        for size in _BLOCKS:
            try:
                yield from self._from(self._samples, max(1, size // self.channels))
            except (OSError, soundfile.SoundFileError) as error:
                damage: Exception | None = error
            else:
                damage = None
                break
        if damage is not None and not self._samples:
            raise self._unreadable(damage) from damage
        self.ends_early = self._fault(damaged=damage is not None)

    def _unreadable(self, error: Exception) -> TaskError:
        why = " ".join(getattr(error, "error_string", str(error)).split()).rstrip(".")
        if isinstance(error, OSError):
            return TaskError(f"{self._path} cannot be read ({error.strerror}); restore it.")
        return TaskError(f"{self._path} is not readable as sound ({printable(why)}); restore it.")

    def _from(self, first: int, length: int) -> Iterator[Block]:
        """Blocks of `length` samples from the sample `first` on."""
        with self._open() as sound:
            while first:
                first -= len(sound.read(min(first, _BLOCK), dtype="float32", always_2d=True))
            while len(block := sound.read(length, dtype="float32", always_2d=True)):
                self._samples += len(block)
                yield block

    def _file(self) -> BinaryIO:
        return open(self._path, "rb") if self._content is None else io.BytesIO(self._content)

    @contextlib.contextmanager
    def _open(self) -> Iterator[soundfile.SoundFile]:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(self._file())
            if self._format == "MP3" and os.name != "nt":  # there libsndfile cannot open a pipe of ours
                source: int | _Patched = stack.enter_context(_pipe(file, self._start))
            else:
                source = _Patched(file, *self._patch)
            yield stack.enter_context(_Forward(source, closefd=False))

    def _fault(self, *, damaged: bool) -> str | None:
        found = self._samples / self.rate
        with self._file() as file:
            stated = self._stated_samples(file)
            cut = self._format == "OGG" and not _has_last_page(file)
        if stated > self._samples + (_MP3_DELAY if self._format == "MP3" else 0):
            return f"ends early: {found:.3g} s of the {stated / self.rate:.3g} s that its header promises"
        if damaged or cut:
            return f"ends early: after {found:.3g} s it is {'damaged' if damaged else 'cut off'}"
        return None

    def _stated_samples(self, file: BinaryIO) -> float:
        """How many samples the header promises; 0 where it does not say."""
        if self._kind == "FLAC":
            file.seek(self._start + 21)
            return int.from_bytes(file.read(5), "big") % (1 << 36)
        if self._kind in ("RIFF", "FORM"):
            return self._samples * _missing_bytes(file, ">I" if self._kind == "FORM" else "<I")
        return self._stated if self._format != "MP3" or _has_index(file, self._start) else 0


class _Forward(soundfile.SoundFile):
    """Does not seek after each read to where that read ended, which fails where a header promises more."""

    def seekable(self) -> bool:
        return False


class _Patched:
    """A file for libsndfile's callbacks, which must not raise; from byte `at` on it reads as `patch`."""

    def __init__(self, file: BinaryIO, at: int, patch: bytes):
        self._file = file
        self._at = at
        self._patch = patch

    def seek(self, offset: int, whence: int = 0) -> int:
        with contextlib.suppress(OSError, ValueError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:
        start = self._file.tell()
        try:
            content = bytearray(self._file.read(len(buffer)))
        except (OSError, ValueError):
            return 0
        for place, value in enumerate(self._patch, start=self._at - start):
            if 0 <= place < len(content):
                content[place] = value
        buffer[: len(content)] = bytes(content)
        return len(content)


@contextlib.contextmanager
def _pipe(file: BinaryIO, start: int) -> Iterator[int]:
    """The reading end of a pipe that gives the file from byte `start` on."""
    reading, writing = os.pipe()

    def copy() -> None:
        with contextlib.suppress(OSError), open(writing, "wb") as out:
            file.seek(start)
            while content := file.read(1 << 16):
                out.write(content)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        os.close(reading)
        thread.join()


def _kind(file: BinaryIO) -> tuple[int, str]:
    """Where the sound begins behind an ID3 tag, and what it is as far as it matters here."""
    head, start = file.read(10), 0
    if len(head) == 10 and head[:3] == b"ID3":
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
        file.seek(start)
        head = file.read(10)
    if head[:4] == b"fLaC":
        return start, "FLAC"
    if head[:4] in (b"RIFF", b"FORM"):
        return start, head[:4].decode()
    return start, "other"


def _has_index(file: BinaryIO, start: int) -> bool:
    """Whether the first frame of an MP3 says how many there are."""
    file.seek(start)
    frame = file.read(256)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _patch(file: BinaryIO, start: int, kind: str) -> tuple[int, bytes]:
    """Where a header states a length that must not be believed, and what to read there in its place.

    Of a FLAC any; of a WAV that its recorder did not close, 0.
    """
    if kind == "FLAC":
        file.seek(start + 21)
        return start + 21, bytes([(file.read(1) or b"\0")[0] & 0xF0, 0, 0, 0, 0])
    if kind == "RIFF" and (sound := _find_sound(file, "<I")):
        place, size, there = sound
        file.seek(place + 8)
        if size == 0 and there > 0 and not file.read(4).isalpha():  # another chunk's name
            return place + 4, struct.pack("<I", min(there, _STREAMED))
    return 0, b""


def _missing_bytes(file: BinaryIO, byte_order: str) -> float:
    """The size of the sound in a RIFF or AIFF file as its header states it, relative to what is there."""
    _, size, there = _find_sound(file, byte_order) or (0, 0, 0)
    return size / there if 0 < there < size - _MISCOUNTED and size < _STREAMED else 0


def _find_sound(file: BinaryIO, byte_order: str) -> tuple[int, int, int] | None:
    """Where the chunk of sound begins, its size as stated, and how many bytes are there; None without one."""
    end, place = file.seek(0, io.SEEK_END), 12
    for _ in range(_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        (size,) = struct.unpack(byte_order, head[4:])
        if head[:4] in (b"data", b"SSND"):
            return place, size, end - place - 8
        place += 8 + size + size % 2
    return None


def _has_last_page(file: BinaryIO) -> bool:
    """Whether the last page of an Ogg file says that it is the last."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (1 << 17)))
    tail = file.read()
    page = tail.rfind(b"OggS")
    return page >= 0 and page + 5 < len(tail) and bool(tail[page + 5] & 4)
