"""The command: any HEAR module x HEAR tasks x seeds -> tables with intervals and s(m)."""

import errno
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.arguments import options_from, parser
from evaluation.command import run_command
from evaluation.errors import EvaluationError
from evaluation.execute import execute, finish
from evaluation.heareval_export import export_run
from evaluation.plan import plan_text, prepare
from tasks.names import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 when a job failed, 2 for a mistake, 130 after Ctrl-C."""
    return run_command(lambda: _run(argv), f"Stopped; what was finished is kept. To go on: {_command(argv)}")


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    try:
        options, broken = options_from(arguments)
        session = prepare(options)
        session.failures += broken
        unsaid = session.failures.copy()
        print(plan_text(session), flush=True)
        if arguments.plan_only:
            return 0
        try:
            execute(session)
        except KeyboardInterrupt:
            print(finish(session))
            raise
        print(finish(session))
        if arguments.report and session.results().scores:
            _report(options.directory)
        if arguments.export_heareval:
            export_run(session, arguments.export_heareval)
            print(f"heareval tree: {arguments.export_heareval}")
    except OSError as error:
        raise EvaluationError(_disk_sentence(error, argv)) from error
    for failure in unsaid:
        print(printable(f"failed: {failure}"), file=sys.stderr)
    if said := len(session.failures) - len(unsaid):
        print(f"{said} failed while it ran, as said above and in run.json", file=sys.stderr)
    return 1 if session.failures else 0


def _report(directory: Path) -> None:
    """Write the run's report, statistics and figures; loading what draws them takes a moment."""
    from evaluation.report import write_report

    _, left_out = write_report([directory], directory)
    for sentence in left_out:
        print(f"left out of the report: {sentence}", file=sys.stderr)
    print(f"Report: {directory / 'report.html'}")


def _command(argv: Sequence[str] | None) -> str:
    """Return the command that goes on with this run."""
    given = sys.argv[1:] if argv is None else argv
    return shlex.join(["python", "-m", "evaluation.run", *(word for word in given if word != "--no-resume")])


def _disk_sentence(error: OSError, argv: Sequence[str] | None) -> str:
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; make room, then go on with: {_command(argv)}"
    return f"{error.strerror or error}{where}; what was finished is kept, go on with: {_command(argv)}"


if __name__ == "__main__":
    sys.exit(main())
