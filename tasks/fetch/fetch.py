"""HEAR's prepared tasks, from the benchmark's public record or from archives on disk.

`hear-tasks fetch --tasks all --dir DIR` downloads, unpacks and resamples into `DIR/tasks`, the folder
that evaluations take as --tasks-dir, and locks every file in `DIR/tasks.lock.json`.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from tasks.command import progress_bar
from tasks.errors import TaskError
from tasks.fetch.download import BytesDone, bytes_present, downloading
from tasks.fetch.install import ArchiveOrigin, Rates, add_rates, findings, install_task
from tasks.fetch.lock import LOCK_FILE, TASKS_FOLDER, differences, read_lock
from tasks.fetch.plan import ARCHIVES_FOLDER, ArchiveSource, Step, count_tasks, plan, say_plan, select
from tasks.fetch.zenodo import RemoteArchive
from tasks.names import printable
from tasks.work import Say


def fetch(
    names: Sequence[str],
    directory: Path | str,
    *,
    source: ArchiveSource | None = None,
    rates: Rates | None = None,
    keep_archives: bool = False,
    plan_only: bool = False,
    say: Say = print,
) -> list[Step]:
    """Install the tasks `names` in `directory`, doing only what is missing; return what was planned.

    Tells through `say` what it will do, how many bytes that takes, and what it found in each task. Raises
    TaskError for what `plan`, the download or the installation refuse, and when the disk is too small.
    """
    directory, source, rates = Path(directory), source or ArchiveSource(), rates or Rates()
    steps = plan(names, directory, source, rates)
    if not any(step.archive or step.rates for step in steps):
        say(f"nothing to do, {count_tasks(len(steps))} installed in {directory / TASKS_FOLDER}")
        return steps
    say_plan(steps, directory, source, rates, say)
    if plan_only:
        return steps
    with _alone(directory):
        for step in steps:
            if step.rates:
                with progress_bar(f"resampling {step.name}", "clip") as progress:
                    add_rates(step.name, directory, step.rates, say=say, progress=progress)
        _install_all(steps, directory, rates, keep_archives=keep_archives, say=say)
    say(f"done: {count_tasks(len(steps))} installed in {directory / TASKS_FOLDER}")
    return steps


def verify(directory: Path | str, names: Sequence[str] = (), *, say: Say = print) -> bool:
    """Read every file of the locked tasks (of `names`, or all) again; whether all are as they were installed.

    Each file that is missing, changed or extra is named through `say`. Raises TaskError when nothing is
    locked in `directory`, or not what is named.
    """
    directory = Path(directory)
    locked = read_lock(directory)
    if not locked:
        raise TaskError(f"{directory} has no {LOCK_FILE}: nothing was fetched there; check --dir.")
    chosen = list(select(names)) if names else list(locked)
    unknown = [name for name in chosen if name not in locked]
    if unknown:
        raise TaskError(f"{unknown[0]} is not in {directory / LOCK_FILE}, which has: {', '.join(locked)}.")
    with progress_bar("checking", "file") as progress:
        found = differences(directory, chosen, progress=progress)
    for difference in found:
        say(f"{difference.kind:8} {directory / difference.path}")
    for name in chosen:
        for line in findings(name, locked[name]):
            say(line)
    for path in sorted((directory / TASKS_FOLDER).glob("*")):
        if path.name not in locked:
            say(f"note: {path} was not fetched here and is not checked")
    files = sum(len(locked[name].files) for name in chosen)
    verdict = f"{len(found)} files differ" if found else "all are as they were installed"
    say(f"checked {files} files of {count_tasks(len(chosen))}: {verdict}")
    return not found


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two at once would write into the same files; the lock falls with the process that holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = FileLock(directory / ".fetch.lock").acquire(timeout=0)
    except Timeout as error:
        raise TaskError(
            f"another fetch works in {directory}; wait for it or choose another --dir."
        ) from error
    except OSError as error:
        raise TaskError(f"cannot write {directory} ({error.strerror}); choose another --dir.") from error
    with held:
        yield


def _install_all(
    steps: Sequence[Step], directory: Path, rates: Rates, *, keep_archives: bool, say: Say
) -> None:
    def install(step: Step, path: Path, origin: ArchiveOrigin) -> None:
        with progress_bar(f"resampling {step.name}", "clip") as progress:
            install_task(
                path,
                step.name,
                directory,
                info=step.info,
                origin=origin,
                rates=rates,
                say=say,
                progress=progress,
            )

    for step in steps:
        if isinstance(step.archive, Path):
            with open(step.archive, "rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
            install(
                step,
                step.archive,
                ArchiveOrigin(source=printable(step.archive.absolute()), checksum=f"md5:{md5}"),
            )
    remote = {step.archive: step for step in steps if isinstance(step.archive, RemoteArchive)}
    if not remote:
        return
    folder = directory / ARCHIVES_FOLDER
    smallest_first = sorted(remote, key=lambda archive: archive.size)
    with (
        _bytes_bar(remote, folder) as bytes_done,
        downloading(smallest_first, folder, bytes_done) as arriving,
    ):
        for archive, path in arriving:
            install(remote[archive], path, ArchiveOrigin(source=archive.url, checksum=archive.checksum))
            if not keep_archives:
                path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


@contextlib.contextmanager
def _bytes_bar(archives: Iterable[RemoteArchive], folder: Path) -> Iterator[BytesDone]:
    total = sum(archive.size for archive in archives)
    present = sum(bytes_present(folder, archive) for archive in archives)
    with tqdm(
        desc="downloading", total=total, initial=present, unit="B", unit_scale=True, disable=None
    ) as bar:
        yield bar.update
