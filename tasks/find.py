"""From what a user types (`all`, `esc50`, `NS-5h`, a path) to task directories."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tasks.errors import TaskError
from tasks.format import METADATA_FILE, TaskMetadata, read_metadata
from tasks.paper import PAPER_TASKS


def find_tasks(directory: Path | str) -> list[Path]:
    """Task directories directly in `directory`: the paper's tasks in its order, then the others by name.

    A task whose metadata cannot be read is listed too; reading it says why. Raises TaskError when
    `directory` does not exist.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise TaskError(f"the tasks directory {directory} does not exist; check the path.")
    found = [path.parent for path in directory.glob(f"*/{METADATA_FILE}")]
    visible = [path for path in found if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: (_paper_rank(path), path.name))


def resolve(names: Iterable[str], directory: Path | str) -> list[Path]:
    """Task directories for `names`, in the order given and each once.

    A name is "all", a directory's name, a task's name ("esc50"), a short name ("ESC-50"), or the path of a
    task directory (with a slash, as in ./mine). The name of a task also finds its sample or part. Raises
    TaskError for a name that nothing or more than one thing in `directory` answers to.
    """
    chosen: list[Path] = []
    for name in names:
        chosen += [Path(name)] if _is_path(name) else _matches(name, Path(directory))
    return list(dict.fromkeys(chosen))


def _paper_rank(path: Path) -> int:
    names = [task.metadata.task_name for task in PAPER_TASKS]
    metadata = _metadata(path)
    return names.index(metadata.base_name) if metadata and metadata.base_name in names else len(names)


def _metadata(path: Path) -> TaskMetadata | None:
    try:
        return read_metadata(path)
    except TaskError:
        return None


def _is_path(name: str) -> bool:
    return os.sep in name and (Path(name) / METADATA_FILE).is_file()


def _matches(name: str, directory: Path) -> list[Path]:
    present = {path: _metadata(path) for path in find_tasks(directory)}
    if name == "all" and present:
        return list(present)
    rules: tuple[Callable[[Path, TaskMetadata | None], bool], ...] = (
        lambda path, _: path.name == name,
        lambda path, _: path.name == _directory_of(name),
        lambda _, metadata: metadata is not None and metadata.task_name == name,
        lambda _, metadata: metadata is not None and metadata.base_name in (name, _task_name_of(name)),
    )
    for rule in rules:
        found = [path for path, metadata in present.items() if rule(path, metadata)]
        if len(found) == 1:
            return found
        if found:
            several = ", ".join(path.name for path in found)
            raise TaskError(f"{name!r} may mean {several} in {directory}; give the directory's name.")
    if os.sep in name:
        raise TaskError(f"{name} is no task directory: it holds no {METADATA_FILE}; correct the path.")
    if (Path(name) / METADATA_FILE).is_file():
        raise TaskError(f"{name!r} is no task of {directory} but a path; write it as .{os.sep}{name}.")
    there = ", ".join(path.name for path in present) or "no task"
    raise TaskError(f"there is no task {name!r} in {directory}, which holds: {there}.")


def _directory_of(short_name: str) -> str | None:
    return next((t.directory for t in PAPER_TASKS if t.short_name.lower() == short_name.lower()), None)


def _task_name_of(short_name: str) -> str | None:
    names = ((t.short_name.lower(), t.metadata.task_name) for t in PAPER_TASKS)
    return dict(names).get(short_name.lower())
