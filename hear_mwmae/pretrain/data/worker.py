"""What a process that works for another one does first."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def start_reader(*_: int) -> None:
    """Leave SIGTERM and SIGHUP to the parent too: all processes get them, and the run has yet to save."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    start_worker()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
