"""`hear-tasks sample`, also as `python -m tasks.sample`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.command import progress_bar, run_command
from tasks.sample.tasks import write_sample_tasks


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `hear-tasks sample`; returns the exit status."""

    def work() -> None:
        options = _parser().parse_args(arguments)
        with progress_bar("synthesising", "clip") as progress:
            paths = write_sample_tasks(options.out, options.tasks, progress)
        print(f"{len(paths)} synthetic sample tasks are in {options.out}")

    return run_command(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-tasks sample",
        description="Write the ten synthetic sample tasks in HEAR's format. They need no data and take "
        "seconds; scores on them say nothing about the real tasks.",
        epilog="example: hear-tasks sample --out sample-tasks",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to hold the task directories")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="only these, such as esc50 libricount")
    return parser


if __name__ == "__main__":
    sys.exit(main())
