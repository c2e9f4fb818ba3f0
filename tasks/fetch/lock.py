"""`tasks.lock.json`: what was installed, and the SHA-256 of every file of it."""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.errors import TaskError
from tasks.format.digest import file_sha256
from tasks.format.task import METADATA_FILE
from tasks.json_files import read_json
from tasks.names import printable
from tasks.work import Progress, run_parallel

LOCK_FILE = "tasks.lock.json"
TASKS_FOLDER = "tasks"
_FORMAT = 1
_SHA256 = re.compile("[0-9a-f]{64}")
_MD5 = re.compile("md5:[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class LockedTask:
    """One installed task: where it came from, what was counted, and its files.

    `source` is the archive's address or path, `checksum` "md5:<hex>" of the archive. `benchmark_clips` is
    what the benchmark's page states (None when unknown), `silent_clips` how many never exceed 3 of 32768.
    `files` maps each path below the task's directory to the SHA-256 (hex) of its bytes.
    """

    source: str
    checksum: str
    clips: int
    benchmark_clips: int | None
    silent_clips: int
    files: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """A file that is "missing", "changed" or "extra"; `path` is relative to the fetched directory."""

    kind: str
    path: str


def read_lock(directory: Path | str) -> dict[str, LockedTask]:
    """Task directory's name -> what was locked, in `directory`; empty when nothing was installed there.

    Raises TaskError when the file is there but not as `write_lock` makes it: it cannot be read, a field is
    missing or of another type, or it lists fewer files than its tasks have.
    """
    file = Path(directory) / LOCK_FILE
    if not os.path.lexists(file):
        return {}
    try:
        content = read_json(file)
        if not isinstance(content, dict) or content.keys() != {"format", "tasks"}:
            raise ValueError("it does not hold a format and tasks")
        if content["format"] != _FORMAT:
            raise TaskError(f"{file} is of another version of this program; use that one.")
        if not isinstance(content["tasks"], dict) or not content["tasks"]:
            raise ValueError("it holds no task")
        return {name: _locked(name, entry) for name, entry in content["tasks"].items()}
    except (ValueError, OSError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else error
        raise TaskError(f"{file} cannot be used ({why}); restore it, or delete it and fetch anew.") from error


def _locked(name: str, entry: Any) -> LockedTask:
    """The entry of one task; raises ValueError when it is not whole."""
    shown = printable(name[:100])
    fields = [field.name for field in dataclasses.fields(LockedTask)]
    if not isinstance(entry, dict) or sorted(entry) != sorted(fields):
        raise ValueError(f"{shown} does not have the fields {', '.join(fields)}")
    task = LockedTask(**entry)
    counts = [task.clips, task.silent_clips, 0 if task.benchmark_clips is None else task.benchmark_clips]
    if any(type(count) is not int or count < 0 for count in counts) or task.silent_clips > task.clips:
        raise ValueError(f"the numbers of clips of {shown} are none")
    if not isinstance(task.source, str) or not _matches(_MD5, task.checksum):
        raise ValueError(f"{shown} has no source with an MD5")
    if not isinstance(task.files, dict) or not all(_matches(_SHA256, sha) for sha in task.files.values()):
        raise ValueError(f"the files of {shown} have no SHA-256")
    for path in (name, *task.files):
        if not path or PurePosixPath(path).as_posix() != path or path[0] == "/" or ".." in path.split("/"):
            raise ValueError(f"{printable(path[:100])!r} in {shown} is no path")
    folders = [path.partition("/")[0] for path in task.files]
    rates = {folder for folder in folders if folder.isdecimal()}
    if METADATA_FILE not in task.files or not rates:
        raise ValueError(f"{METADATA_FILE} or the sound of {shown} is not in it")
    if few := [rate for rate in rates if folders.count(rate) < task.clips]:
        raise ValueError(f"fewer files at {few[0]} Hz than clips of {shown} are in it")
    return task


def _matches(pattern: re.Pattern, text: Any) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def write_lock(directory: Path | str, locked: Mapping[str, LockedTask]) -> None:
    """Write the lock of `directory` under a temporary name and rename it. Raises OSError."""
    file = Path(directory) / LOCK_FILE
    tasks = {name: dataclasses.asdict(locked[name]) for name in sorted(locked)}
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        text = json.dumps({"format": _FORMAT, "tasks": tasks}, indent=1)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def hash_files(folder: Path, *, progress: Progress | None = None) -> dict[str, str]:
    """Path below `folder` (with "/", sorted) -> SHA-256, of every file there, over all cores."""
    names = sorted(list_files(folder))
    return dict(
        zip(names, run_parallel(lambda n: file_sha256(folder / n), names, progress=progress), strict=True)
    )


def list_files(folder: Path) -> set[str]:
    """Paths below `folder` (with "/") of all its files; empty when it is not there."""
    found: set[str] = set()
    for root, _, names in os.walk(folder):
        below = Path(root).relative_to(folder)
        prefix = "" if below == Path() else f"{below.as_posix()}/"
        found.update(prefix + name for name in names)
    return found


def differences(
    directory: Path | str, names: Iterable[str], *, progress: Progress | None = None
) -> list[Difference]:
    """Compare the locked tasks `names` with the disk, every byte of them; sorted by path, empty when equal.

    Raises KeyError for a task that is not locked, OSError for a file that cannot be read.
    """
    locked, root = read_lock(directory), Path(directory) / TASKS_FOLDER
    expected = {f"{name}/{file}": sha for name in names for file, sha in locked[name].files.items()}
    present = {f"{name}/{file}" for name in names for file in list_files(root / name)}
    both = sorted(present & expected.keys())
    found = run_parallel(lambda path: file_sha256(root / path), both, progress=progress)
    kinds = {path: "missing" for path in expected.keys() - present}
    kinds |= {path: "extra" for path in present - expected.keys()}
    kinds |= {path: "changed" for path, sha in zip(both, found, strict=True) if sha != expected[path]}
    return [Difference(kinds[path], f"{TASKS_FOLDER}/{path}") for path in sorted(kinds)]
