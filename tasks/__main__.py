"""`hear-tasks COMMAND`, also as `python -m tasks COMMAND`."""

import sys
from collections.abc import Sequence

from tasks.command import Command, run_named

COMMANDS = {
    "list": Command("tasks.list", "what HEAR has, and what is on the disk"),
    "fetch": Command("tasks.fetch.__main__", "install HEAR's prepared tasks from their public record"),
    "build": Command("tasks.build.__main__", "make a task from raw recordings, HEAR's or your own"),
    "check": Command("tasks.check.__main__", "everything that is wrong with a task, and where"),
    "sample": Command("tasks.sample.__main__", "write the synthetic sample tasks"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; return its exit status."""
    return run_named("hear-tasks", "HEAR's tasks and your own.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
