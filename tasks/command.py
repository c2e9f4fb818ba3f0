"""What the command lines of this package share: a progress bar and failure in one sentence."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm

from tasks.errors import TaskError
from tasks.work import Progress


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
    rate = int(text) if text.isdecimal() else 0
    if not 1000 <= rate <= 192000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate between 1000 and 192000 Hz")
    return rate


def run_command(work: Callable[[], None]) -> int:
    """Run `work`; return the exit status and say in one sentence what went wrong, without a traceback."""
    try:
        work()
    except (TaskError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing half-made was left: run the same command again.", file=sys.stderr)
        return 130
    return 0
