"""`hear-tasks fetch`, also as `python -m tasks.fetch`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tasks.command import run_command, sample_rate
from tasks.errors import TaskError
from tasks.fetch.fetch import fetch, verify
from tasks.fetch.install import Rates
from tasks.fetch.plan import ArchiveSource
from tasks.fetch.zenodo import RECORD, SERVER
from tasks.hear.paper import PAPER_TASKS


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `hear-tasks fetch`: 0, or 1 when files differ, 2 for a mistake, 130 after Ctrl-C."""

    def work() -> int:
        options = _parser().parse_args(arguments)
        if options.verify:
            return int(not verify(options.dir, options.tasks or ()))
        if not options.tasks:
            raise TaskError("which tasks? Give --tasks all, or names as --help lists them.")
        fetch(
            options.tasks,
            options.dir,
            source=ArchiveSource(record=options.record, server=options.mirror, archives=options.archives),
            rates=Rates(wanted=tuple(options.sample_rate), keep_source=options.keep_source),
            keep_archives=options.keep_archives,
            plan_only=options.plan_only,
            say=tqdm.write,
        )
        return 0

    return run_command(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-tasks fetch",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Install HEAR's prepared tasks from their public record, or from archives on disk.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--tasks", nargs="+", metavar="TASK", help="all or paper (its ten), hear19, or names; see below")
    add("--dir", type=Path, required=True, help="folder for tasks/ and tasks.lock.json")
    add("--plan-only", action="store_true", help="say what would be done and how large it is, and stop")
    add("--verify", action="store_true", help="read every installed file again and name those that differ")
    add(
        "--sample-rate",
        type=sample_rate,
        nargs="+",
        default=[16000],
        metavar="HZ",
        help="rates to make from the archives' 48000 Hz (default: 16000); several make several folders",
    )
    add(
        "--keep-source",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the 48000 Hz clips, from which any other rate can be made (default); --no-keep-source "
        "saves three quarters of the disk, but models of higher rates then hear upsampled sound",
    )
    add("--keep-archives", action="store_true", help="keep downloaded archives once they are installed")
    add("--archives", type=Path, metavar="DIR", help="install from archives in DIR, without the network")
    add("--record", default=RECORD, metavar="ID", help=f"Zenodo record (default: {RECORD}, version 2021.3)")
    add(
        "--mirror",
        default=SERVER,
        metavar="URL",
        help="server with URL/api/records/ID and URL/records/ID/files/NAME (default: %(default)s)",
    )
    return parser


_EPILOG = f"""\
names of tasks: {", ".join(task.short_name for task in PAPER_TASKS)};
  any task's name (esc50), or what an archive is named after (nsynth_pitch-v2.2.3-50h)

Nothing is downloaded before the plan with its total size is printed and the disk has room for it. Stop it
whenever you like: the same command goes on where it stopped, in the middle of an archive too, and does only
what is missing. A server that sends nothing for 20 seconds, or less than 1 kB a second over a minute, is
asked again four times. Every download is checked against the record's checksum; every file goes into
DIR/tasks.lock.json with its SHA-256. Then: hear-eval run --tasks all --tasks-dir DIR/tasks

examples: hear-tasks fetch --tasks all --dir /data/hear --plan-only
          hear-tasks fetch --tasks ESC-50 BO --dir /data/hear
          hear-tasks fetch --tasks all --dir /data/hear --archives /backup/hear
          hear-tasks fetch --dir /data/hear --verify
"""


if __name__ == "__main__":
    sys.exit(main())
