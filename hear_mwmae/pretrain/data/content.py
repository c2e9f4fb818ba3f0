"""Whether prepared data are still what their manifest says: before they are used, while, and on demand."""

import hashlib
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hear_mwmae.errors import UserError
from hear_mwmae.files import Signature, signature, write_text
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.log_mel import mean_and_std
from hear_mwmae.pretrain.data.manifest import (
    Manifest,
    content_sha256,
    damaged_files,
    file_sha256,
    read_index,
    read_manifest,
)
from hear_mwmae.pretrain.data.records import DecodedClip, ShardReader, check_finite

CHECKED_FILE = "checked.json"


class CheckedContent:
    """The shards of prepared data, read once and compared with the manifest.

    What was found right is noted in `checked.json` beside them with size and times of every file, so that it
    is not read again for the next run; where the folder cannot be written to, it is.

    Raises:
        UserError: a shard is not the one that was prepared.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._signatures: dict[Path, Signature] = {}
        known = _noted(manifest.directory / CHECKED_FILE)
        total = sum(shard.bytes for shard in manifest.shards)
        with tqdm(total=total, desc="checking", unit="B", unit_scale=True, leave=False, disable=None) as bar:
            for shard in manifest.shards:
                path = manifest.path(shard)
                before = signature(path)
                if known.get(shard.file) != [shard.sha256, *before] and file_sha256(path) != shard.sha256:
                    raise _damaged([path], len(manifest.shards))
                self._signatures[path] = before
                bar.update(shard.bytes)
        self.check_unchanged()
        if known != (now := self._notes()):
            try:
                write_text(manifest.directory / CHECKED_FILE, json.dumps(now, indent=1))
            except OSError:
                return  # A folder of others, or a full disk.

    def check_unchanged(self) -> None:
        """Find what was written to, or replaced, since it was compared.

        Raises:
            UserError: a shard has changed.
        """
        for path, before in self._signatures.items():
            if not path.is_file() or signature(path) != before:
                raise UserError(
                    f"{printable(path)}: was changed while it was in use; restore it, or prepare the data "
                    "again into a new folder."
                )

    def _notes(self) -> dict[str, list[object]]:
        shards = self._manifest.shards
        return {shard.file: [shard.sha256, *self._signatures[self._manifest.path(shard)]] for shard in shards}


def _noted(path: Path) -> dict[str, object]:
    try:
        noted = read_json(path)
    except (OSError, UserError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _damaged(paths: list[Path], files: int) -> UserError:
    listed = "\n  ".join(map(printable, paths))
    return UserError(
        f"{len(paths)} of {files} files are damaged or replaced; restore them, or prepare the data again "
        f"into a new folder:\n  {listed}"
    )


def verify(directory: Path | str) -> Manifest:
    """Read every byte of a folder of prepared data, and compare files, clips and content with the manifest.

    Raises:
        UserError: what `read_manifest` raises, a list of the damaged files, or a clip that was another.
    """
    manifest = read_manifest(directory)
    if damaged := damaged_files(manifest):
        raise _damaged(damaged, len(manifest.shards) + 1)
    index = read_index(manifest)
    reader = ShardReader(
        [manifest.path(shard) for shard in manifest.shards], [shard.clips for shard in manifest.shards]
    )
    clips = []
    for shard, row, frames, name in zip(
        *(index[column].to_pylist() for column in ("shard", "row", "frames", "id")), strict=True
    ):
        clip = reader.read(shard, row, frames=frames)
        if problem := _problem(clip, name, manifest.bands):
            path = manifest.path(manifest.shards[shard])
            raise UserError(f"{printable(path)}: record {row} {problem}; prepare the data again.")
        clips.append((clip.id, hashlib.sha256(clip.log_mel.tobytes()).hexdigest()))
    if content_sha256(clips) != manifest.content_sha256:
        raise UserError(
            f"{printable(directory)}: the content hash of the manifest is not that of the clips; prepare the "
            "data again."
        )
    return manifest


def _problem(clip: DecodedClip, name: str, bands: int) -> str:
    if clip.id != name:
        return f"is {printable(clip.id)!r}, not {printable(name)!r} as in the index"
    if clip.log_mel.shape[1] != bands:
        return f"has {clip.log_mel.shape[1]} bands, not {bands}"
    try:
        check_finite(clip.log_mel)
    except ValueError as error:
        return str(error)
    if (np.float32(clip.mean), np.float32(clip.std)) != mean_and_std(clip.log_mel.astype(np.float32)):
        return "states another mean or deviation than its values have"
    return ""
