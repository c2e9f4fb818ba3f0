"""A cache that can be written; in the place of one that cannot, a temporary one that shows what is in it."""

import atexit
import contextlib
import errno
import os
import shutil
import tempfile
import warnings
from pathlib import Path

FOLDERS = ("embeddings", "audio", "sample-tasks")


def writable_cache(cache: Path) -> Path:
    """Return the cache, or, when it cannot be written, a temporary one that is deleted when Python ends.

    The temporary one shows what is in the other: that is used, and nothing new is kept. It is warned of.
    A full disk is no reason: that is said where something is written.
    """
    reason = _why_not_writable(cache)
    if not reason:
        return cache
    folder = Path(tempfile.mkdtemp(prefix="hear-mwmae-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _show_read_only_cache(cache, folder)
    warnings.warn(
        f"the cache {reason}; what is in it is used, but this run's embeddings go into {folder}, which is "
        "deleted at its end: choose another place with --cache, or $HEAR_MWMAE_CACHE",
        stacklevel=2,
    )
    return folder


def _why_not_writable(cache: Path) -> str:
    """Return what keeps a cache from being written, "" for nothing."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "is a file, no folder" if cache.is_file() else f"cannot be made ({error.strerror})"
        return f"{cache} {what}"
    for folder in (cache, *(cache / name for name in FOLDERS)):
        if folder.is_dir() and (problem := _problem_of_writing(folder)):
            return f"{folder} cannot be written ({problem})"
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file, no folder"
    entries = cache / "embeddings"
    for entry in entries.iterdir() if entries.is_dir() else ():
        if entry.is_dir() and not os.access(entry, os.W_OK | os.X_OK):
            return f"{entry} cannot be written (it belongs to somebody else)"
    return ""


def _problem_of_writing(folder: Path) -> str:
    """Return what happens when something is written into a folder, "" for nothing."""
    try:
        handle, name = tempfile.mkstemp(prefix=".writable-", dir=folder)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        return "" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror)
    return ""


def _show_read_only_cache(cache: Path, folder: Path) -> None:
    """Link what can be read of a cache into a folder: the files of entries, so that these can be replaced."""
    for name in FOLDERS:
        (folder / name).mkdir()
        for path in _cache_subfolders(cache / name):
            if name == "embeddings":
                (folder / name / path.name).mkdir()
                for file in _cache_subfolders(path):
                    _link_cached(file, folder / name / path.name / file.name)
            elif not path.name.startswith("."):
                _link_cached(path, folder / name / path.name)
    _link_cached(cache / "digests.json", folder / "digests.json")


def _cache_subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name != ".lock")
    except OSError:
        return []


def _link_cached(path: Path, link: Path) -> None:
    if os.access(path, os.R_OK):
        with contextlib.suppress(OSError):  # a system without links shows nothing
            link.symlink_to(path.absolute())
