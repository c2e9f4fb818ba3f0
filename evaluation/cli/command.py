"""The ending of the command lines here: that of `tasks`, for the mistakes of both packages."""

from collections.abc import Callable

from evaluation.errors import EvaluationError
from tasks import TaskError
from tasks.command import run_command as _run_command


def run_command(work: Callable[[], int | None], stopped: str = "stopped; nothing was changed.") -> int:
    """Run all of a command and return its exit status; `stopped` is what Ctrl-C and SIGTERM say."""
    return _run_command(work, stopped, (EvaluationError, TaskError))
