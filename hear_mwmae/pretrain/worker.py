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
    """Leave SIGTERM to the parent too: a cluster sends it to all processes, and the run has yet to save."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    start_worker()


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
