"""The content-addressed store of embeddings: computed once, shared by runs, never read half-written.

`<store>/<key>/` holds one float32 `<split>.npy` per split (row i belongs to clip i of the split's JSON) and
`entry.json`, which says what they are. The key is a hash of everything that the values depend on.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
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

    def has(self, split: str) -> bool:
        """Say whether the embeddings of a split are there, whole."""
        return (self.path / f"{split}.npy").is_file()

    def create(self, split: str, rows: int, dim: int) -> "PendingSplit":
        """Return a writer for one split's embeddings; they appear in the store when it is committed."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / ENTRY_FILE, json.dumps(self.identity, indent=1, sort_keys=True))
        return PendingSplit(self.path / f"{split}.npy", rows, dim)

    def read(self, split: str) -> Float[np.ndarray, "clips dim"]:
        """Return a read-only memory map of one split."""
        return np.load(self.path / f"{split}.npy", mmap_mode="r")


class PendingSplit:
    """Embeddings that are being written, under a temporary name in the same folder."""

    def __init__(self, target: Path, rows: int, dim: int):
        self._target = target
        self._temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp")
        self.rows = np.lib.format.open_memmap(self._temporary, "w+", np.float32, (rows, dim))

    def commit(self) -> None:
        """Flush to the disk and rename to the final name."""
        self.rows.flush()
        del self.rows
        os.replace(self._temporary, self._target)

    def discard(self) -> None:
        """Remove what was written so far."""
        del self.rows
        self._temporary.unlink(missing_ok=True)
