"""Which files Python opens to read while a block runs: what a module reads without having been told to."""

import os
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evaluation.models.marks import FileState, file_state

_CODE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".pyi"})
_INSTALLED = frozenset({"site-packages", "dist-packages", ".git", ".triton"})
_METADATA = frozenset({".egg-info", ".dist-info"})
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/run", "/usr/share", "/usr/lib", "/lib", "/var/lib")
_SECRETS = frozenset({"token", "stored_tokens"})
_FONTS = frozenset({".ttf", ".otf", ".ttc", ".afm", ".pfb"})

OWN_THREAD = "evaluation-reads"
"""How the names of threads begin that read for the program itself beside a module."""

_watching: list["Opened"] = []
_hooked: list[bool] = []


class Opened:
    """The files that Python opens to read while this context is entered, each as it was at that moment.

    What is written after it was read (an index, a log) is none of them, nor is a temporary file of one's own.
    Compiled libraries (ONNX, TFLite, safetensors) open files past Python; those are not seen.
    """

    def __init__(self) -> None:
        self._states: dict[Path, FileState | None] = {}
        self._written: set[Path] = set()

    def __enter__(self) -> "Opened":
        if not _hooked:
            sys.addaudithook(_hook)  # it cannot be removed; without a watcher it returns at once
            _hooked.append(True)
        _watching.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _watching.remove(self)

    def note(self, name: Any, mode: Any, flags: Any) -> None:
        """Note one opening, as the audit event `open` has it."""
        if not isinstance(name, str | bytes | os.PathLike):
            return
        path = Path(os.path.abspath(os.fsdecode(name)))
        writes = bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(flags & _WRITING)
        if writes:
            self._written.add(path)
            self._states.pop(path, None)
        elif path not in self._states and not (path in self._written and _is_temporary(path)):
            self._states[path] = file_state(path)

    def data_files(self, package: Path | None) -> dict[Path, FileState]:
        """Return the files that may hold weights: no code, nothing of Python, its packages or the system.

        `package` is the folder of the module's own package, whose data count wherever it is installed.
        """
        return {
            path: state
            for path, state in self._states.items()
            if state is not None and path.is_file() and _is_data(path, package)
        }


def mapped_files() -> set[Path]:
    """Return the files that this process has mapped into memory, where the system tells (Linux)."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    fields = (line.split(maxsplit=5) for line in lines)
    return {Path(field[5]) for field in fields if len(field) == 6 and field[5].startswith("/")}


def data_among(paths: Iterable[Path], package: Path | None) -> dict[Path, FileState]:
    """Return those of the files that may hold weights, see `Opened.data_files`."""
    states = {path: file_state(path) for path in paths if _is_data(path, package) and path.is_file()}
    return {path: state for path, state in states.items() if state is not None}


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _hook(event: str, arguments: tuple) -> None:
    if _watching and event == "open" and not threading.current_thread().name.startswith(OWN_THREAD):
        try:
            _watching[-1].note(*arguments)
        except Exception:  # nothing that goes wrong here may reach the module
            return


def _is_data(path: Path, package: Path | None) -> bool:
    if path.suffix.lower() in _CODE | _FONTS or "__pycache__" in path.parts:
        return False
    if package is not None and path.is_relative_to(package):
        return True
    if not _INSTALLED.isdisjoint(path.parts) or any(Path(part).suffix in _METADATA for part in path.parts):
        return False
    elsewhere = (*_SYSTEM, sysconfig.get_path("stdlib"), sys.prefix, sys.base_prefix)
    return not any(path.is_relative_to(folder) for folder in elsewhere) and not _is_personal(path)


def _is_temporary(path: Path) -> bool:
    return path.is_relative_to(os.path.abspath(tempfile.gettempdir()))


def _is_personal(path: Path) -> bool:
    """Whether a file holds a user's settings or tokens: in a hidden folder of the home, but for the cache."""
    try:
        top, *_ = path.relative_to(Path.home()).parts
    except (ValueError, RuntimeError):
        return False
    return path.name in _SECRETS or (top.startswith(".") and top != ".cache")
