"""The content-addressed store of embeddings: computed once, shared by runs, never read half-written.

`<store>/<key>/` holds one float32 `<split>.npy` per split (row i belongs to clip i of the split's JSON) and
`entry.json`, which says what they are; `times.json` says how long they took. The key is a hash of everything
that the values depend on. Of a task of events a row is a frame, and `<split>.frames.npz` says when each is
and which clip it belongs to. `sha256.json` has the SHA-256 of each of these arrays as it was written; what
has none, as in entries of early versions, does not count as stored.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from jaxtyping import Float, Int

from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.models.marks import FileState, file_state, mark_file
from tasks import Task, TaskError
from tasks.json_files import read_json

ENTRY_FILE = "entry.json"
TIMES_FILE = "times.json"
DIGESTS_FILE = "sha256.json"


@dataclass(frozen=True)
class Frames:
    """The frames of a split's clips: a read-only map of embeddings, times, and where each clip's begin.

    Clip i of the split's JSON has the rows boundaries[i] to boundaries[i + 1] - 1; timestamps are in ms and
    ascend within a clip.
    """

    embeddings: Float[np.ndarray, "frames dim"]
    timestamps: Float[np.ndarray, " frames"]
    boundaries: Int[np.ndarray, " clips_and_1"]


@dataclass(frozen=True)
class EmbeddingTime:
    """What embedding took: clips, seconds of wall time, and on which machines.

    `sound` is the length of all clips in seconds, `flops` the model's floating-point operations (see
    `HearModel.flops`); None where they are not known.
    """

    clips: int
    seconds: float
    hardware: Sequence[Mapping[str, Any]]
    sound: float | None = None
    flops: float | None = None

    @property
    def clips_per_second(self) -> float:
        """Clips through wall time."""
        return self.clips / self.seconds

    @property
    def flops_per_second_of_sound(self) -> float | None:
        """What the model computes for a second of sound."""
        return self.flops / self.sound if self.flops is not None and self.sound else None


def summed(times: Sequence[EmbeddingTime]) -> EmbeddingTime:
    """Return what embedding took in all; `sound` and `flops` are known where each of them is."""
    machines = [machine for time in times for machine in time.hardware]
    return EmbeddingTime(
        clips=sum(time.clips for time in times),
        seconds=sum(time.seconds for time in times),
        hardware=[machine for i, machine in enumerate(machines) if machine not in machines[:i]],
        sound=sum_if_known([time.sound for time in times]),
        flops=sum_if_known([time.flops for time in times]),
    )


def sum_if_known(numbers: Sequence[float | None]) -> float | None:
    """Return the sum of the numbers, None where any of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


class StoreEntry:
    """The embeddings of one task by one model."""

    def __init__(self, store: Path, identity: Mapping[str, Any], files: Mapping[str, str] | None = None):
        """`identity` is all that the values depend on; its hash is the key, `entry.json` keeps it.

        `files` has the SHA-256 of every file of the task when the key was made, where that is known.
        """
        self.identity = dict(identity)
        self.files = files
        canonical = json.dumps(self.identity, sort_keys=True)
        self.key = hashlib.sha256(canonical.encode()).hexdigest()[:24]
        self.path = Path(store) / self.key
        self._intact: dict[str, FileState] = {}
        self._content: dict[tuple[str, ...], str] = {}

    def has(self, split: str, rows: int, dim: int) -> bool:
        """Say whether the embeddings of a split are there, whole and of this shape."""
        name = f"{split}.npy"
        try:
            array = np.load(self.path / name, mmap_mode="r")
            return array.shape == (rows, dim) and array.dtype == "<f4" and name in self.digests()
        except (OSError, ValueError, EOFError):
            return False

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 (hex) of every array that was stored, by its file's name."""
        try:
            found = read_json(self.path / DIGESTS_FILE, max_bytes=1 << 20)
        except (OSError, TaskError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            name: digest
            for name, digest in found.items()
            if isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        }

    def content(self, splits: Iterable[str]) -> str:
        """Return the SHA-256 (hex) over all arrays of these splits, "" while any is missing.

        It is of the numbers and of nothing else: whatever made them, fits on them are the same.
        """
        key = tuple(splits)
        if key not in self._content:
            known = self.digests()
            files = sorted(file for split in key for file in self.files_of(split))
            if not all(file in known and (self.path / file).is_file() for file in files):
                return ""
            lines = "".join(f"{file} {known[file]}\n" for file in files)
            self._content[key] = hashlib.sha256(lines.encode()).hexdigest()
        return self._content[key]

    def files_of(self, split: str) -> list[str]:
        """Return the names of the files that hold a split."""
        event = self.identity.get("embedding") == "event"
        return [f"{split}.npy", *([f"{split}.frames.npz"] if event else [])]

    def check(self, name: str, *, again: bool = False) -> None:
        """Make sure that an array is the one that was written; hashed once while its file stays as it is.

        Raises EvaluationError, naming the file, when it is not, or nothing says what was written.
        """
        path = self.path / name
        state = file_state(path)
        if state is not None and self._intact.get(name) == state and not again:
            return
        remedy = "delete that file, and the run's command embeds the split again"
        if (digest := self.digests().get(name)) is None:
            raise EvaluationError(f"{path} has no SHA-256 in {DIGESTS_FILE} beside it; {remedy}")
        try:
            mark = mark_file(path)
        except OSError as error:
            raise EvaluationError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
        if mark.digest.hex() != digest:
            raise EvaluationError(f"{path} is not what was stored: its SHA-256 is another; {remedy}")
        self._intact[name] = mark.state

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the entry, waiting for any other process that fills it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            write_atomically(self.path / ENTRY_FILE, json.dumps(self.identity, indent=1, sort_keys=True))
            yield

    def note_time(self, split: str, time: EmbeddingTime) -> None:
        """Keep what embedding a split took, reading its clips included."""
        times = self._times() | {split: time}
        content = {name: asdict(one) for name, one in times.items()}
        write_atomically(self.path / TIMES_FILE, json.dumps(content, indent=1))

    def embedding_time(self, splits: Iterable[str]) -> EmbeddingTime | None:
        """Return what embedding these splits took; None when that of any is not known."""
        times = self._times()
        if not all(split in times for split in splits):
            return None
        return summed([times[split] for split in splits])

    def _times(self) -> dict[str, EmbeddingTime]:
        try:
            found = read_json(self.path / TIMES_FILE, max_bytes=1 << 20)
            times = {split: EmbeddingTime(**one) for split, one in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
        return {split: time for split, time in times.items() if _is_time(time)}

    @contextlib.contextmanager
    def writer(self, split: str, rows: int, dim: int) -> Iterator["RowWriter"]:
        """Yield a writer for one split, which appears in the store when the block ends well."""
        with self._replacing(f"{split}.npy") as file:
            _write_header(file, rows, dim)
            yield RowWriter(file)

    @contextlib.contextmanager
    def frame_writer(self, split: str, dim: int) -> Iterator["FrameWriter"]:
        """Yield a writer for one split of frames, which appears in the store when the block ends well."""
        with self._replacing(f"{split}.npy") as file:
            _write_header(file, 0, dim)
            writer = FrameWriter(file)
            yield writer
            timestamps = np.concatenate([np.zeros(0), *writer.timestamps])
            file.seek(0)
            _write_header(file, len(timestamps), dim)
            with self._replacing(f"{split}.frames.npz") as frames:
                np.savez(frames, timestamps=timestamps, boundaries=np.cumsum([0, *writer.lengths]))

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[BinaryIO]:
        """Yield a file that takes the name when it is written whole and safely on disk; then its digest."""
        temporary = self.path / f".{name}.tmp"
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            digest = mark_file(temporary).digest.hex()
            if name in (digests := self.digests()):
                self._write_digests({other: one for other, one in digests.items() if other != name})
            os.replace(temporary, self.path / name)
            self._write_digests({**self.digests(), name: digest})
        finally:
            temporary.unlink(missing_ok=True)

    def _write_digests(self, digests: Mapping[str, str]) -> None:
        self._content.clear()
        write_atomically(self.path / DIGESTS_FILE, json.dumps(digests, indent=1, sort_keys=True))

    def read(self, split: str) -> Float[np.ndarray, "clips dim"]:
        """Return a read-only memory map of one split; EvaluationError when it is not what was stored."""
        self.check(f"{split}.npy")
        return np.load(self.path / f"{split}.npy", mmap_mode="r")

    def has_frames(self, split: str, clips: int, dim: int) -> bool:
        """Say whether the frames of a split are there, whole, of so many clips and of this width."""
        if f"{split}.frames.npz" not in self.digests():
            return False
        try:
            timestamps, boundaries = self._times_of_frames(split)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return False
        rows = len(timestamps)
        whole = len(boundaries) == clips + 1 and boundaries[-1] == rows
        return whole and self.has(split, rows, dim)

    def read_frames(self, split: str) -> Frames:
        """Return one split of a task of events; EvaluationError when it is not what was stored."""
        self.check(f"{split}.frames.npz")
        return Frames(self.read(split), *self._times_of_frames(split))

    def _times_of_frames(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        with open(self.path / f"{split}.frames.npz", "rb") as file, np.load(file) as arrays:
            return arrays["timestamps"], arrays["boundaries"]


def _is_time(time: EmbeddingTime) -> bool:
    """Whether what stood in times.json has the types that are reckoned with."""
    optional = [value for value in (time.sound, time.flops) if value is not None]
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (time.seconds, *optional))
    machines = isinstance(time.hardware, list) and all(isinstance(one, dict) for one in time.hardware)
    return type(time.clips) is int and numbers and time.seconds > 0 and machines


def _write_header(file: BinaryIO, rows: int, dim: int) -> None:
    """Write the header of an array file; its length is the same for any number of rows."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, header)


class RowWriter:
    """Appends rows to a split that is being written.

    A plain file and not a memory map: a full disk is then an error that can be told, not a bus error.
    """

    def __init__(self, file: BinaryIO):
        self._file = file

    def append(self, rows: Float[np.ndarray, "rows dim"]) -> None:
        """Write the next rows."""
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)


class FrameWriter(RowWriter):
    """Appends the frames of clip after clip, and keeps their times."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.timestamps: list[np.ndarray] = []
        self.lengths: list[int] = []

    def append_clips(
        self, embeddings: Float[np.ndarray, "clips frames dim"], timestamps: Float[np.ndarray, "clips frames"]
    ) -> None:
        """Write the frames of the next clips, which all have the same number of them."""
        for rows, times in zip(embeddings, timestamps, strict=True):
            self.append(rows)
            self.timestamps.append(times)
            self.lengths.append(len(times))


@dataclass(frozen=True)
class Imported:
    """One task's embeddings from a tree, in the store; `model` is the name of the folder above the task's."""

    model: str
    task: Task
    entry: StoreEntry
