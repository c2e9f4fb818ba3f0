"""The shared memory through which worker processes hand over their batches."""

import os
import shutil
from multiprocessing import resource_tracker
from pathlib import Path

from hear_mwmae.errors import UserError

FOLDER = Path("/dev/shm")
# Of one worker process: read by training, waiting, being written.
BATCHES_PER_WORKER = 3
QUIET = "ignore:resource_tracker:UserWarning"


def check_shared_memory(workers: int, batch_bytes: int) -> None:
    """Refuse more worker processes than their batches fit: the system kills one that finds no room.

    Raises:
        UserError: too little shared memory, as in containers, which often have 64 MB.
    """
    if not workers or not FOLDER.is_dir():
        return
    needed, free = workers * BATCHES_PER_WORKER * batch_bytes, shutil.disk_usage(FOLDER).free
    if free < needed:
        raise UserError(
            f"{FOLDER}: {workers} processes that read data need {needed / 1e6:.0f} MB of shared memory and "
            f"{free / 1e6:.0f} MB are free: lower --workers (0 needs none), or give the container more "
            "(docker run --shm-size)."
        )


def start_quiet_tracker() -> None:
    """Start the process by which Python frees shared memory that is left at exit, without its warning.

    JAX may hold the last batch up to then, which is no leak.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = QUIET
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
