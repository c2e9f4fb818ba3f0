"""How every command ends: signals, closed pipes, streams of another encoding, mistakes."""

import os
import signal
import subprocess
import sys
import warnings

import pytest
from paths import ROOT

import hear_mwmae.command
import tasks.command
from hear_mwmae import UserError
from tasks import TaskError

PACKAGES = [(tasks.command, TaskError), (hear_mwmae.command, UserError)]
both = pytest.mark.parametrize(("module", "error"), PACKAGES, ids=["tasks", "hear_mwmae"])


def script(module: str, body: str) -> list[str]:
    text = (
        f"import sys, os, time, signal\nfrom {module} import run_command\n"
        f"def work():\n    {body}\nsys.exit(run_command(work, 'stopped here'))"
    )
    return [sys.executable, "-c", text]


def run(module: str, body: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(script(module, body), capture_output=True, env=environment, timeout=120, **options)


@both
def test_a_mistake_is_a_sentence_without_control_characters(module, error, capsys):
    def work():
        raise error("no \x1b[2Jsuch file")

    assert module.run_command(work) == 2
    assert capsys.readouterr().err == "error: no \\x1b[2Jsuch file\n"


@both
@pytest.mark.parametrize(("raised", "word"), [(MemoryError(), "memory"), (OSError(28, "No space", "f"), "f")])
def test_what_the_machine_refuses_is_a_sentence(module, error, raised, word, capsys):
    def work():
        raise raised

    assert module.run_command(work) == 2
    assert word in capsys.readouterr().err


@both
def test_warnings_have_one_form(module, error, capsys):
    def work():
        for text in ("plain", "Warning: twice", "UserWarning: a\x07b", "warnings are good"):
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn(text, stacklevel=1)

    assert module.run_command(work) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["warning: plain", "warning: twice", "warning: a\\x07b", "warning: warnings are good"]


@pytest.mark.parametrize("module", ["tasks.command", "hear_mwmae.command"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_with_the_sentence_and_its_status(module, name):
    body = (
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"    os.kill(os.getpid(), signal.{name}); time.sleep(60)"
    )
    done = run(module, body)
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr.decode().strip() == "stopped here"


def test_a_signal_that_was_ignored_stays_ignored():
    body = "os.kill(os.getpid(), signal.SIGHUP); print('went on')"
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *script("tasks.command", body)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(ignoring, capture_output=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"went on\n")


def test_a_forked_worker_ends_at_sigterm_without_a_word():
    body = (
        "ready, tell = os.pipe()\n"
        "    if not (pid := os.fork()): os.write(tell, b'.'); time.sleep(60); os._exit(1)\n"
        "    os.read(ready, 1); os.kill(pid, signal.SIGTERM); print(os.waitpid(pid, 0)[1])"
    )
    done = run("tasks.command", body)
    assert (done.stdout.split(), done.stderr) == ([str(int(signal.SIGTERM)).encode()], b"")


@pytest.mark.parametrize("module", ["tasks.command", "hear_mwmae.command"])
def test_nobody_reads_and_the_work_is_done_all_the_same(module, tmp_path):
    body = (
        "print('x' * 100000, flush=True); time.sleep(0.2)\n"
        "    for _ in range(3): print('y' * 100000)\n"
        f"    open({str(tmp_path / 'done')!r}, 'w')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(script(module, body), env=environment, **pipes) as child:
        child.stdout.read(1)
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("module", ["tasks.command", "hear_mwmae.command"])
def test_an_encoding_that_lacks_a_character_gets_a_stand_in(module):
    body = "print('1.0 ± 0.5 ä \\x1b[1m'); raise RuntimeError if 0 else SystemExit('± ä')"
    done = run(module, body, env={"PYTHONIOENCODING": "ascii"})
    assert done.stdout == b"1.0 +- 0.5 \\xe4 \\x1b[1m\n"
    assert (done.returncode, done.stderr) == (1, b"\\xb1 \\xe4\n")


def test_the_streams_are_as_they_were_afterwards():
    before = sys.stdout, sys.stderr, warnings.showwarning, signal.getsignal(signal.SIGTERM)
    assert tasks.command.run_command(lambda: None) == 0
    assert before == (sys.stdout, sys.stderr, warnings.showwarning, signal.getsignal(signal.SIGTERM))
