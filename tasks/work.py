"""What long jobs here share: all cores, progress, directories that appear complete or not at all."""

import contextlib
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from tasks.errors import TaskError

Progress = Callable[[int, int], None]
"""Called with (items done, items in all) after every item."""

Say = Callable[[str], None]
"""Takes one sentence for the user."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], *, progress: Progress | None = None
) -> list[Result]:
    """`[function(item) for item in items]` over all cores; the first failure stops the rest and is raised.

    Threads, because decoding, resampling and hashing leave the interpreter lock free.
    """
    executor = ThreadPoolExecutor(max_workers=_cores())
    try:
        futures = [executor.submit(function, item) for item in items]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            if progress is not None:
                progress(done, len(items))
        return [future.result() for future in futures]
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def new_directory(target: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling directory that becomes `target` when the block ends well.

    After an exception (Ctrl-C too) nothing is left; what a killed process left is removed by the next one
    (but on Windows, where it stays).
    If another process made `target` meanwhile, that one stays. Raises TaskError when the disk refuses.
    """
    target = Path(target)
    prefix = f".{target.name}.partial-{socket.gethostname()}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent, prefix)
        temporary = target.parent / f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        temporary.mkdir()
    except OSError as error:
        raise TaskError(f"cannot write {target} ({error.strerror}); choose another folder.") from error
    try:
        yield temporary
        _rename(temporary, target)
    except OSError as error:
        raise TaskError(
            f"cannot write {target} ({error.strerror or error}); make room or choose another folder, "
            "then run the same command again."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for leftover in parent.glob(f"{glob.escape(prefix)}*"):
        pid = leftover.name.removeprefix(prefix).split("-")[0]
        if pid.isdecimal() and not _is_running(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name == "nt":
        return True  # There os.kill(pid, 0) is no question, it sends Ctrl-C.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_NAMED = 5


def named(things: Collection[str]) -> str:
    """Names in their order, the first five of many."""
    shown = ", ".join(sorted(things)[:_NAMED])
    return shown if len(things) <= _NAMED else f"{shown} and {len(things) - _NAMED} more"
