"""The helper itself: signals are heard, and nothing outlives a test."""

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest
from children import kill, start, wait_for

SLEEPS = "import subprocess, sys, time; {}; print(other.pid, flush=True); time.sleep(600)"
PROGRAM = SLEEPS.format("other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])")


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(params=["SIGINT", "SIGHUP"])
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """It is ignored, as where a script starts pytest with &, or with nohup."""
    number = signal.Signals[request.param]
    before = signal.signal(number, signal.SIG_IGN)
    yield number
    signal.signal(number, before)


def test_a_signal_reaches_a_child_of_a_process_that_ignores_it(ignored: signal.Signals) -> None:
    with start([sys.executable, "-c", "print('here', flush=True); import time; time.sleep(600)"]) as child:
        assert child.stdout.readline() == "here\n"
        child.send_signal(ignored)
        _, errors = child.communicate(timeout=240)
        assert child.returncode == -ignored
        assert ("KeyboardInterrupt" in errors) == (ignored == signal.SIGINT)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="which processes live is read from /proc")
def test_a_failing_test_leaves_no_process() -> None:
    seen = []

    def failing() -> None:
        with start([sys.executable, "-c", PROGRAM]) as child:
            seen.extend((child, int(child.stdout.readline())))
            assert is_alive(seen[1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert seen[0].returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while is_alive(seen[1]):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_waiting_ends_with_the_process() -> None:
    with (
        start([sys.executable, "-c", "raise SystemExit('it ended')"]) as child,
        pytest.raises(AssertionError, match="it ended"),
    ):
        wait_for(child, lambda: False)
    with start([sys.executable, "-c", PROGRAM]) as child:
        with pytest.raises(AssertionError, match="nothing of it"):
            wait_for(child, lambda: False, seconds=0.05)
        kill(child)
        assert child.returncode == -signal.SIGKILL
