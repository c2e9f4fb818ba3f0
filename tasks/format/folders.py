"""What a folder of recordings holds: links followed, no folder twice, files of the system passed over."""

import os
from pathlib import Path

from tasks.errors import TaskError

_SYSTEM = {"__macosx", "$recycle.bin", "system volume information", "#recycle", "@eadir", "lost+found"}
_SYSTEM |= {"thumbs.db", "desktop.ini"}


def is_system(name: str) -> bool:
    """Whether a file or folder of that name is hidden, trash, or what systems write beside others' files."""
    return name.startswith(".") or name.lower() in _SYSTEM


def contents_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files and all folders at any depth in `folder`, each sorted; what `is_system` is passed over.

    A folder that is there and is also linked to counts where it is; one that only links lead to counts under
    the first of them. A link that leads nowhere is among the files. Raises TaskError for a folder that cannot
    be read.
    """
    files: list[Path] = []
    folders: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    linked: list[Path] = []
    while waiting or linked:
        place = waiting.pop() if waiting else linked.pop(0)
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            raise TaskError(
                f"the folder {place} cannot be read ({error.strerror}); mend or move it."
            ) from error
        folders.append(place)
        for entry in entries:
            if is_system(entry.name):
                continue
            path = place / entry.name
            if _is_folder(entry):
                (linked if entry.is_symlink() else waiting).append(path)
            else:
                files.append(path)
    return sorted(files), sorted(folders[1:])


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
