"""Task archives: names, both layouts, and everything that must not come out of one."""

import gzip
import io
import struct
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from record_server import pack
from tiny_task import make_task

from tasks import TaskError
from tasks.fetch.archive import Limits, by_task, unpack_task

TASK = "tiny-v1-full"


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def make_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_names_of_the_record_and_of_the_preprocessing():
    names = [
        "hear2021-beijing_opera-v1.0-hear2021-full-48000.tar.gz",
        "hear-2021.0.6-spoken_digit-1.0.9-small-16000.tar.gz",
        "hear-LATEST-spoken_digit-1.0.9-small-44100.tar.gz",
        "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz.part",
        "LICENSE.txt",
    ]
    assert by_task(names) == {
        "beijing_opera-v1.0-hear2021-full": names[0],
        "spoken_digit-1.0.9-small": names[2],
    }


@pytest.mark.parametrize("prefix", ["hear-2021.0.6/tasks", "tasks", "."])
def test_every_layout_gives_the_task_as_it_was(tmp_path, prefix):
    task = make_task(tmp_path / "tiny")
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(pack(task, TASK, prefix))
    assert unpack_task(archive, TASK, tmp_path / "out") == 0
    assert files_below(tmp_path / "out") == files_below(task)


def test_plain_files_of_others_are_left_out_and_counted(tmp_path):
    archive = make_tar(
        tmp_path / "a.tar.gz",
        member("tasks/._x", content=b"1"),
        member(f"tasks/{TASK}/a/b.json", content=b"2"),
        member("tasks/other/a.json", content=b"3"),
    )
    assert unpack_task(archive, TASK, tmp_path / "out") == 2
    assert files_below(tmp_path / "out") == {"a/b.json": b"2"}


HOSTILE = {
    "absolute": member("/tmp/escaped", content=b"x"),
    "absolute in the task's name": member(f"/{TASK}/escaped", content=b"x"),
    "parent": member(f"tasks/{TASK}/../../../escaped", content=b"x"),
    "parent elsewhere": member("../escaped", content=b"x"),
    "symbolic link": member(f"tasks/{TASK}/16000", tarfile.SYMTYPE, linkname="/tmp"),
    "symbolic link inside": member(f"tasks/{TASK}/16000", tarfile.SYMTYPE, linkname="48000"),
    "hard link": member(f"tasks/{TASK}/a.wav", tarfile.LNKTYPE, linkname="/etc/passwd"),
    "character device": member(f"tasks/{TASK}/a.wav", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member(f"tasks/{TASK}/a.wav", tarfile.BLKTYPE),
    "pipe": member(f"tasks/{TASK}/a.wav", tarfile.FIFOTYPE),
    "link of others": member("elsewhere", tarfile.SYMTYPE, linkname="/etc"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_hostile_comes_out(tmp_path, kind):
    good = member(f"tasks/{TASK}/good.json", content=b"{}")
    archive = make_tar(tmp_path / "a.tar.gz", good, HOSTILE[kind])
    with pytest.raises(TaskError, match="is not safe"):
        unpack_task(archive, TASK, tmp_path / "sub" / "folder" / "out")
    assert files_below(tmp_path).keys() == {"a.tar.gz", "sub/folder/out/good.json"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(file_bytes=999), "'tasks/tiny-v1-full/b' has 1000 bytes"),
        (Limits(bytes=1999), "more than 1999 bytes"),
        (Limits(files=1), "more than 1 files"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_written(tmp_path, limits, what):
    members = [member(f"tasks/{TASK}/{n}", content=bytes(1000)) for n in "bc"]
    archive = make_tar(tmp_path / "a.tar.gz", *members)
    with pytest.raises(TaskError, match=what):
        unpack_task(archive, TASK, tmp_path / "out", limits)
    assert len(files_below(tmp_path / "out")) <= 1
    assert unpack_task(archive, TASK, tmp_path / "new", Limits(files=2, file_bytes=1000, bytes=2000)) == 0


def test_what_is_left_out_counts_too(tmp_path):
    members = [member(f"elsewhere/{n}", content=bytes(1000)) for n in range(5)]
    folders = [member(f"tasks/{TASK}/{n}", tarfile.DIRTYPE) for n in range(5)]
    for few, limits in [
        (members, Limits(bytes=4999)),
        (members, Limits(files=4)),
        (folders, Limits(files=4)),
    ]:
        with pytest.raises(TaskError, match="is larger than its task can be"):
            unpack_task(make_tar(tmp_path / "a.tar.gz", *few), TASK, tmp_path / "out", limits)


def test_a_bomb_of_terabytes_is_refused_by_its_header(tmp_path):
    info = tarfile.TarInfo(f"tasks/{TASK}/bomb.wav")
    info.size = 1 << 42
    with gzip.open(tmp_path / "a.tar.gz", "wb") as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(TaskError, match=r"bomb.wav' has 4398046511104 bytes"):
        unpack_task(tmp_path / "a.tar.gz", TASK, tmp_path / "out")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, (1 << 33) - 512
    with gzip.open(tmp_path / "a.tar.gz", "wb") as out:
        out.write(info.tobuf())
    with pytest.raises(TaskError, match=r"damaged \(a header of 8589934080 bytes\)"):
        unpack_task(tmp_path / "a.tar.gz", TASK, tmp_path / "out")


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_its_end(content: bytes) -> bytes:
    return content[:-4]


def flip_the_checksum(content: bytes) -> bytes:
    return content[:-8] + struct.pack("<I", struct.unpack("<I", content[-8:-4])[0] ^ 1) + content[-4:]


def flip_inside(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - b for b in content[middle : middle + 50]) + content[middle + 50 :]


def ruin_a_tar_header(content: bytes) -> bytes:
    plain = bytearray(gzip.decompress(content))
    at = plain.index(b"train.json")
    plain[at : at + 4] = b"TRAI"
    return gzip.compress(bytes(plain))


def no_archive(_: bytes) -> bytes:
    return b"<html>please log in</html>"


@pytest.mark.parametrize(
    "damage",
    [truncate, without_its_end, flip_the_checksum, flip_inside, ruin_a_tar_header, no_archive],
)
def test_damage_is_found_and_named(tmp_path, damage):
    content = pack(make_task(tmp_path / "tiny"), TASK)
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(damage(content))
    with pytest.raises(TaskError, match=rf"^{archive} is truncated or damaged"):
        unpack_task(archive, TASK, tmp_path / "out")


def test_a_file_below_a_file_is_damage(tmp_path):
    members = [member(f"tasks/{TASK}/{name}", content=b"x") for name in ("a", "a/b")]
    archive = make_tar(tmp_path / "a.tar.gz", *members)
    with pytest.raises(
        TaskError, match=rf"^{archive} is truncated or damaged \(.*a/b' is there twice, or as"
    ):
        unpack_task(archive, TASK, tmp_path / "out")


def pax(**records: str) -> bytes:
    """A pax header with these records ("__" in a key stands for a dot), whatever they say."""
    content = b""
    for key, value in records.items():
        body = f" {key.replace('__', '.')}={value}\n".encode("utf-8", "surrogateescape")
        length = next(n for n in range(len(body), len(body) + 9) if len(str(n)) + len(body) == n)
        content += str(length).encode() + body
    return header("PaxHeader", tarfile.XHDTYPE, content)


def header(name: str, kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """One header and its content, padded."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


FILE = header(f"tasks/{TASK}/a.wav", tarfile.REGTYPE, b"x")
SPARSE_MAP = b"99999999999999999999\n"

ODD = {
    "old sparse": header(f"tasks/{TASK}/a.wav", tarfile.GNUTYPE_SPARSE),
    "sparse 0.0": pax(GNU__sparse__size="9", GNU__sparse__numblocks="1") + FILE,
    "sparse 0.1": pax(GNU__sparse__map="0," + "9" * 5000) + FILE,
    "sparse 1.0, a map without end": pax(GNU__sparse__major="1", GNU__sparse__minor="0")
    + header(f"tasks/{TASK}/a.wav", tarfile.REGTYPE, SPARSE_MAP),
    "5000 folders deep": pax(path=f"tasks/{TASK}/" + "a/" * 5000 + "x") + FILE,
    "5000 folders deep, elsewhere": pax(path="a/" * 5000 + "x") + FILE,
    "5000 folders deep in a long name": header("L", b"L", b"a/" * 5000 + b"x\0") + FILE,
    "a name of 256 bytes": pax(path=f"tasks/{TASK}/" + "ä" * 128) + FILE,
    "a size that leads back": pax(size="-1536") + FILE,
    "a size of 5000 digits": pax(size="9" * 5000) + FILE,
    "a size past 64 bits": pax(size="9" * 19) + FILE,
    "a size that is a word": pax(size="inf") + FILE,
    "a negative size": FILE[:124] + b"\xff" * 12 + FILE[136:],
    "one size for all": header("g", tarfile.XGLTYPE, b"10 size=1\n") + FILE,
    "no record": header("x", tarfile.XHDTYPE, b"1 1 1 1 1=") + FILE,
    "records without length": header("x", tarfile.XHDTYPE, b"0 path=a\n" * 9) + FILE,
    "10,000 headers for one file": header("L", b"L", b"a\0") * 10_000 + FILE,
    "global headers without end": header("g", tarfile.XGLTYPE, b"9 a=bcd\n\n") * 10_000 + FILE,
    "a header and no file": header("L", b"L", b"a\0"),
    "NUL in a name": pax(path=f"tasks/{TASK}/a\0b") + FILE,
    "a line end in a name": pax(path=f"tasks/{TASK}/a\nb") + FILE,
    "a name that is not UTF-8": pax(path=f"tasks/{TASK}/caf\udce9.wav") + FILE,
    "a drive": pax(path=f"tasks/{TASK}/C:x.wav") + FILE,
    "a volume": header("label", b"V") + FILE,
    "a part of another volume": header(f"tasks/{TASK}/a.wav", b"M"),
    "a type of nobody": header(f"tasks/{TASK}/a.wav", b"?"),
    "twice": FILE + FILE,
    "zeros without end": FILE + bytes(1 << 25),
}


def seal(archive: bytes) -> bytes:
    """Every header of the first 2 MiB with the checksum that it should have."""
    sealed = bytearray(archive)
    for at in range(0, min(len(sealed), 1 << 21), 512):
        block = sealed[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            sealed[at + 148 : at + 156] = f"{sum(block):06o}\0 ".encode()
    return bytes(sealed)


@pytest.mark.parametrize("kind", ODD)
def test_odd_headers_are_refused_in_little_memory(tmp_path, kind):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(seal(ODD[kind]), 1))
    tracemalloc.start()
    try:
        with pytest.raises(TaskError, match=rf"^{archive} is (not safe|truncated or damaged)[^\n]*$"):
            unpack_task(archive, TASK, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert files_below(tmp_path).keys() <= {"a.tar.gz", "out/a.wav"}


def test_long_names_of_both_kinds_are_read(tmp_path):
    long = "b" * 150 + ".wav"
    archive = tmp_path / "a.tar.gz"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(archive, "w:gz", format=form, pax_headers={"comment": "x"}) as tar:
            for info, content in [
                member(f"tasks/{TASK}/{long}", content=b"1"),
                member(f"tasks/{TASK}/ä", content=b"22"),
            ]:
                tar.addfile(info, io.BytesIO(content))
        assert unpack_task(archive, TASK, tmp_path / f"out{form}") == 0
        assert files_below(tmp_path / f"out{form}") == {long: b"1", "ä": b"22"}


def test_members_without_end_are_refused(tmp_path):
    many = header("elsewhere/x", tarfile.REGTYPE) * 2048
    with gzip.open(tmp_path / "a.tar.gz", "wb", 1) as out:
        for _ in range(2):
            out.write(many)
    with pytest.raises(TaskError, match="it has more than 4000 files"):
        unpack_task(tmp_path / "a.tar.gz", TASK, tmp_path / "out", Limits(files=4000))


def test_an_archive_that_cannot_be_read_is_no_full_disk(tmp_path):
    with pytest.raises(TaskError, match=r"a.tar.gz cannot be read \(No such file"):
        unpack_task(tmp_path / "a.tar.gz", TASK, tmp_path / "out")


def test_an_archive_of_another_task_is_named(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(pack(make_task(tmp_path / "tiny"), "other-v1-full"))
    with pytest.raises(TaskError, match="does not hold the task tiny-v1-full"):
        unpack_task(archive, TASK, tmp_path / "out")
