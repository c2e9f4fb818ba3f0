"""From an archive on disk to a task directory that is complete, counted and locked."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.fetch.archive import Limits, unpack_task
from tasks.fetch.lock import TASKS_FOLDER, LockedTask, hash_files, read_lock, write_lock
from tasks.format.resample import source_rate, write_rates
from tasks.format.task import Task, read_task
from tasks.hear.info import TaskInfo
from tasks.work import Progress, Say, new_directory

_SLACK = 4
"""An archive may unpack to so many times what its clips and hours lead one to expect."""
_DENSEST = 100
"""One of an unknown task to so many times its size; sound compresses to a half, silence to a thousandth."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Sample rates (Hz) that a task shall have, and whether it keeps the one it came with."""

    wanted: tuple[int, ...] = (16000,)
    keep_source: bool = True


@dataclass(frozen=True, kw_only=True)
class ArchiveOrigin:
    """Where an archive came from: its address or path, and its checksum as "md5:<hex>"."""

    source: str
    checksum: str


def install_task(
    archive: Path,
    name: str,
    directory: Path,
    *,
    info: TaskInfo | None,
    origin: ArchiveOrigin,
    rates: Rates,
    say: Say,
    progress: Progress | None = None,
) -> None:
    """Unpack `archive` as `<directory>/tasks/<name>`, resample it, count and hash it, and lock it.

    The directory appears complete or not at all. `info` is what is known of the task, None for one that is
    not in the benchmark's table. What was found is told through `say`. Raises TaskError when the archive is
    unsafe, damaged or not that task, or when the disk refuses.
    """
    target = directory / TASKS_FOLDER / name
    with new_directory(target) as folder, _speak_of(archive, folder):
        others = unpack_task(archive, name, folder, _limits(info, archive))
        task = read_task(folder)
        absent = {rate: folder / str(rate) for rate in rates.wanted if rate not in task.sample_rates}
        silent = write_rates(task, max(task.sample_rates), absent, progress)
        kept = _drop_source(task, rates)
        entry = LockedTask(
            source=origin.source,
            checksum=origin.checksum,
            clips=_count(task),
            benchmark_clips=info.clips if info else None,
            silent_clips=silent,
            files=hash_files(folder),
        )
        # The lock comes first: a lock without its directory is installed anew, a directory without a lock
        # would be in the way of it.
        write_lock(directory, {**read_lock(directory), name: entry})
    say(f"installed {target}: {_count(task)} clips at {', '.join(map(str, kept))} Hz")
    if others:
        say(f"  left out {others} files of the archive that are not of this task")
    for line in findings(name, entry):
        say(line)


def add_rates(
    name: str, directory: Path, wanted: tuple[int, ...], *, say: Say, progress: Progress | None = None
) -> None:
    """Give an installed task the sample rates (Hz) that it lacks, and lock them.

    Raises TaskError when a clip is bad or the disk refuses.
    """
    target = directory / TASKS_FOLDER / name
    task = read_task(target)
    for rate in (rate for rate in wanted if rate not in task.sample_rates):
        source = source_rate(task.sample_rates, rate)
        with new_directory(target / str(rate)) as folder:
            write_rates(task, source, {rate: folder}, progress)
            locked = read_lock(directory)
            files = {**locked[name].files, **{f"{rate}/{p}": sha for p, sha in hash_files(folder).items()}}
            locked[name] = dataclasses.replace(locked[name], files=files)
            write_lock(directory, locked)
        say(f"installed {target / str(rate)}, resampled from {source} Hz")
        if source < rate:
            say(f"  WARNING: no sound above {source // 2} Hz is in it; delete {target} and fetch it anew")


def findings(name: str, entry: LockedTask) -> list[str]:
    """What a user must know of an installed task's content: another number of clips, silence."""
    found = []
    if entry.benchmark_clips not in (None, entry.clips):
        found.append(
            f"  WARNING: {name} has {entry.clips} clips, but the benchmark's page says "
            f"{entry.benchmark_clips}: its scores are not those of the benchmark"
        )
    if 2 * entry.silent_clips >= entry.clips:
        found.append(
            f"  WARNING: {entry.silent_clips} of the {entry.clips} clips of {name} are digital silence (no "
            "sample exceeds 3 of 32768), as in older archives made through TFDS: its scores mean nothing; "
            "take the newest record, or build the task from its recordings"
        )
    elif entry.silent_clips:
        found.append(f"  note: {entry.silent_clips} of the {entry.clips} clips of {name} are digital silence")
    return found


@contextlib.contextmanager
def _speak_of(archive: Path, folder: Path) -> Iterator[None]:
    """Errors name the archive, not the temporary folder, of which nothing will be left."""
    try:
        yield
    except TaskError as error:
        raise TaskError(str(error).replace(str(folder), str(archive))) from error


def _limits(info: TaskInfo | None, archive: Path) -> Limits:
    if info is None:
        return Limits(bytes=_DENSEST * archive.stat().st_size + (1 << 30))
    sound = int(info.hours * 3600 * 48000 * 2)
    return Limits(files=_SLACK * info.clips + 1000, bytes=_SLACK * sound + (1 << 28))


def _drop_source(task: Task, rates: Rates) -> list[int]:
    """Remove the rates that are not wanted unless they are to be kept; return those that stay, ascending."""
    unwanted = set() if rates.keep_source else set(task.sample_rates).difference(rates.wanted)
    for rate in unwanted:
        shutil.rmtree(task.path / str(rate))
    return sorted({*task.sample_rates, *rates.wanted} - unwanted)


def _count(task: Task) -> int:
    return sum(len(clips) for clips in task.clips.values())
