"""The identity of a task's content: what the embedding store and the resampling cache are keyed by."""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.errors import TaskError
from tasks.format.task import METADATA_FILE, VOCABULARY_FILE, Task
from tasks.json_files import read_json
from tasks.work import run_parallel

ClipDigests = Mapping[tuple[str, str], str]
"""(split, file) -> SHA-256 (hex) of a clip's bytes."""

_SHA256 = re.compile("[0-9a-f]{64}")
_SETTLED_NS = 2_000_000_000
"""A file changed less than this long ago may change again within one tick of the clock: not remembered."""


def task_digest(
    task: Task, sample_rate: int, memo: Path | None = None, *, clips: ClipDigests | None = None
) -> str:
    """SHA-256 (hex) over metadata, vocabulary, split files and every clip's name and bytes at `sample_rate`.

    It does not depend on where the task lies. `memo` is a JSON file that remembers each file's digest with
    its size and times of change, so that unchanged files are not read again; it is made when absent. `clips`
    are the digests of clips that were read already: then those on the disk are not asked.
    Raises TaskError when a file cannot be read.

    Example:
        >>> from tasks import read_task
        >>> len(task_digest(read_task(sample_tasks / "beijing_opera-sample"), 16000))
        64
    """
    return digest_of_files(task_file_digests(task, sample_rate, memo, clips=clips))


def task_file_digests(
    task: Task, sample_rate: int, memo: Path | None = None, *, clips: ClipDigests | None = None
) -> dict[str, str]:
    """SHA-256 (hex) of every file that `task_digest` is over, by its name: `train.json`, `train/dog.wav`."""
    every = [(split, clip.file) for split, part in task.clips.items() for clip in part]
    files = list_files(task)
    if clips is None:
        files |= {f"{split}/{file}": task.audio_path(split, file, sample_rate) for split, file in every}
    try:
        found = dict(zip(files, _file_digests(list(files.values()), memo), strict=True))
    except OSError as error:
        raise TaskError(f"{error.filename} cannot be read ({error.strerror}); restore it.") from error
    return found if clips is None else {**found, **{f"{s}/{f}": clips[s, f] for s, f in every}}


def digest_of_files(digests: Mapping[str, str]) -> str:
    """The digest of a task whose files have these, in this order."""
    whole = hashlib.sha256()
    for name, digest in digests.items():
        whole.update(f"{digest} {name}\n".encode())
    return whole.hexdigest()


def list_files(task: Task) -> dict[str, Path]:
    """Metadata, vocabulary and split files by their names."""
    names = [METADATA_FILE, VOCABULARY_FILE, *(f"{split}.json" for split in task.metadata.splits)]
    return {name: task.path / name for name in names}


def _file_digests(paths: Sequence[Path], memo: Path | None) -> list[str]:
    remembered = _read_memo(memo) if memo else {}
    keys = [_key(path) for path in paths]
    stats = [os.stat(path) for path in paths]
    states = [[stat.st_size, stat.st_ino % (1 << 63), stat.st_mtime_ns, stat.st_ctime_ns] for stat in stats]
    unread = [i for i, key in enumerate(keys) if remembered.get(key, [])[:-1] != states[i]]
    fresh = dict(zip(unread, run_parallel(file_sha256, [paths[i] for i in unread]), strict=True))
    if memo and fresh:
        now = time.time_ns()
        settled = {i: d for i, d in fresh.items() if now - max(states[i][2:]) > _SETTLED_NS}
        _write_memo(memo, {**remembered, **{keys[i]: [*states[i], d] for i, d in settled.items()}})
    return [fresh[i] if i in fresh else remembered[key][-1] for i, key in enumerate(keys)]


def _key(path: Path) -> str:
    """An absolute path as text that JSON can hold, whatever bytes are in it."""
    return os.path.abspath(path).encode("utf-8", "backslashreplace").decode()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _read_memo(memo: Path) -> dict[str, list]:
    """What was remembered; a memo that is missing or damaged is only a reason to read the files again."""
    try:
        content = read_json(memo)
    except (OSError, TaskError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: entry for key, entry in content.items() if _is_memory(entry)}


def _is_memory(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 5:
        return False
    return all(isinstance(n, int) for n in entry[:-1]) and bool(_SHA256.fullmatch(str(entry[-1])))


def _write_memo(memo: Path, content: dict[str, list]) -> None:
    temporary = memo.with_name(f".{memo.name}.{os.getpid()}")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(memo)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TaskError(f"{memo} cannot be written ({error.strerror}); make room and run again.") from error
