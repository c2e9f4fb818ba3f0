"""The command: any HEAR module x HEAR tasks x seeds -> tables with intervals and s(m)."""

import argparse
import errno
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluation.cli.command import run_command
from evaluation.cli.run_parser import run_parser
from evaluation.errors import EvaluationError
from tasks.names import printable

if TYPE_CHECKING:
    from evaluation.runs.plan import Session


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 when a job failed, 2 for a mistake, 130 after Ctrl-C."""
    return run_command(
        lambda: _start_run(argv), f"Stopped; what was finished is kept. To go on: {_command_to_go_on(argv)}"
    )


def _start_run(argv: Sequence[str] | None) -> int:
    arguments = run_parser().parse_args(argv)
    from evaluation.cli.run_options import (
        options_of_arguments,
    )  # torch and all else; --help is there before them
    from evaluation.runs.plan import prepare

    try:
        options, broken = options_of_arguments(arguments, argv)
        session = prepare(options)
        session.failures += broken
        unsaid = session.failures.copy()
        _plan_and_do(session, arguments)
    except OSError as error:
        raise EvaluationError(_disk_sentence(error, argv)) from error
    if arguments.plan_only:
        return 0
    for failure in unsaid:
        print(printable(f"failed: {failure.sentence}"), file=sys.stderr)
    if said := len(session.failures) - len(unsaid):
        print(f"{said} failed while it ran, as said above and in run.json", file=sys.stderr)
    return 1 if session.failures else 0


def _plan_and_do(session: "Session", arguments: argparse.Namespace) -> None:
    """Print the plan, do it, and write what was asked for."""
    from evaluation.cli.plan_text import plan_text
    from evaluation.heareval.exporting import export_run
    from evaluation.report.write import write_report
    from evaluation.runs.execute import execute

    print(plan_text(session), flush=True)
    if arguments.plan_only:
        return
    try:
        execute(session)
    except KeyboardInterrupt:
        print(_text_of_finished_run(session))
        raise
    print(_text_of_finished_run(session))
    directory = session.options.directory
    if arguments.report and session.results().scores:
        _, left_out = write_report([directory], directory)
        for sentence in left_out:
            print(f"left out of the report: {sentence}", file=sys.stderr)
        print(f"Report: {directory / 'report.html'}")
    if arguments.export_heareval:
        export_run(session, arguments.export_heareval)
        print(f"heareval tree: {arguments.export_heareval}")


def _command_to_go_on(argv: Sequence[str] | None) -> str:
    """Return the command that goes on with this run."""
    given = sys.argv[1:] if argv is None else argv
    return shlex.join(["python", "-m", "evaluation.run", *(word for word in given if word != "--no-resume")])


def _disk_sentence(error: OSError, argv: Sequence[str] | None) -> str:
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; make room, then go on with: {_command_to_go_on(argv)}"
    return (
        f"{error.strerror or error}{where}; what was finished is kept, go on with: {_command_to_go_on(argv)}"
    )


def _text_of_finished_run(session: "Session") -> str:
    """Write run.json and the tables of what is finished and return the text for the screen."""
    from evaluation.report.finish import finish
    from evaluation.report.tables import scores_on_screen

    results = finish(session)
    if not results.scores:
        return f"No task is finished yet; {len(session.ledger.records)} fits are in the ledger."
    return f"{scores_on_screen(results)}\nTables: {session.options.directory / 'tables'}"


if __name__ == "__main__":
    sys.exit(main())
