"""TFRecord files against what TensorFlow wrote, and damaged in many ways."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from hear_mwmae.pretrain.data.manifest import Options
from hear_mwmae.pretrain.data.sources import Unreadable, encode_source, find_sources
from hear_mwmae.pretrain.data.tfrecord import _masked_crc32c, read_log_mels


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol-buffer message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tensor(log_mel: np.ndarray, kind: int = 1) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in log_mel.shape)
    return field(1, kind) + field(2, shape) + field(4, log_mel.astype("<f4").tobytes())


def example(**features: bytes) -> bytes:
    entries = (field(1, name.encode()) + field(2, value) for name, value in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def byte_strings(*values: bytes) -> bytes:
    return field(1, b"".join(field(1, value) for value in values))


def framed(record: bytes) -> bytes:
    length = len(record).to_bytes(8, "little")
    checksums = [_masked_crc32c(part).to_bytes(4, "little") for part in (length, b"not looked at")]
    return length + checksums[0] + record + checksums[1]


def write(path: Path, *records: bytes) -> Path:
    path.write_bytes(zlib.compress(b"".join(map(framed, records))))
    return path


LOG_MEL = np.random.default_rng(0).normal(size=(30, 80)).astype(np.float32)


def test_reads_what_tensorflow_wrote(shared: Path) -> None:
    found = list(read_log_mels(shared / "golden" / "sample_spec.tfrec"))
    with np.load(shared / "golden" / "sample_spec.npz") as arrays:
        assert len(found) == 3
        for number, log_mel in enumerate(found):
            assert np.array_equal(log_mel, arrays[f"raw{number}"])


def test_the_checksum_is_crc_32c() -> None:
    crc = 0xE3069283  # of "123456789", the check value of the polynomial's catalogues
    assert _masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_labels_are_neither_needed_nor_in_the_way(tmp_path: Path) -> None:
    audio = byte_strings(tensor(LOG_MEL))
    label = field(3, field(1, b"\x01\x02\x03"))
    weight = field(2, field(1, np.float32([1, 2]).tobytes()))
    records = [example(audio=audio), example(label=label, audio=audio), example(weight=weight, audio=audio)]
    for log_mel in read_log_mels(write(tmp_path / "a.tfrec", *records)):
        assert np.array_equal(log_mel, LOG_MEL)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (example(other=byte_strings(tensor(LOG_MEL))), "without one byte string in feature 'audio'"),
        (example(audio=byte_strings()), "without one byte string"),
        (example(audio=field(3, field(1, b"\x01"))), "without one byte string"),
        (example(audio=byte_strings(tensor(LOG_MEL[:, :64]))), r"the shape \[30, 64\], not \[frames, 80\]"),
        (example(audio=byte_strings(tensor(LOG_MEL[0]))), "no serialised float32 tensor"),
        (example(audio=byte_strings(tensor(LOG_MEL, kind=2))), "no serialised float32 tensor"),
        (example(audio=byte_strings(tensor(LOG_MEL)[:-1])), "breaks off"),
        (field(1, 5), "a number where a message is due"),
        (field(1, field(1, field(1, 2**45))), "without one byte string"),
        (field(1, field(1, field(1, 2**63))), "without one byte string"),
        (example(audio=byte_strings(field(1, 1) + field(2, field(2, field(1, 80))) + field(4, 7))), "."),
        (b"\x0b", "no protocol-buffer message"),
        (b"\xff" * 20, "breaks off"),
    ],
)
def test_unsuitable_records_are_named(tmp_path: Path, record: bytes, reason: str) -> None:
    good = example(audio=byte_strings(tensor(LOG_MEL)))
    path = write(tmp_path / "a.tfrec", good, record, good)
    first, bad, last = read_log_mels(path)
    assert np.array_equal(first, LOG_MEL)
    assert isinstance(bad, ValueError)
    assert re.search(reason, str(bad))
    assert np.array_equal(last, LOG_MEL)
    outcomes = encode_source(*find_sources([path], "tfrecord"), Options("tfrecord"))
    assert [outcome.id for outcome in outcomes] == ["a.tfrec#0", "a.tfrec#1", "a.tfrec#2"]
    assert outcomes[1] == Unreadable("a.tfrec#1", str(bad))
    assert not isinstance(outcomes[2], Unreadable)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "a.tfrec", *[example(audio=byte_strings(tensor(LOG_MEL)))] * 3)
    packed, plain = good.read_bytes(), zlib.decompress(good.read_bytes())
    cases = {
        "no undamaged zlib stream": [plain, b"garbage", packed[:-2] + bytes([packed[-2] ^ 1]) + packed[-1:]],
        "breaks off": [packed[: len(packed) // 2], b"", zlib.compress(plain[:-5]), zlib.compress(plain[:5])],
        "wrong checksum": [zlib.compress(b"\x01" + plain[1:]), zlib.compress(b"x" * 100)],
    }
    for reason, versions in cases.items():
        for version in versions:
            good.write_bytes(version)
            with pytest.raises(ValueError, match=reason):
                list(read_log_mels(good))
