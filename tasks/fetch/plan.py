"""What a fetch would do: from names to archives, sizes, and what is there already."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.fetch.archive import by_task
from tasks.fetch.download import bytes_present
from tasks.fetch.install import Rates
from tasks.fetch.lock import LOCK_FILE, TASKS_FOLDER, LockedTask, list_files, read_lock
from tasks.fetch.zenodo import RECORD, SERVER, RemoteArchive, read_record
from tasks.format.task import read_labels
from tasks.hear.info import TaskInfo
from tasks.hear.paper import HEAR19_TASKS, PAPER_TASKS
from tasks.work import Say

ARCHIVES_FOLDER = "archives"
_SOURCE_RATE = 48000


@dataclass(frozen=True, kw_only=True)
class ArchiveSource:
    """Where archives come from: the `record` of a `server`, or without the network the folder `archives`."""

    record: str = RECORD
    server: str = SERVER
    archives: Path | None = None

    def __str__(self) -> str:
        return str(self.archives or f"{self.server.rstrip('/')}/records/{self.record}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is to be done for one task: nothing, add `rates` (Hz) to it, or install it from `archive`.

    `info` is None for a task that is not in the benchmark's table.
    """

    name: str
    info: TaskInfo | None
    archive: RemoteArchive | Path | None = None
    rates: tuple[int, ...] = ()

    @property
    def archive_bytes(self) -> int:
        """Size of the archive, 0 without one."""
        if isinstance(self.archive, RemoteArchive):
            return self.archive.size
        return self.archive.stat().st_size if self.archive else 0


def plan(names: Sequence[str], directory: Path, source: ArchiveSource, rates: Rates) -> list[Step]:
    """What `fetch` would do for `names` ("all", "paper", "hear19", a task's name or its archive's directory).

    The record is asked only when something is not installed yet. Raises TaskError for an unknown name, and
    for a directory that is in the way or has lost files.
    """
    if (directory / TASKS_FOLDER / "__init__.py").exists():
        raise TaskError(
            f"{directory / TASKS_FOLDER} is a folder of programs, not for sound; choose another --dir."
        )
    wanted, locked = select(names), read_lock(directory)
    installed = {name for name in wanted if _is_installed(directory, name, locked)}
    archives = _find([name for name in wanted if name not in installed], source)
    return [
        Step(name=name, info=info, rates=_missing_rates(directory, name, rates))
        if name in installed
        else Step(name=name, info=info, archive=archives[name])
        for name, info in wanted.items()
    ]


def select(names: Sequence[str]) -> dict[str, TaskInfo | None]:
    """Task directory's name -> what is known of it, in the order asked, each once."""
    groups = {"all": PAPER_TASKS, "paper": PAPER_TASKS, "hear19": HEAR19_TASKS}
    known = (*PAPER_TASKS, *HEAR19_TASKS)
    wanted: dict[str, TaskInfo | None] = {}
    for name in names:
        meant = groups.get(name) or [t for t in known if name.lower() in _names_of(t)][:1]
        found: dict[str, TaskInfo | None] = {task.directory: task for task in meant}
        wanted |= found or {name: None}
    return wanted


def _names_of(task: TaskInfo) -> tuple[str, str, str]:
    return task.directory.lower(), task.short_name.lower(), task.metadata.task_name.lower()


def _is_installed(directory: Path, name: str, locked: Mapping[str, LockedTask]) -> bool:
    """Whether the task is there as locked, judged by names of files; raises TaskError when half of it is."""
    path = directory / TASKS_FOLDER / name
    if not path.exists():
        return False
    if name not in locked:
        raise TaskError(
            f"{path} is there but was not fetched (it is not in {directory / LOCK_FILE}); move it away or "
            "choose another --dir."
        )
    lost = [file for file in locked[name].files if _is_expected(path, file)]
    lost = sorted(set(lost) - list_files(path))
    if lost:
        raise TaskError(
            f"{path / lost[0]} is missing ({len(lost)} files in all); delete {path} and run the same command "
            "again to install it anew."
        )
    return True


def _is_expected(path: Path, file: str) -> bool:
    """A sample rate whose whole folder is gone is not a loss: it can be made again when it is asked for."""
    folder, _, rest = file.partition("/")
    return not rest or (path / folder).is_dir()


def _missing_rates(directory: Path, name: str, rates: Rates) -> tuple[int, ...]:
    present = read_labels(directory / TASKS_FOLDER / name).sample_rates
    return tuple(rate for rate in rates.wanted if rate not in present)


def _find(names: Sequence[str], source: ArchiveSource) -> dict[str, RemoteArchive | Path]:
    """The archive of each task; only asks the record when there is something to find."""
    if not names:
        return {}
    there: Mapping[str, RemoteArchive | Path]
    if source.archives:
        if not source.archives.is_dir():
            raise TaskError(f"the folder of archives {source.archives} does not exist; check --archives.")
        there = {path.name: path for path in source.archives.iterdir() if path.is_file()}
    else:
        there = read_record(source.record, source.server)
    found = by_task(there)
    lacking = [name for name in names if name not in found]
    if lacking:
        raise TaskError(
            f"{source} has no archive of {', '.join(lacking)}; take the others, and build what is lacking "
            f"with hear-tasks build; there are archives of: {', '.join(found) or 'none'}."
        )
    return {name: there[found[name]] for name in names}


def say_plan(steps: Sequence[Step], directory: Path, source: ArchiveSource, rates: Rates, say: Say) -> None:
    """Say what will be done and what it takes; raises TaskError when the disk has less room than that."""
    hertz = ", ".join(str(rate) for rate in rates.wanted)
    say(f"{count_tasks(len(steps))} from {source} into {directory / TASKS_FOLDER} at {hertz} Hz:")
    width = max(len(step.name) for step in steps)
    for step in steps:
        clips = f"{step.info.clips} clips" if step.info else ""
        licence = step.info.licence if step.info else ""
        say(f"  {step.name:{width}}  {_doing(step):24}  {clips:12}  {licence}".rstrip())
    remote = [step.archive for step in steps if isinstance(step.archive, RemoteArchive)]
    coming = sum(a.size - bytes_present(directory / ARCHIVES_FOLDER, a) for a in remote)
    sound = sum(_sound_bytes(step, rates) for step in steps)
    most = coming + sound + max(_passing_bytes(step, rates) for step in steps)
    free = shutil.disk_usage(next(p for p in (directory, *directory.absolute().parents) if p.exists())).free
    say(
        f"to download: {_size(coming)}; on disk afterwards: about {_size(sound)}, up to {_size(most)} while "
        f"it works; free: {_size(free)}"
    )
    if most > free:
        raise TaskError(
            f"{directory} has {_size(free)} free and up to {_size(most)} are needed; make room, choose "
            "another --dir, or fetch fewer --tasks at a time."
        )


def _doing(step: Step) -> str:
    if step.archive:
        verb = "download" if isinstance(step.archive, RemoteArchive) else "unpack"
        return f"{verb} {_size(step.archive_bytes)}"
    return f"add {', '.join(map(str, step.rates))} Hz" if step.rates else "installed"


def _sound_bytes(step: Step, rates: Rates) -> int:
    """About what the task's clips will take in addition to what is there, in 16 bits."""
    added = {*rates.wanted, *([_SOURCE_RATE] if rates.keep_source else [])} if step.archive else step.rates
    return int(2 * _seconds(step) * sum(added))


def _passing_bytes(step: Step, rates: Rates) -> int:
    """What the clips at their first rate take while the task is installed, if they are not to be kept."""
    passes = step.archive is not None and not rates.keep_source and _SOURCE_RATE not in rates.wanted
    return int(2 * _seconds(step) * _SOURCE_RATE) if passes else 0


def _seconds(step: Step) -> float:
    """The task's length; for one that is not in the table as if its archive were compressed to a half."""
    return step.info.hours * 3600 if step.info else step.archive_bytes / _SOURCE_RATE


def count_tasks(number: int) -> str:
    """Say a number of tasks: "1 task", "2 tasks"."""
    return f"{number} task{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
