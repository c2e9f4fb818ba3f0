"""`hear-tasks check`, also as `python -m tasks.check`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.check.task import check_task
from tasks.command import progress_bar, run_command
from tasks.errors import TaskError
from tasks.find import find_tasks
from tasks.format.metadata import (
    METADATA_FILE,
)
from tasks.names import printable


def _directories(path: Path) -> list[Path]:
    """The task directory `path`, or those in it."""
    if (path / METADATA_FILE).exists():
        return [path]
    found = find_tasks(path)
    if not found:
        raise TaskError(f"{path} holds no {METADATA_FILE} and no task directory; check the path.")
    return found


def _check_and_tell(path: Path, rate: int | None) -> int:
    """Check one task, print what was found, return the number of problems."""
    with progress_bar(f"checking {printable(path.name)}", "clip") as progress:
        findings = check_task(path, rate=rate, progress=progress)
    problems = [finding for finding in findings if not finding.remark]
    remarks = len(findings) - len(problems)
    told = f", {remarks} remarks" if remarks else ""
    print(f"{path}: {len(problems)} problems{told}" if problems else f"{path}: good{told}")
    for finding in sorted(findings, key=lambda f: f.remark):
        kind = "remark " if finding.remark else "problem"
        print(f"  {kind}  {finding.where}: {finding.what}")
    return len(problems)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `hear-tasks check`; returns 0 when all is right, 1 for problems, 2 for misuse."""

    def work() -> int:
        options = _parser().parse_args(arguments)
        problems = [_check_and_tell(path, options.rate) for path in _directories(options.directory)]
        return int(any(problems))

    return run_command(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-tasks check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Say everything that is wrong with a HEAR task directory, or with every one in a folder.",
        epilog=_HELP,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="a task directory, or a folder of them")
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="look at the sound of this sample rate only (default: all)"
    )
    return parser


_HELP = """\
Looked at: the fields of task_metadata.json, the vocabulary, the labels, clip names against sound files in
both directions, names that only look alike, and every sound file: rate, one channel, 16 bits, length, an end
that is cut off, silence, the same sound in two splits. Hidden files and those of systems are passed over.

A remark is what nobody who made the task directory could change: in HEAR's own tasks, parts and samples a few
silent clips, repeated clips, or labels that a split lacks. In a task of your own these are problems. The exit
status is 1 if there is a problem, and 0 otherwise.

example: hear-tasks check my-tasks/my-task --rate 16000
"""


if __name__ == "__main__":
    sys.exit(main())
