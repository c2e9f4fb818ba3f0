"""Processes that tests start: they end with their test, and hear signals wherever pytest was started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_MAY_BE_IGNORED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def hear_signals() -> None:
    """Let children that are started from now on begin with the system's default for Ctrl-C and its like.

    In the background of a script, and under nohup, these signals are ignored, and children inherit that. A
    handler of the parent's they do not inherit: they get the default. Here a signal that was ignored goes on
    doing nothing, but for Ctrl-C.
    """
    for number in _MAY_BE_IGNORED:
        if signal.getsignal(number) == signal.SIG_IGN:
            interrupts = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if interrupts else _nothing)


def _nothing(*_: object) -> None:
    pass


@contextlib.contextmanager
def start(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process, by default with pipes of text; at the end it is gone with all that it has started."""
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hear_signals()
    process = subprocess.Popen(command, start_new_session=True, **{**defaults, **options})
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """End a process that `start` began, and all that it has started, as a power failure would."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if (process.stdout and not process.stdout.closed) or (process.stderr and not process.stderr.closed):
        process.communicate()
    process.wait()


def wait_for(process: subprocess.Popen, happened: Callable[[], object], seconds: float = 240) -> None:
    """Wait until `happened()`, which must come before the process ends."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"nothing of it in {seconds:.0f} s"
        time.sleep(0.01)
