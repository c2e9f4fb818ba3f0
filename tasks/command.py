"""What the command lines share: streams that take any text, one way to end, a progress bar."""

import argparse
import contextlib
import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import Any, TextIO

from tqdm import tqdm

from tasks.errors import TaskError
from tasks.names import printable
from tasks.work import Progress

_STAND_INS = str.maketrans({"±": "+-", "×": "x", "–": "-", "—": "-", "…": "...", "µ": "u"})
_WORD_WARNING = re.compile(r"^(\w*warning:?\s+)+", re.IGNORECASE)


@contextlib.contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Progress]:
    """A progress bar with time left on the error stream; it appears with the first item."""
    with contextlib.ExitStack() as stack:
        bars: list[tqdm] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(desc=title, total=total, unit=unit, disable=None)))
            bars[0].update(done - bars[0].n)

        yield progress


def sample_rate(text: str) -> int:
    """Read an option in Hz."""
    rate = int(text) if text.isdecimal() and len(text) < 8 else 0
    if not 1000 <= rate <= 192000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate between 1000 and 192000 Hz")
    return rate


def run_command(
    work: Callable[[], int | None],
    stopped: str = "stopped; nothing half-made was left: run the same command again.",
    mistakes: tuple[type[Exception], ...] = (TaskError,),
) -> int:
    """Run all of a command, the reading of its arguments included, and return its exit status.

    A mistake or a refusing disk is one sentence on the error stream and status 2, never a traceback. Ctrl-C,
    SIGTERM and SIGHUP say `stopped` and return 130, 143 and 129. Output that nobody reads any more is
    dropped and the work goes on; what the output cannot hold is replaced.

    Args:
        work: returns the exit status; None stands for 0.
        stopped: what is said when the user or the system ends the command.
        mistakes: the exceptions whose text is a sentence for the user.
    """
    with _streams(), _one_form_of_warnings(), _signals_that_end():
        try:
            return work() or 0
        except mistakes as error:
            _tell(f"error: {error}")
        except UnicodeEncodeError as error:
            text, encoding = error.object, error.encoding
            _tell(f"error: {text!r} cannot be written in {encoding}; rename it, or set LC_ALL=C.UTF-8.")
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            _tell(f"error: {error.strerror or error}{where}")
        except MemoryError:
            _tell("error: there is not enough memory for this; give it less at a time.")
        except KeyboardInterrupt as error:
            _tell(f"\n{stopped}")
            return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)
    return 2


@dataclass(frozen=True)
class Command:
    """A command behind a package's name: the module whose `main` it is, and what it does."""

    module: str
    about: str


def run_named(
    program: str, about: str, commands: Mapping[str, Command], arguments: Sequence[str] | None = None
) -> int:
    """Run one of a package's commands, the module of which is imported only now; return its exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in commands:
        chosen = commands[name]
        sys.argv[0] = f"{program} {name}"
        return import_module(chosen.module).main(rest)
    lines = [f"  {command:12}{one.about}" for command, one in commands.items()]
    usage = f"usage: {program} COMMAND ...\n\n{about}\n\n" + "\n".join(lines)
    if name in ("-h", "--help"):
        return run_command(lambda: print(f"{usage}\n\n{program} COMMAND --help says more of each."))
    known = ", ".join(commands)

    def refuse() -> int:
        _tell(f"error: {program} has no command {name!r}; it has {known}.")
        return 2

    return run_command(refuse)


class Ended(KeyboardInterrupt):
    """A signal other than Ctrl-C's asks the command to end; what tidies up after Ctrl-C does so here too."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _signals_that_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Ended`, unless they are ignored (nohup) or handled by somebody else."""
    owner = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() == owner:
            raise Ended(number)
        signal.signal(number, signal.SIG_DFL)  # a forked worker: it simply ends
        os.kill(os.getpid(), number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = []
    try:
        for number in numbers:
            if signal.getsignal(number) is signal.SIG_DFL:
                with contextlib.suppress(ValueError):  # not in the main thread
                    signal.signal(number, end)
                    taken.append(number)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Make standard output and error take any text, whatever their encoding, read or not."""
    plain = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Terminal(sys.stdout, escapes=True), Terminal(sys.stderr, escapes=False)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = plain


class Terminal:
    """A text stream that never fails for what is written to it; all else is as with the stream itself."""

    def __init__(self, stream: TextIO, *, escapes: bool):
        """`escapes` shows control characters as escapes; progress bars need them as they are."""
        self._stream = stream
        self._escapes = escapes

    def write(self, text: str) -> int:
        """Write, with stand-ins for what the stream's encoding lacks."""
        shown = printable(text, keep="\n\t") if self._escapes else text
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            shown.encode(encoding)
        except UnicodeEncodeError:
            shown = shown.translate(_STAND_INS).encode(encoding, "backslashreplace").decode(encoding)
        self._unless_closed(lambda: self._stream.write(shown))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self._unless_closed(self._stream.flush)

    def _unless_closed(self, call: Callable[[], Any]) -> None:
        """Do without whoever has stopped reading (`| head`, a terminal that has gone), now and at exit."""
        try:
            call()
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            if not self._stream.isatty() and error.errno != errno.EIO:
                raise
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _one_form_of_warnings() -> Iterator[None]:
    """Show a warning as one line, "warning: ...", without the place in the code or the word twice."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        _tell(f"warning: {_WORD_WARNING.sub('', str(message))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _tell(text: str) -> None:
    print(printable(text, keep="\n"), file=sys.stderr, flush=True)
