"""What a module of somebody else does to this process: kept for the module, undone for everybody else.

A HEAR module may set torch's default dtype, change the working directory or its random numbers; alone in a
script of its own that is its right. Here other modules and the classifiers live in the same process. So
around every import, load and call the settings of the process are noted before and put back after; what the
module has made of them is given back to it at its next call. No answer depends on what another module did.
"""

import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import numpy as np
import torch

from evaluation.models.opened import Opened
from evaluation.models.process_settings import SETTINGS

SEED = 0
"""Of the global random numbers that a module finds when it is loaded, so that it draws the same each time."""

_USERS_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Quit(Exception):
    """The module asked Python to end, which nobody else had asked for."""


class Surroundings:
    """The settings of the process as one module wants them."""

    def __init__(self, kept: Mapping[str, Any] | None = None):
        self._kept = dict(kept or {})

    def copy(self) -> "Surroundings":
        """Return the same settings for somebody who goes on from here."""
        return Surroundings(self._kept)

    @contextlib.contextmanager
    def entered(self, *, here: bool = False) -> Iterator[Opened]:
        """Run the block with the module's settings and put everything back after it.

        Yields the files that the block opens to read. With `here` the working directory is the program's:
        paths that the user gave mean what they meant. Raises Quit in the place of SystemExit, and of a
        KeyboardInterrupt that no signal asked for.
        """
        before = _noted_setting()
        self._put_own(here)
        signalled: list[int] = []
        try:
            with _notice_changes(signalled), Opened() as opened:
                yield opened
        except SystemExit as error:
            raise Quit(f"it asked Python to end (SystemExit: {error.code})") from error
        except KeyboardInterrupt as error:
            if signalled:
                raise
            raise Quit("it raised KeyboardInterrupt") from error
        finally:
            self._put_back(before)

    def _put_own(self, here: bool) -> None:
        for name, value in self._kept.items():
            if not (here and name == "directory"):
                with contextlib.suppress(Exception):  # gone meanwhile, such as a directory
                    (SETTINGS[name].give or SETTINGS[name].put)(value)

    def _put_back(self, before: Mapping[str, Any]) -> None:
        after = _noted_setting()
        for name, value in before.items():
            setting = SETTINGS[name]
            if value is None or _same_setting(value, after[name]):
                continue
            if setting.kept:
                own = setting.difference or (lambda _, after: after)
                self._kept[name] = own(value, after[name])
            with contextlib.suppress(Exception):  # gone meanwhile, such as a directory
                setting.put(value)


def seed_everything() -> None:
    """Start the global random numbers of torch, numpy and Python anew."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


@contextlib.contextmanager
def _notice_changes(signalled: list[int]) -> Iterator[None]:
    """Note the signals by which a user ends a program; other handlers stay and still do their work."""

    def watched(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        def handle(number: int, frame: FrameType | None) -> Any:
            signalled.append(number)
            return handler(number, frame)

        return handle

    if threading.current_thread() is threading.main_thread():
        for name in _USERS_SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and callable(handler := signal.getsignal(number)):
                signal.signal(number, watched(handler))
    yield  # the handlers go back with all other settings


def _noted_setting() -> dict[str, Any]:
    """Return every setting; None for what cannot be asked for."""
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        try:
            found[name] = setting.get()
        except Exception:  # an option that this torch, numpy or system does not have
            found[name] = None
    return found


def _same_setting(one: Any, two: Any) -> bool:
    try:
        return bool(one == two)
    except Exception:
        return one is two
