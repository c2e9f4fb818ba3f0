"""What a folder of prepared data holds: its manifest (JSON), its index of clips (Parquet), their checks."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow
import pyarrow.compute
from pyarrow import parquet

from hear_mwmae.config import FRONT_END_BANDS
from hear_mwmae.errors import UserError
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
INDEX_FILE = "index.parquet"
UNREADABLE_FILE = "unreadable.txt"
REMARKS_FILE = "remarks.txt"
PROGRESS_FOLDER = "progress"
SOUND_FRONT_ENDS = ("log_mel_80", "fbank_128")
IMAGE_FRONT_END = "rgb_224"
LONGEST_ID = 65535
ROWS_AT_ONCE = 4096
INDEX_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("shard", pyarrow.int32()),
        ("row", pyarrow.int32()),
        ("frames", pyarrow.int32()),
    ]
)

Made = TypeVar("Made", bound="DataclassInstance")
SIGNED = {"signed": True}
"""Metadata of a field whose number may be negative."""


@dataclass(frozen=True)
class Shard:
    """One ArrayRecord file."""

    file: str
    clips: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Options:
    """What decides the shards' content besides the files.

    Raises:
        UserError: a front end that does not exist, or that the inputs are not for.
    """

    inputs: str = "audio"
    """Sound files ("audio"), pictures ("images"), or log-mels as the release reads them ("tfrecord")."""
    clip_seconds: float = 10.0
    """Length that longer sound files are cut to or below."""
    shard_clips: int = 4096
    front_end: str = SOUND_FRONT_ENDS[0]
    """Of sound; pictures have their own."""

    def __post_init__(self) -> None:
        if self.front_end not in SOUND_FRONT_ENDS:
            raise UserError(
                f"There is no front end {self.front_end!r} of sound; use one of "
                f"{', '.join(SOUND_FRONT_ENDS)}."
            )
        if self.inputs != "audio" and self.front_end != SOUND_FRONT_ENDS[0]:
            raise UserError(
                f"--front-end {self.front_end} is computed from sound files, which --{self.inputs} does not "
                "read: leave out one of the two."
            )

    @property
    def stored(self) -> str:
        """Front end of what is stored, as in `ModelConfig.front_end`."""
        return IMAGE_FRONT_END if self.inputs == "images" else self.front_end

    @property
    def hashed(self) -> str:
        """What the hash of the inputs is of: as it was when there was one front end, where it is that one."""
        text = (
            f"Options(inputs={self.inputs!r}, clip_seconds={self.clip_seconds!r}, "
            f"shard_clips={self.shard_clips!r}"
        )
        other = "" if self.front_end == SOUND_FRONT_ENDS[0] else f", front_end={self.front_end!r}"
        return f"{text}{other})"


@dataclass(frozen=True)
class Manifest:
    """A folder of prepared data."""

    directory: Path
    front_end: str
    """Name of the front end as in `ModelConfig.front_end`."""
    bands: int
    hop_ms: float
    clips: int
    hours: float
    """Length of the sound: of n frames n - 1 hops, in fbank_128 and the length of a frame; 0 of pictures."""
    shards: tuple[Shard, ...]
    index: Shard
    content_sha256: str
    """Of the sorted clip ids and the SHA-256 of their float16 values: the same however they are sharded."""
    largest_float16_error: float
    """Largest absolute difference of a stored value from its float32 original, in units of log power."""
    rms_float16_error: float
    unreadable: int
    """Files (or TFRecord records) that could not be read; `unreadable.txt` lists them with the reason."""
    options: Options
    input_files: int
    inputs_sha256: str
    """Of the options and of every input file's id, size and time of change."""
    format: int = field(default=FORMAT_VERSION)
    feature_mean: float = field(default=0.0, metadata=SIGNED)
    """Mean of all stored values of all frames."""
    feature_std: float = 0.0
    """Their population standard deviation; 0 of constant data, and of data prepared before it was taken."""

    def to_json(self) -> str:
        """Write everything but the folder's own path as indented JSON."""
        values = dataclasses.asdict(self)
        del values["directory"]
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def path(self, shard: Shard) -> Path:
        """Where a shard, or the index, lies."""
        return self.directory / shard.file


def read_manifest(directory: Path | str) -> Manifest:
    """Read the manifest of a folder, and check that its files are there and have their sizes.

    Raises:
        UserError: no finished preparation, a damaged or newer manifest, a file missing or of another size.
    """
    directory = Path(directory)
    manifest = _parse(directory, _manifest_values(directory))
    for shard in (*manifest.shards, manifest.index):
        path = manifest.path(shard)
        if not path.is_file():
            raise UserError(
                f"{printable(path)}: is missing, though {MANIFEST_FILE} lists it; restore or prepare it "
                "again."
            )
        if path.stat().st_size != shard.bytes:
            raise UserError(
                f"{printable(path)}: has {path.stat().st_size} bytes, not the {shard.bytes} of "
                f"{MANIFEST_FILE}; restore it or prepare the data again."
            )
    if sum(shard.clips for shard in manifest.shards) != manifest.clips:
        raise UserError(
            f"{printable(directory / MANIFEST_FILE)}: the shards' clips do not add up; prepare the data "
            "again."
        )
    return manifest


def _manifest_values(directory: Path) -> Any:
    name, path = printable(directory), directory / MANIFEST_FILE
    if not directory.is_dir():
        raise UserError(f"{name}: there is no such folder of prepared data; correct the path.")
    if path.is_file():
        return read_json(path)
    if (directory / PROGRESS_FOLDER).is_dir():
        raise UserError(f"{name}: its preparation is not finished; run the same prepare command again.")
    raise UserError(f"{name}: holds no {MANIFEST_FILE}; make it with `hear-mwmae prepare`.")


def _parse(directory: Path, values: Any) -> Manifest:
    name = printable(directory / MANIFEST_FILE)
    version = values.get("format") if isinstance(values, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise UserError(f"{name}: has the newer format {version}; update this package.")
    try:
        shards = tuple(parse_shard(shard) for shard in values["shards"])
        nested = {
            "directory": directory,
            "shards": shards,
            "index": parse_shard(values["index"]),
            "options": checked_fields(Options, values["options"]),
        }
        manifest = checked_fields(Manifest, values | nested)
        if not shards or manifest.bands != FRONT_END_BANDS.get(manifest.front_end):
            raise ValueError("no shards, or bands of another front end")
        return manifest
    except (TypeError, KeyError, AttributeError, ValueError):
        raise UserError(f"{name}: is no manifest of prepared data; prepare the data again.") from None


def parse_shard(values: Any) -> Shard:
    """Read what a manifest or a report says of one file.

    Raises:
        ValueError, TypeError, KeyError: it is not that, or the file would lie elsewhere.
    """
    shard = checked_fields(Shard, values)
    if Path(shard.file).name != shard.file or not re.fullmatch("[0-9a-f]{64}", shard.sha256):
        raise ValueError("no name of a file beside this one, or no SHA-256")
    return shard


def checked_fields(kind: type[Made], values: Any) -> Made:
    """Make a dataclass of values whose types are those of its fields.

    Numbers are finite, and not negative unless the field's metadata are `SIGNED`.

    Raises:
        ValueError, TypeError, KeyError: they are not, or there are too many or too few.
    """
    for entry in dataclasses.fields(kind):
        value = values.get(entry.name, entry.default)
        allowed = (int, float) if entry.type is float else (entry.type,)
        if entry.type in (int, float, str) and type(value) not in allowed:
            raise TypeError(f"{entry.name} is no {entry.type.__name__}")
        signed = entry.metadata.get("signed", False)
        if type(value) in (int, float) and not 0 <= (abs(value) if signed else value) < float("inf"):
            raise ValueError(f"{entry.name} is negative or infinite")
    return kind(**values)


def damaged_files(manifest: Manifest) -> list[Path]:
    """Read every byte and return the files whose SHA-256 is not the manifest's."""
    files = (*manifest.shards, manifest.index)
    return [path for file in files if file_sha256(path := manifest.path(file)) != file.sha256]


def read_index(manifest: Manifest) -> pyarrow.Table:
    """Read the index: id, shard (position in `manifest.shards`), row in the shard and frames of every clip.

    Raises:
        UserError: a damaged index, or one that does not fit the manifest.
    """
    path = manifest.path(manifest.index)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.index.sha256:
        raise UserError(f"{printable(path)}: is damaged; prepare the data again.")
    try:
        table = _index_table(content, manifest)
    except (pyarrow.ArrowException, OSError):
        raise UserError(f"{printable(path)}: is damaged; prepare the data again.") from None
    if table is None or not _fits(table, manifest):
        raise UserError(
            f"{printable(path)}: does not list the {manifest.clips} clips of the manifest; prepare it again."
        )
    return table


def _index_table(content: bytes, manifest: Manifest) -> pyarrow.Table | None:
    """The index in parts, so that one with clips or ids without end is noticed in time."""
    file = parquet.ParquetFile(pyarrow.BufferReader(content))
    if file.schema_arrow != INDEX_SCHEMA or file.metadata.num_rows != manifest.clips:
        return None
    parts = []
    for part in file.iter_batches(ROWS_AT_ONCE):
        longest = pyarrow.compute.max(pyarrow.compute.binary_length(part["id"])).as_py()
        if part["id"].null_count or (longest or 0) > LONGEST_ID:
            return None
        parts.append(part)
    return pyarrow.Table.from_batches(parts, INDEX_SCHEMA)


def _fits(table: pyarrow.Table, manifest: Manifest) -> bool:
    """Whether every record of every shard is one clip."""
    counts = np.array([shard.clips for shard in manifest.shards])
    shards, rows, frames = (table[name].to_numpy() for name in ("shard", "row", "frames"))
    if any(table[name].null_count for name in table.column_names) or len(table) != counts.sum():
        return False
    places = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate([*map(np.arange, counts)])])
    found = np.stack([shards, rows])
    found = found[:, np.lexsort(found[::-1])]
    return bool(np.array_equal(found, places) and frames.min(initial=1) >= 1)


def describe_file(path: Path, clips: int) -> Shard:
    """Size and SHA-256 of a written file."""
    return Shard(path.name, clips, path.stat().st_size, file_sha256(path))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(clips: Sequence[tuple[str, str]]) -> str:
    """Hash (id, SHA-256 of the values) pairs in the order of the ids."""
    digest = hashlib.sha256()
    for clip_id, values in sorted(clips):
        digest.update(f"{clip_id}\n{values}\n".encode())
    return digest.hexdigest()
