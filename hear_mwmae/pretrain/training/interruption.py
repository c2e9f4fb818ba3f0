"""Ctrl-C, SIGTERM and SIGHUP end a run after the update that is under way, with a checkpoint."""

import signal
from collections.abc import Callable
from types import FrameType

from hear_mwmae.pretrain.hosts import on_any_host

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""What `signal.signal` takes, and returns."""
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class InterruptedRun(Exception):
    """The run was asked to stop and did so in order; the message says where it stands.

    `exit_status` is the one a shell expects: 128 plus the number of the signal.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StopRequest:
    """As a context, remembers the first of these signals instead of dying of it; a second one kills."""

    def __init__(self) -> None:
        self.signal = 0
        """Number of the signal that arrived, or 0."""
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "StopRequest":
        # Under nohup a hang-up is ignored, and stays so.
        wanted = [number for number in SIGNALS if number == signal.SIGINT or not _is_ignored(number)]
        self._before = {number: signal.signal(number, self._remember) for number in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_if_asked(self, text: str) -> None:
        """Stop between two pieces of work of which nothing has to be saved; all processes ask together.

        Raises:
            InterruptedRun: with that text, where any process was asked to stop.
        """
        if on_any_host(bool(self.signal)):
            raise InterruptedRun(text, 128 + (self.signal or signal.SIGTERM))

    def _remember(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self.__exit__()


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
