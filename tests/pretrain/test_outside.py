"""Prepared data, records, pictures and logs of outside origin, or changed behind the back of a run."""

import json
import os
import shutil
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from sounds import tone, write, write_tones

from hear_mwmae import files
from hear_mwmae.cli.overlap import _cell
from hear_mwmae.cli.prepare import main
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data import content, sources, tfrecord
from hear_mwmae.pretrain.data.content import CheckedContent, verify
from hear_mwmae.pretrain.data.crops import write_crop
from hear_mwmae.pretrain.data.images import MOST_PIXELS, find_images, read_image
from hear_mwmae.pretrain.data.loader import load_clips
from hear_mwmae.pretrain.data.manifest import INDEX_SCHEMA, Options, file_sha256, read_index, read_manifest
from hear_mwmae.pretrain.data.prepare import prepare
from hear_mwmae.pretrain.data.records import DecodedClip, decode_clip, encode_clip
from hear_mwmae.pretrain.data.shards import ShardSequence
from hear_mwmae.pretrain.data.sources import ChangedSource, Remark, encode_source, find_sources
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.checkpoints import find_damage, read_config, seal
from hear_mwmae.pretrain.training.logs import loss_curve, truncate_log
from hear_mwmae.pretrain.training.provenance import public_starts

DEEP = "[" * 200_000


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    prepare(
        [write_tones(folder / "sounds", [0.3] * 5)],
        folder / "data",
        options=Options(shard_clips=2),
        workers=1,
    )
    return folder / "data"


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "data")
    return tmp_path / "data"


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    changed = bytearray(path.read_bytes())
    changed[position] ^= 1
    path.write_bytes(changed)


# Content


def test_a_shard_that_was_replaced_is_found_before_it_is_used(data: Path) -> None:
    manifest = read_manifest(data)
    CheckedContent(manifest)
    shutil.copyfile(data / "clips-00000.array_record", data / "clips-00001.array_record")
    read_manifest(data)  # Of the same size.
    with pytest.raises(UserError, match=r"1 of 3 files are damaged or replaced.*\n.*clips-00001"):
        CheckedContent(manifest)


def test_a_shard_that_changes_in_use_is_found(data: Path) -> None:
    checked = CheckedContent(read_manifest(data))
    checked.check_unchanged()
    path = data / "clips-00001.array_record"
    held = path.read_bytes()
    flip(path, 100)
    path.write_bytes(held)
    with pytest.raises(UserError, match=r"clips-00001\.array_record: was changed while it was in use"):
        checked.check_unchanged()


def test_what_was_found_right_is_not_read_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(content, "file_sha256", lambda path: read.append(path.name) or file_sha256(path))
    manifest = read_manifest(data)
    CheckedContent(manifest)
    CheckedContent(manifest)
    assert len(read) == 3
    os.utime(data / "clips-00002.array_record", ns=(1, 1))
    CheckedContent(manifest)
    assert read[3:] == ["clips-00002.array_record"]
    for nonsense in ("{}", "[]", DEEP, "{", '{"clips-00000.array_record": 3}'):
        (data / "checked.json").write_text(nonsense)
        del read[:]
        CheckedContent(manifest)
        assert len(read) == 3


def test_a_folder_that_cannot_be_written_to_is_used_all_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr(content, "write_text", refused)
    CheckedContent(read_manifest(data)).check_unchanged()
    assert not (data / "checked.json").exists()


def test_verify_reads_what_the_manifest_says_of_the_clips(data: Path) -> None:
    assert verify(data).clips == 5
    values = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(values | {"content_sha256": "0" * 64}))
    with pytest.raises(UserError, match="content hash of the manifest is not that of the clips"):
        verify(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(clips="5"),
        lambda values: values.update(clips=True),
        lambda values: values.update(clips=-5),
        lambda values: values.update(bands=10**9),
        lambda values: values.update(front_end="mfcc"),
        lambda values: values.update(hours=None),
        lambda values: values.update(shards=[]),
        lambda values: values.update(shards={"a": 1}),
        lambda values: values["shards"][0].update(file="../../etc/passwd"),
        lambda values: values["shards"][0].update(file="/etc/passwd"),
        lambda values: values["shards"][0].update(sha256=""),
        lambda values: values["index"].update(bytes=1.5),
        lambda values: values["options"].update(inputs=["audio"]),
        lambda values: values.pop("content_sha256"),
    ],
)
def test_a_manifest_of_another_shape_is_one_sentence(data: Path, change: Callable[[dict], object]) -> None:
    values = json.loads((data / "manifest.json").read_text())
    change(values)
    (data / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"manifest\.json: is no manifest of prepared data"):
        read_manifest(data)


@pytest.mark.parametrize("text", [DEEP, '{"clips": ' + "9" * 5000 + "}", "\xff", '{"a": 1, "a": 2}', "NaN"])
def test_a_manifest_that_is_no_json_is_one_sentence(data: Path, text: str) -> None:
    (data / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"manifest\.json (is|holds|names)"):
        read_manifest(data)


@pytest.mark.parametrize(
    "change",
    [
        {"shard": [0, 0, 1, 1, 7]},
        {"row": [0, 0, 0, 1, 0]},
        {"row": [0, 1, 0, 1, -1]},
        {"frames": [31, 31, 31, 31, 0]},
        {"id": ["x" * 70_000, *"bcde"]},
        {"id": [None, *"bcde"]},
    ],
)
def test_an_index_that_lies_is_one_sentence(data: Path, change: dict[str, list]) -> None:
    columns = parquet.read_table(data / "index.parquet").to_pydict() | change
    parquet.write_table(pyarrow.table(columns, schema=INDEX_SCHEMA), data / "index.parquet")
    manifest = read_manifest_with_index(data)
    with pytest.raises(UserError, match=r"index\.parquet: does not list the 5 clips"):
        read_index(manifest)


def read_manifest_with_index(data: Path) -> object:
    """The manifest, believing in the index that is there."""
    path = data / "index.parquet"
    values = json.loads((data / "manifest.json").read_text())
    values["index"] |= {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    (data / "manifest.json").write_text(json.dumps(values))
    return read_manifest(data)


def test_an_index_of_another_day_is_refused(data: Path) -> None:
    manifest = read_manifest(data)
    flip(data / "index.parquet", 40)
    with pytest.raises(UserError, match=r"index\.parquet: is damaged"):
        load_clips(data)
    assert manifest.clips == 5


# Records


def test_numbers_of_a_record_are_finite() -> None:
    record = encode_clip("a", np.random.default_rng(0).normal(size=(30, 80)).astype(np.float32)).record
    for place, value in ((-8, "nan"), (-4, "inf"), (-4, "-1")):
        changed = bytearray(record)
        changed[len(record) + place : len(record) + place + 4 or None] = struct.pack("<f", float(value))
        with pytest.raises(ValueError, match="are none"):
            decode_clip(bytes(changed))
    values = np.ones((30, 80), np.float16)
    for bad in ("nan", "inf", "-inf"):
        values[7, 3] = float(bad)
        out = np.empty((20, 80), np.float32)
        with pytest.raises(ValueError, match="NaN or infinite"):
            write_crop(DecodedClip("a", values, 0.0, 1.0), 0, out)
        write_crop(DecodedClip("a", values, 0.0, 1.0), 10, out)
    with pytest.raises(ValueError, match="80 bands, not 40"):
        write_crop(DecodedClip("a", values, 0.0, 1.0), 10, np.empty((20, 40), np.float32))


def field(number: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def example(values: np.ndarray) -> bytes:
    shape = b"".join(field(2, b"\x08" + bytes([size])) for size in values.shape)
    tensor = b"\x08\x01" + field(2, shape) + field(4, values.astype("<f4").tobytes())
    feature = field(1, field(1, tensor))
    return field(1, field(1, field(1, b"audio") + field(2, feature)))


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", tfrecord._masked_crc32c(length)) + record + bytes(4)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_a_record_that_is_not_finite_costs_itself(tmp_path: Path, bad: str) -> None:
    values = np.zeros((4, 80), np.float32)
    good = example(values)
    values[2, 5] = float(bad)
    path = tmp_path / "a.tfrec"
    path.write_bytes(zlib.compress(framed(good) + framed(example(values)) + framed(good)))
    first, second, third = tfrecord.read_log_mels(path)
    assert "NaN or infinite" in str(second)
    np.testing.assert_array_equal(first, third)


def expanded(kind: str) -> Iterator[bytes]:
    """What shrinks a thousandfold."""
    if kind == "records":
        record = framed(example(np.zeros((100, 80), np.float32)))
        for _ in range(2400):
            yield record
    elif kind == "one record":
        length = struct.pack("<Q", 10**9)
        yield length + struct.pack("<I", tfrecord._masked_crc32c(length))
    yield bytes(200 << 20)


@pytest.mark.parametrize("kind", ["records", "one record", "zeros"])
def test_a_small_file_that_expands_without_end_is_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tfrec"
    stream = zlib.compressobj(1)
    path.write_bytes(b"".join(map(stream.compress, expanded(kind))) + stream.flush())
    assert path.stat().st_size < 2 << 20
    tracemalloc.start()
    outcomes = encode_source(*find_sources([path], "tfrecord"), Options("tfrecord"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 << 20
    assert any(word in outcomes[-1].reason for word in ("expands to more than", "are read", "wrong checksum"))


# Sounds


def test_a_file_that_changes_while_data_are_prepared_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.wav", tone(0.3))
    (source,) = find_sources([path])
    decode = sources.read_sound

    def replaced(*arguments: object) -> object:
        sound = decode(*arguments)
        write(path, tone(0.4))
        return sound

    monkeypatch.setattr(sources, "read_sound", replaced)
    with pytest.raises(ChangedSource, match=r"a\.wav: was changed while the data were prepared"):
        encode_source(source, Options())


def test_what_is_doubtful_is_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, sound = tmp_path / "sounds", tone(0.5)
    write(folder / "anti\x1b[2J.wav", np.stack([sound, -sound], axis=1))
    write(folder / "good.wav", sound)
    cut = write(folder / "cut.wav", sound)
    cut.write_bytes(cut.read_bytes()[:8000])
    write(folder / "._good.wav", sound)
    (folder / "linked").symlink_to(folder)
    assert main([str(folder), "--out", str(tmp_path / "data"), "--workers", "1"]) == 0
    out, error = capsys.readouterr()
    assert " 3 clips, " in out
    assert error.count("warning: ") == 2
    assert "anti\\x1b[2J.wav: its channels cancel each other" in error
    assert "cut.wav: ends after 0.249 s" in error
    listed = (tmp_path / "data" / "remarks.txt").read_text().splitlines()
    assert [line.partition("\t")[0] for line in listed] == ["anti\\x1b[2J.wav", "cut.wav"]
    (first, *_) = encode_source(*find_sources([cut]), Options())
    assert isinstance(first, Remark)


@pytest.mark.parametrize("damage", ["{}", DEEP, "[]", '{"shard": 3}', None])
def test_a_damaged_report_or_shard_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str | None
) -> None:
    folder, out, options = (
        write_tones(tmp_path / "sounds", [0.2] * 5),
        tmp_path / "out",
        Options(shard_clips=2),
    )
    found = find_sources([folder])
    with monkeypatch.context() as patch:
        patch.setattr(ShardSequence, "finish", lambda self: None)
        prepare([folder], out, options=options, workers=1)
    assert not list((out / "progress").glob("shard.partial"))
    if damage is None:
        flip(out / "clips-00001.array_record", 100)
    else:
        (out / "progress" / "00001.json").write_text(damage)
    assert len(ShardSequence(out, found, options).reports) == 1
    prepare([folder], out, options=options, workers=1)
    assert verify(out).clips == 5


# Pictures


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (10_001, 10_000), (MOST_PIXELS + 1, 1)])
def test_a_picture_of_any_size_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(
        png_header(*size) + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    )
    tracemalloc.start()
    with pytest.raises(UserError, match=r"pixels|cannot be decoded as a picture"):
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_greys_of_16_bits_keep_their_shades(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 224).astype(np.uint16), (224, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray((ramp // 257).astype(np.uint8)).save(tmp_path / "flat.png")
    deep, flat = (read_image(tmp_path / name) for name in ("deep.png", "flat.png"))
    np.testing.assert_allclose(deep, flat, atol=1.01 / 255)


def test_pictures_of_the_system_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", ".Trash-1000/b.png", "__MACOSX/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path) == [tmp_path / "a.png"]


# Checkpoints, logs and notes of a run


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    for name in ("state/d/a", "state/b", "data/c"):
        (tmp_path / "5" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "5" / name).write_bytes(name.encode())
    seal(tmp_path / "5")
    assert find_damage(tmp_path / "5") == ""
    return tmp_path / "5"


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", "", DEEP, '{"state/b": 1}', '{"state": "", "data": ""}', "\xff", '"state data"'],
)
def test_an_empty_or_odd_seal_seals_nothing(sealed: Path, text: str) -> None:
    (sealed / "sha256.json").write_bytes(text.encode("latin-1"))
    assert find_damage(sealed)


def test_a_seal_covers_every_file(sealed: Path) -> None:
    sums = json.loads((sealed / "sha256.json").read_text())
    partial = {name: digest for name, digest in sums.items() if name != "state/d/a"}
    (sealed / "sha256.json").write_text(json.dumps(partial))
    assert find_damage(sealed) == "state/d/a is damaged"
    (sealed / "sha256.json").write_text(json.dumps(sums))
    (sealed / "state" / "new").touch()
    assert find_damage(sealed) == "state/new is damaged"
    (sealed / "state" / "new").unlink()
    (sealed / "state" / "b").unlink()
    assert find_damage(sealed) == "state/b is missing"


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        "{}",
        "[]",
        '{"train": [], "data_hash": ""}',
        '{"train": {"model": {}, "batch_size": "8"}}',
        "\xff",
    ],
)
def test_settings_of_another_shape_are_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="not the settings of a run"):
        read_config(tmp_path, TrainConfig)


def test_a_log_that_cannot_be_read_is_set_aside_and_what_can_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    bad = [b"\xff\xfe", b"{", b"[1]", b'{"step": "3"}', b'{"step": 1e400}', DEEP.encode()]
    lines = [
        b'{"step": 1, "loss": 0.5}',
        *bad,
        b'{"step": 2, "loss": "x"}',
        b'{"step": 3, "loss": 0.25}',
        b'{"st',
    ]
    whole = b"\n".join(lines)
    path.write_bytes(whole)
    assert loss_curve(path, 9) == [(1, 0.5), (3, 0.25)]
    with pytest.warns(UserWarning, match=r"log\.jsonl: 6 lines of it cannot be read.*log\.jsonl\.damaged1"):
        truncate_log(path, 2)
    assert path.read_bytes() == b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": "x"}\n'
    assert (tmp_path / "log.jsonl.damaged1").read_bytes() == whole


def test_a_log_with_other_line_ends_is_not_emptied(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\r{"step": 2}\r')
    with pytest.warns(UserWarning, match="1 lines of it cannot be read"):
        truncate_log(path, 2)
    assert (tmp_path / "log.jsonl.damaged1").read_bytes() == b'{"step": 1}\r{"step": 2}\r'
    path.write_bytes(b'{"step": 1}\r\n{"step": 2}\r\n')
    truncate_log(path, 2)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize("text", ["{", "[]", "{}", DEEP, '{"starts": 3}', '{"starts": [1]}', "\xff"])
def test_notes_of_starts_that_cannot_be_read_are_set_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.warns(UserWarning, match=r"run\.json: is not the list.*kept as run\.json\.damaged1"):
        assert public_starts(tmp_path) == []
    assert (tmp_path / "run.json.damaged1").exists()


def test_an_append_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    files.append_line(path, '{"step": 1}')

    class Full:
        """A file on a disk with room for three bytes more."""

        def __init__(self, file: object) -> None:
            self._file, self._left = file, 3

        def write(self, content: bytes) -> int:
            if not self._left:
                raise OSError(28, "No space left on device")
            written, self._left = self._file.write(content[: self._left]), 0
            return written

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    opened = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, *args, **options: Full(opened(self, *args, **options)))
        with pytest.raises(OSError, match="No space left"):
            files.append_line(path, '{"step": 2}')
    assert path.read_text() == '{"step": 1}\n'
    path.write_text('{"step": 1}\n{"st')  # Where not even cutting it off again was possible.
    files.append_line(path, '{"step": 2}')
    assert path.read_text() == '{"step": 1}\n{"st\n{"step": 2}\n'


def test_a_full_disk_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")

    def fill() -> None:
        with files.replacing(tmp_path / "a.json") as temporary:
            temporary.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_names_in_the_table_of_overlaps_are_no_formulas() -> None:
    assert [_cell(value) for value in ("=1+1", "@a", "a=b", -2.5)] == ["'=1+1", "'@a", "a=b", -2.5]
