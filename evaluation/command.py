"""What the command lines here share: a mistake is one sentence on the error stream, never a traceback."""

import sys
from collections.abc import Callable

from evaluation.errors import EvaluationError
from tasks import TaskError


def run_command(work: Callable[[], int], stopped: str = "stopped; nothing was changed.") -> int:
    """Run `work` and return its exit status; 2 for a mistake or a refusing disk, 130 after Ctrl-C.

    `stopped` is what Ctrl-C says.
    """
    try:
        return work()
    except (EvaluationError, TaskError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
    return 2
