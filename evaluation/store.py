"""The content-addressed store of embeddings: computed once, shared by runs, never read half-written.

`<store>/<key>/` holds one float32 `<split>.npy` per split (row i belongs to clip i of the split's JSON) and
`entry.json`, which says what they are. The key is a hash of everything that the values depend on.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from jaxtyping import Float

from evaluation.files import write_atomically

ENTRY_FILE = "entry.json"


def cache_directory() -> Path:
    """Return where embeddings, resampled clips and sample tasks are kept between runs.

    `$HEAR_MWMAE_CACHE` if set, else the user's cache folder of the operating system.
    """
    if chosen := os.environ.get("HEAR_MWMAE_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hear-mwmae"


class StoreEntry:
    """The embeddings of one task by one model."""

    def __init__(self, store: Path, identity: Mapping[str, Any]):
        """`identity` is all that the values depend on; its hash is the key, `entry.json` keeps it."""
        self.identity = dict(identity)
        canonical = json.dumps(self.identity, sort_keys=True)
        self.key = hashlib.sha256(canonical.encode()).hexdigest()[:24]
        self.path = Path(store) / self.key

    def has(self, split: str, rows: int, dim: int) -> bool:
        """Say whether the embeddings of a split are there, whole and of this shape."""
        path = self.path / f"{split}.npy"
        try:
            return np.load(path, mmap_mode="r").shape == (rows, dim)
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the entry, waiting for any other process that fills it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            write_atomically(self.path / ENTRY_FILE, json.dumps(self.identity, indent=1, sort_keys=True))
            yield

    @contextlib.contextmanager
    def writer(self, split: str, rows: int, dim: int) -> Iterator["RowWriter"]:
        """Yield a writer for one split, which appears in the store when the block ends well."""
        temporary = self.path / f".{split}.tmp"
        try:
            with open(temporary, "wb") as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
                np.lib.format.write_array_header_1_0(file, header)
                yield RowWriter(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / f"{split}.npy")
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, split: str) -> Float[np.ndarray, "clips dim"]:
        """Return a read-only memory map of one split."""
        return np.load(self.path / f"{split}.npy", mmap_mode="r")


class RowWriter:
    """Appends rows to a split that is being written.

    A plain file and not a memory map: a full disk is then an error that can be told, not a bus error.
    """

    def __init__(self, file: BinaryIO):
        self._file = file

    def append(self, rows: Float[np.ndarray, "rows dim"]) -> None:
        """Write the next rows."""
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)
