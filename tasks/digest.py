"""The identity of a task's content: what the embedding store and the resampling cache are keyed by."""

import hashlib
import json
import os
import time
from pathlib import Path

from tasks.errors import TaskError
from tasks.format import METADATA_FILE, VOCABULARY_FILE, Task
from tasks.work import run_parallel

_SETTLED_NS = 2_000_000_000
"""A file changed less than this long ago may change again within one tick of the clock: not remembered."""


def task_digest(task: Task, sample_rate: int, memo: Path | None = None) -> str:
    """SHA-256 (hex) over metadata, vocabulary, split files and every clip's name and bytes at `sample_rate`.

    It does not depend on where the task lies. `memo` is a JSON file that remembers each file's digest with
    its size and time of change, so that unchanged files are not read again; it is made when absent.
    Raises TaskError when a file cannot be read.
    """
    names = [METADATA_FILE, VOCABULARY_FILE, *(f"{split}.json" for split in task.metadata.splits)]
    files = [(name, task.path / name) for name in names]
    for split, clips in task.clips.items():
        files += [(f"{split}/{c.file}", task.audio_path(split, c.file, sample_rate)) for c in clips]
    try:
        digests = _file_digests([path for _, path in files], memo)
    except OSError as error:
        raise TaskError(f"{error.filename} cannot be read ({error.strerror}); restore it.") from error
    whole = hashlib.sha256()
    for (name, _), digest in zip(files, digests, strict=True):
        whole.update(f"{digest} {name}\n".encode())
    return whole.hexdigest()


def _file_digests(paths: list[Path], memo: Path | None) -> list[str]:
    remembered = _read_memo(memo) if memo else {}
    keys = [os.path.abspath(path) for path in paths]
    stats = [os.stat(path) for path in paths]
    states = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
    unread = [i for i, key in enumerate(keys) if remembered.get(key, [])[:2] != states[i]]
    fresh = dict(zip(unread, run_parallel(file_sha256, [paths[i] for i in unread]), strict=True))
    if memo and fresh:
        now = time.time_ns()
        settled = {i: d for i, d in fresh.items() if now - states[i][1] > _SETTLED_NS}
        _write_memo(memo, {**remembered, **{keys[i]: [*states[i], d] for i, d in settled.items()}})
    return [fresh[i] if i in fresh else remembered[key][2] for i, key in enumerate(keys)]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _read_memo(memo: Path) -> dict[str, list]:
    """What was remembered; a memo that is missing or damaged is only a reason to read the files again."""
    try:
        content = json.loads(memo.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: entry for key, entry in content.items() if isinstance(entry, list) and len(entry) == 3}


def _write_memo(memo: Path, content: dict[str, list]) -> None:
    temporary = memo.with_name(f".{memo.name}.{os.getpid()}")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(memo)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TaskError(f"{memo} cannot be written ({error.strerror}); make room and run again.") from error
