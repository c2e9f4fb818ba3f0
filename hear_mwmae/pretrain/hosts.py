"""Many processes as one run: how they find each other and agree."""

import json

import jax
import numpy as np
from jax.experimental import multihost_utils

from hear_mwmae.errors import UserError, first_line


def join_hosts(
    *,
    automatic: bool = False,
    coordinator: str = "",
    processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connect this process to the others of its run; call it before anything else touches a device.

    `automatic` finds them where the machine tells (TPU pods, SLURM, Open MPI); otherwise the address
    HOST:PORT of the first process, how many there are and which one this is must all be given, or none of
    them.

    Raises:
        UserError: incomplete options, or the processes did not find each other.
    """
    given = (bool(coordinator), processes is not None, process_id is not None)
    if any(given) and not all(given):
        raise UserError("--coordinator, --processes and --process-id go together: give all three.")
    if not automatic and not all(given):
        return
    try:
        jax.distributed.initialize(coordinator or None, processes, process_id)
    except (RuntimeError, ValueError) as error:
        remedy = "check the address and the count" if coordinator else "name them with --coordinator"
        raise UserError(
            f"The processes of this run did not find each other ({first_line(error)}): {remedy}."
        ) from None


def on_any_host(flag: bool) -> bool:
    """Tell every process whether the flag is up in any; all of them must ask at the same point."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def gather_json(value: object) -> list[object]:
    """Return what every process gave, in the order of the processes, to each of them."""
    if jax.process_count() == 1:
        return [json.loads(json.dumps(value))]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    longest = int(np.max(multihost_utils.process_allgather(np.array(len(text)))))
    # JSON may end in any number of blanks.
    padded = np.pad(text, (0, longest - len(text)), constant_values=ord(" "))
    return [json.loads(row.tobytes()) for row in np.asarray(multihost_utils.process_allgather(padded))]
