"""From what a user types (`all`, `esc50`, `NS-5h`, a path) to task directories."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.folders import is_system
from tasks.format.metadata import METADATA_FILE, TaskMetadata, read_metadata
from tasks.hear.info import TaskInfo
from tasks.hear.paper import HEAR19_TASKS, PAPER_TASKS

_GROUPS = {"paper": PAPER_TASKS, "hear19": HEAR19_TASKS}


def find_tasks(directory: Path | str) -> list[Path]:
    """Task directories directly in `directory`: the paper's tasks in its order, then the others by name.

    A task whose metadata cannot be read is listed too; reading it says why. Raises TaskError when
    `directory` does not exist or is a task itself.

    Example:
        >>> len(find_tasks(sample_tasks))
        10
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise TaskError(f"the tasks directory {directory} does not exist; check the path.")
    found = [path.parent for path in directory.glob(f"*/{METADATA_FILE}")]
    visible = [path for path in found if not is_system(path.name)]
    if not visible and (directory / METADATA_FILE).is_file():
        raise TaskError(
            f"{directory} is itself a task directory, not a folder of them; give the folder that it lies in, "
            f"or evaluate it alone with --tasks {_as_path(directory)}."
        )
    return sorted(visible, key=lambda path: (_paper_rank(path), path.name))


def resolve(names: Iterable[str], directory: Path | str) -> list[Path]:
    """Task directories for `names`, in the order given and each once.

    A name is "all", "paper" (the ten), "hear19", a directory's name, a task's name ("esc50"), a short name
    ("ESC-50"), or the path of a task directory (with a slash, as in ./mine). The name of a task also finds
    its sample or part. Raises TaskError for a name that nothing or more than one thing in `directory`
    answers to, and for "paper" and "hear19" when some of their tasks are not there.

    Example:
        >>> [path.name for path in resolve(["BO", "esc50"], sample_tasks)]
        ['beijing_opera-sample', 'esc50-sample']
    """
    chosen: list[Path] = []
    for name in names:
        if _is_path(name):
            chosen.append(Path(name))
        elif name in _GROUPS:
            chosen += _group(name, Path(directory))
        else:
            chosen += _matches(name, Path(directory))
    return list(dict.fromkeys(chosen))


def _as_path(directory: Path) -> str:
    """Write a path so that it cannot be taken for a task's name."""
    text = str(directory)
    return text if _has_slash(text) else f".{os.sep}{text}"


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
    return _has_slash(name) and (Path(name) / METADATA_FILE).is_file()


def _has_slash(text: str) -> bool:
    # On Windows people write either.
    return "/" in text or os.sep in text


def _group(name: str, directory: Path) -> list[Path]:
    """The directories of all tasks of a group."""
    present = metadata_by_path(directory)
    found = [(info, directories_of(info, present)) for info in _GROUPS[name]]
    missing = [info.directory for info, paths in found if not paths]
    if missing:
        raise TaskError(
            f"{directory} lacks {len(missing)} of the tasks of {name!r}: {', '.join(missing)}; "
            "fetch or build them, or take what is there with 'all'."
        )
    for info, paths in found:
        if len(paths) > 1:
            raise _ambiguous(info.short_name, paths, directory)
    return [paths[0] for _, paths in found]


def metadata_by_path(directory: Path | str) -> dict[Path, TaskMetadata | None]:
    """Every task directory in `directory` with its metadata, None where they cannot be read."""
    return {path: _metadata(path) for path in find_tasks(directory)}


def directories_of(info: TaskInfo, present: Mapping[Path, TaskMetadata | None]) -> list[Path]:
    """The directory of a task, or those that stand for it: another version, a part, a sample."""
    exact = [path for path in present if path.name == info.directory]
    return exact or [path for path, metadata in present.items() if metadata and stands_for(metadata, info)]


def stands_for(metadata: TaskMetadata, info: TaskInfo) -> bool:
    """Whether a directory's metadata say that it is the task `info`, its sample or a part of it.

    Of tasks that differ in the mode only (5h, 50h), samples and parts stand for the paper's.

    Example:
        >>> from tasks import PAPER_TASKS, read_metadata
        >>> metadata = read_metadata(sample_tasks / "beijing_opera-sample")
        >>> [info.short_name for info in PAPER_TASKS if stands_for(metadata, info)]
        ['BO']
    """
    if metadata.base_name != info.metadata.task_name:
        return False
    namesakes = [i.metadata.mode for i in HEAR19_TASKS if i.metadata.task_name == metadata.base_name]
    if metadata.mode in namesakes:
        return metadata.mode == info.metadata.mode
    return info in PAPER_TASKS or len(namesakes) == 1


def _matches(name: str, directory: Path) -> list[Path]:
    present = metadata_by_path(directory)
    if name == "all" and present:
        return list(present)
    info = next((i for i in HEAR19_TASKS if i.short_name.lower() == name.lower()), None)
    for found in (
        [path for path in present if path.name == name],
        directories_of(info, present) if info else [],
        [path for path, metadata in present.items() if metadata and metadata.task_name == name],
        [path for path, metadata in present.items() if metadata and metadata.base_name == name],
    ):
        if len(found) == 1:
            return found
        if found:
            raise _ambiguous(name, found, directory)
    if os.sep in name:
        raise TaskError(f"{name} is no task directory: it holds no {METADATA_FILE}; correct the path.")
    if (Path(name) / METADATA_FILE).is_file():
        raise TaskError(f"{name!r} is no task of {directory} but a path; write it as {_as_path(Path(name))}.")
    there = ", ".join(path.name for path in present) or "no task"
    raise TaskError(f"there is no task {name!r} in {directory}, which holds: {there}.")


def _ambiguous(name: str, found: list[Path], directory: Path) -> TaskError:
    several = ", ".join(path.name for path in found)
    return TaskError(f"{name!r} may mean {several} in {directory}; give the directory's name.")
