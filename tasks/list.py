"""The command that tells which tasks there are, and which of them are on the disk."""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.command import run_command
from tasks.errors import TaskError
from tasks.find import directories_of, metadata_by_path
from tasks.format.task import Task, read_task
from tasks.hear.info import TaskInfo
from tasks.hear.paper import HEAR19_TASKS, PAPER_TASKS
from tasks.names import printable

_WIDTH = 100
"""Columns of the output where it goes into a file, and at most."""


@dataclass(frozen=True, kw_only=True)
class ListedTask:
    """One task, or one directory of it: what is known of the whole task, and what is on the disk.

    `state` is "absent", "whole", "part", "sample", "damaged", "differs" for all clips but, say, other folds,
    or "own" for a task that HEAR does not have, of which `hours`, `clips` and `classes` are the directory's.
    """

    name: str
    directory: str
    state: str
    description: str
    hours: float | None
    clips: int
    classes: int
    metric: str
    licence: str
    citation: str
    in_paper: bool = False
    path: str | None = None
    clips_on_disk: int = 0
    sample_rates: tuple[int, ...] = ()


def list_tasks(directory: Path | str | None = None) -> list[ListedTask]:
    """HEAR's tasks, the paper's first, with what is in `directory`, then the other tasks there.

    Raises TaskError when `directory` does not exist or is a task itself.
    """
    present = metadata_by_path(directory) if directory is not None else {}
    listed: list[ListedTask] = []
    known: set[Path] = set()
    for info in HEAR19_TASKS:
        paths = directories_of(info, present)
        known.update(paths)
        places: Sequence[Path | None] = paths or [None]
        listed += [_listed(info, path) for path in places]
    return listed + [_own(path) for path in present if path not in known]


def _listed(info: TaskInfo, path: Path | None) -> ListedTask:
    whole = ListedTask(
        name=info.short_name,
        directory=info.directory,
        state="absent",
        description=info.description,
        hours=info.hours,
        clips=info.clips,
        classes=info.classes,
        metric=info.metadata.evaluation[0],
        licence=info.licence,
        citation=info.citation,
        in_paper=info in PAPER_TASKS,
    )
    if path is None:
        return whole
    task = _read(path)
    if task is None:
        return dataclasses.replace(whole, state="damaged", path=str(path))
    count = _count(task)
    state = "sample" if task.metadata.synthetic else "part"
    if state == "part" and not task.metadata.part_of and count >= info.clips:
        state = "differs" if task.metadata.build_notes else "whole"
    return dataclasses.replace(
        whole, state=state, path=str(path), clips_on_disk=count, sample_rates=task.sample_rates
    )


def _own(path: Path) -> ListedTask:
    task = _read(path)
    own = ListedTask(
        name=path.name,
        directory=path.name,
        state="damaged",
        description="",
        hours=None,
        clips=0,
        classes=0,
        metric="",
        licence="",
        citation="",
        path=str(path),
    )
    if task is None:
        return own
    count, seconds = _count(task), task.metadata.sample_duration
    return dataclasses.replace(
        own,
        state="part" if task.metadata.part_of else "own",
        hours=None if seconds is None else round(count * seconds / 3600, 2),
        clips=count,
        classes=len(task.vocabulary),
        metric=task.metadata.evaluation[0],
        clips_on_disk=count,
        sample_rates=task.sample_rates,
    )


def _read(path: Path) -> Task | None:
    try:
        return read_task(path)
    except TaskError:
        return None


def _count(task: Task) -> int:
    return sum(len(clips) for clips in task.clips.values())


def table(listed: Sequence[ListedTask], width: int = _WIDTH) -> str:
    """Two tables: what there is, and where it comes from, wrapped to `width` columns."""
    return f"{_what_there_is(listed)}\n\n{_where_from(listed, width)}"


def _what_there_is(listed: Sequence[ListedTask]) -> str:
    listed = [dataclasses.replace(task, name=printable(task.name)) for task in listed]
    rows = [("task", "on disk", "kHz", "hours", "clips", "classes", "metric")]
    for task in listed:
        state = f"part ({task.clips_on_disk})" if task.state == "part" else task.state
        rates = " ".join(f"{rate / 1000:g}" for rate in task.sample_rates)
        hours = (
            "" if task.hours is None else f"{task.hours:.1f}" if task.hours >= 0.1 else f"{task.hours:.2f}"
        )
        rows.append((task.name, state, rates, hours, str(task.clips), str(task.classes), task.metric))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if i in (3, 4, 5) else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _where_from(listed: Sequence[ListedTask], width: int) -> str:
    lines = []
    for task in {task.name: task for task in listed if task.citation}.values():
        head = f"{task.name:<9}  {task.directory}: "
        text = f"{task.description}; {task.licence}; {task.citation}"
        lines.append(textwrap.fill(head + text, width, subsequent_indent=" " * 11, break_on_hyphens=False))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `hear-tasks list`; returns the exit status."""

    def work() -> None:
        options = _parser().parse_args(arguments)
        listed = list_tasks(options.tasks_dir)
        if options.json:
            print(json.dumps([dataclasses.asdict(task) for task in listed], indent=1))
        else:
            print(table(listed, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns)))

    return run_command(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-tasks list",
        description="Tell which tasks HEAR has (the paper's ten first), which of them are on the disk, and "
        "their hours, clips, classes (of the whole task), first metric, licence and citation.",
        epilog="example: hear-tasks list --tasks-dir /data/hear/tasks",
    )
    parser.add_argument(
        "--tasks-dir",
        type=Path,
        default=os.environ.get("HEAR_TASKS_DIR") or None,
        metavar="D",
        help="folder of task directories to look in (default: $HEAR_TASKS_DIR, else none)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with more fields")
    return parser


if __name__ == "__main__":
    sys.exit(main())
