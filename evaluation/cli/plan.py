"""`hear-eval plan`: what a run would need in data, disk, memory and time."""

import warnings
from collections.abc import Sequence

from evaluation.cli.command import run_command
from evaluation.cli.run_parser import run_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 when something does not suffice, 2 for a mistake, 130 after Ctrl-C."""
    command = run_parser()
    command.prog = "hear-eval plan"
    command.description = (
        "Check what evaluation.run would need with the same arguments: data, disk, memory, and time from "
        "about half a minute of measuring. Nothing is trained for good and no run is written; the exit "
        "status is 1 when something does not suffice."
    )
    command.epilog = None
    arguments = command.parse_args(argv)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"

    def work() -> int:
        from evaluation.cli.plan_check import check_plan  # torch and all else; --help is there before them

        return 0 if check_plan(arguments) else 1

    return run_command(work)
