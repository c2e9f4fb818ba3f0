"""Log-mel spectrograms out of TFRecord files in the layout of the released MW-MAE code, without TensorFlow.

A file is one zlib stream of framed records: length (8 bytes), its checksum (4), the record, its checksum (4).
A record is a `tf.train.Example` whose feature `audio` holds a serialised `TensorProto` of float32 values
[frames, bands]; other features, such as the labels, are passed over. Both are protocol-buffer messages.
"""

import functools
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.pretrain.data.log_mel import BANDS

READ_BYTES = 1 << 20
# A record of ten seconds has 320 kB; this is a quarter of an hour and more.
LARGEST_RECORD_BYTES = 1 << 25
# Log-mels of sound shrink to no less than half; what grows more than this was made to fill a memory.
LARGEST_EXPANSION, FREE_EXPANSION_BYTES = 20, 1 << 26
CASTAGNOLI = 0x82F63B78
FLOAT32 = 1
MOST_FIELDS = 10_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_log_mels(path: Path) -> Iterator[Float[np.ndarray, "frames bands"] | ValueError]:
    """Yield the log-mel spectrogram of every record of a file, or what is wrong with the record.

    Raises:
        ValueError: a file that does not follow the layout; the records before that place have been given.
        OSError: the file cannot be read.
    """
    for record in _records(_inflated(path)):
        try:
            log_mel = _log_mel(record)
        # A field of another kind than is due has the wrong type, too.
        except (ValueError, TypeError) as error:
            yield ValueError(str(error))
        else:
            yield log_mel


def _inflated(path: Path) -> Iterator[bytes]:
    """Yield the content of a zlib file part by part; its own checksum is verified at the end."""
    stream = zlib.decompressobj()
    allowed = FREE_EXPANSION_BYTES + LARGEST_EXPANSION * path.stat().st_size
    with path.open("rb") as file:
        try:
            while not stream.eof and (part := stream.unconsumed_tail or file.read(READ_BYTES)):
                content = stream.decompress(part, READ_BYTES)
                allowed -= len(content)
                if allowed < 0:
                    raise ValueError(
                        f"expands to more than {LARGEST_EXPANSION} times its size, the most that is read"
                    )
                yield content
        except zlib.error as error:
            raise ValueError(f"no undamaged zlib stream ({error})") from None
    if not stream.eof:
        raise ValueError("the zlib stream breaks off")


def _records(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Take the frames apart. Only lengths are checked here: zlib's checksum watches over the data already."""
    buffer = bytearray()
    needed, length = 12, None
    for part in parts:
        buffer += part
        while len(buffer) >= needed:
            if length is None:
                length = _checked_length(bytes(buffer[:12]))
                needed = 12 + length + 4
            else:
                yield bytes(memoryview(buffer)[12 : 12 + length])
                del buffer[:needed]
                needed, length = 12, None
    if buffer:
        raise ValueError("the last record breaks off")


def _checked_length(header: bytes) -> int:
    length, checksum = int.from_bytes(header[:8], "little"), int.from_bytes(header[8:], "little")
    if _masked_crc32c(header[:8]) != checksum:
        raise ValueError("no TFRecord file, or a damaged one (wrong checksum of a record's length)")
    if length > LARGEST_RECORD_BYTES:
        raise ValueError(f"a record of {length} bytes, beyond the {LARGEST_RECORD_BYTES} that are read")
    return length


@functools.cache
def _crc32c_table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
        return value

    return tuple(entry(value) for value in range(256))


def _masked_crc32c(data: bytes) -> int:
    """Return CRC-32C, rotated right by 15 bits and shifted by a constant as TFRecord files store it."""
    table = _crc32c_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _log_mel(record: bytes) -> Float[np.ndarray, "frames bands"]:
    """Read feature `audio` of a `tf.train.Example`."""
    for features in _fields(memoryview(record), 1):
        for entry in _fields(features, 1):
            names = [name if isinstance(name, int) else bytes(name) for name in _fields(entry, 1)]
            if names == [b"audio"]:
                values = [value for feature in _fields(entry, 2) for kind in _fields(feature, 1)
                          for value in _fields(kind, 1)]  # fmt: skip
                if len(values) == 1:
                    return _tensor(values[0])
    raise ValueError("a record without one byte string in feature 'audio'")


def _tensor(message: memoryview | int) -> Float[np.ndarray, "frames bands"]:
    """Read a `TensorProto` of finite float32 values [frames, bands]."""
    content = _fields(message, 4)
    shape = [(_fields(dim, 1) or [0])[0] for shape in _fields(message, 2) for dim in _fields(shape, 2)]
    if _fields(message, 1) != [FLOAT32] or len(content) != 1 or len(shape) != 2:
        raise ValueError("feature 'audio' is no serialised float32 tensor [frames, bands]")
    (data,), (frames, bands) = content, shape
    if isinstance(data, int) or not isinstance(frames, int) or not isinstance(bands, int):
        raise TypeError("feature 'audio' is no serialised float32 tensor [frames, bands]")
    if bands != BANDS or frames < 1 or len(data) != 4 * frames * bands:
        raise ValueError(f"feature 'audio' has the shape {shape}, not [frames, {BANDS}]")
    values = np.frombuffer(data, "<f4").reshape(frames, bands)
    if not np.isfinite(values).all():
        raise ValueError("feature 'audio' holds NaN or infinite values")
    return values


def _fields(message: memoryview | int, wanted: int) -> list[memoryview | int]:
    """Values of a field of a protocol-buffer message: integers for varints, else bytes (not copied)."""
    if isinstance(message, int):
        raise ValueError("a record with a number where a message is due")
    found: list[memoryview | int] = []
    value: memoryview | int
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _varint(message, position)
        elif kind in (BYTES, FIXED32, FIXED64):
            length = {FIXED32: 4, FIXED64: 8}.get(kind)
            if length is None:
                length, position = _varint(message, position)
            value, position = message[position : position + length], position + length
        else:
            raise ValueError("a record that is no protocol-buffer message")
        if position > len(message):
            raise ValueError("a record whose message breaks off")
        if key >> 3 == wanted:
            found.append(value)
        if len(found) > MOST_FIELDS:
            raise ValueError(f"a record with more than {MOST_FIELDS} fields of one kind")
    return found


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an integer of 7 bits per byte, and the position after it."""
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("a record whose message breaks off")
