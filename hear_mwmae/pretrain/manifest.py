"""What a folder of prepared data holds: its manifest (JSON), its index of clips (Parquet), their checks."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow
from pyarrow import parquet

from hear_mwmae.errors import UserError

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
INDEX_FILE = "index.parquet"
UNREADABLE_FILE = "unreadable.txt"
PROGRESS_FOLDER = "progress"
INDEX_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("shard", pyarrow.int32()),
        ("row", pyarrow.int32()),
        ("frames", pyarrow.int32()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """One ArrayRecord file."""

    file: str
    clips: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Options:
    """What decides the shards' content besides the files."""

    inputs: str = "audio"
    """Sound files ("audio"), pictures ("images"), or log-mels as the release reads them ("tfrecord")."""
    clip_seconds: float = 10.0
    """Length that longer sound files are cut to or below."""
    shard_clips: int = 4096


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
    """Length of the sound, a clip of n frames counting n - 1 hops; 0 of pictures."""
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
    manifest = _parse(directory, _manifest_text(directory))
    for shard in (*manifest.shards, manifest.index):
        path = manifest.path(shard)
        if not path.is_file():
            raise UserError(
                f"{path}: is missing, though {MANIFEST_FILE} lists it; restore or prepare it again."
            )
        if path.stat().st_size != shard.bytes:
            raise UserError(
                f"{path}: has {path.stat().st_size} bytes, not the {shard.bytes} of {MANIFEST_FILE}; "
                "restore it or prepare the data again."
            )
    if sum(shard.clips for shard in manifest.shards) != manifest.clips:
        raise UserError(
            f"{directory / MANIFEST_FILE}: the shards' clips do not add up; prepare the data again."
        )
    return manifest


def _manifest_text(directory: Path) -> str:
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such folder of prepared data; correct the path.")
    try:
        return (directory / MANIFEST_FILE).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{directory / MANIFEST_FILE}: is not text; prepare the data again.") from None
    except FileNotFoundError:
        if (directory / PROGRESS_FOLDER).is_dir():
            raise UserError(
                f"{directory}: its preparation is not finished; run the same prepare command again."
            ) from None
        raise UserError(
            f"{directory}: holds no {MANIFEST_FILE}; make it with `python -m hear_mwmae.pretrain.prepare`."
        ) from None


def _parse(directory: Path, text: str) -> Manifest:
    path = directory / MANIFEST_FILE
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: is not JSON ({error}); prepare the data again.") from None
    version = values.get("format") if isinstance(values, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise UserError(f"{path}: has the newer format {version}; update this package.")
    try:
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        values["index"] = Shard(**values["index"])
        values["options"] = Options(**values["options"])
        return Manifest(directory=directory, **values)
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: is no manifest of prepared data; prepare the data again.") from None


def verify(directory: Path | str) -> Manifest:
    """Read every byte of a folder of prepared data and compare with the manifest's SHA-256.

    Raises:
        UserError: what `read_manifest` raises, or a list of the damaged files.
    """
    manifest = read_manifest(directory)
    files = (*manifest.shards, manifest.index)
    damaged = [str(manifest.path(file)) for file in files if file_sha256(manifest.path(file)) != file.sha256]
    if damaged:
        raise UserError(
            f"{len(damaged)} of {len(files)} files are damaged, restore them or prepare the data again into "
            "a new folder:\n  " + "\n  ".join(damaged)
        )
    return manifest


def read_index(manifest: Manifest) -> pyarrow.Table:
    """Read the index: id, shard (position in `manifest.shards`), row in the shard and frames of every clip.

    Raises:
        UserError: a damaged index, or one that does not fit the manifest.
    """
    path = manifest.path(manifest.index)
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError):
        raise UserError(f"{path}: is damaged; prepare the data again.") from None
    if table.schema != INDEX_SCHEMA or len(table) != manifest.clips:
        raise UserError(
            f"{path}: does not list the {manifest.clips} clips of the manifest; prepare it again."
        )
    return table


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


def write_atomically(path: Path, text: str) -> None:
    """Write a text file such that a reader, or a crash, sees all of it or nothing."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
