"""Every command of hear_mwmae: what it does where nobody reads on, and where the system ends it."""

import argparse
import importlib
import os
import signal
import sys

import pytest

import hear_mwmae.__main__

COMMANDS = [command.module for command in hear_mwmae.__main__.COMMANDS.values()]
BENCHMARKS = ["benchmarks.embedding", "benchmarks.pretraining", "benchmarks.attention"]


def main_of(name: str) -> object:
    if name.startswith("hear_mwmae.pretrain") or name in BENCHMARKS[1:]:
        pytest.importorskip("jax")
    return importlib.import_module(name).main


commands = pytest.mark.parametrize("name", [*COMMANDS, *BENCHMARKS])


@commands
def test_a_closed_pipe_is_no_mistake(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = main_of(name)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])


def test_a_list_that_nobody_reads_to_its_end_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    main = main_of("hear_mwmae.pretrain.configs.__main__")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert main([]) == 0


@commands
@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_it_with_a_sentence(
    name: str,
    number: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = main_of(name)
    # Where the tests run in the background these are ignored, and stay so.
    before = {other: signal.getsignal(other) for other in (signal.SIGINT, getattr(signal, number))}
    signal.signal(getattr(signal, number), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def ended(*_: object) -> None:
        signal.raise_signal(getattr(signal, number))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", ended)
    try:
        assert main([]) == status
    finally:
        for other, handler in before.items():
            signal.signal(other, handler)
    error = capsys.readouterr().err
    assert "stopped" in error
    assert "Traceback" not in error


@commands
def test_output_that_holds_ascii_only_is_enough(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = main_of(name)
    with open(os.devnull, "w", encoding="ascii") as narrow:
        monkeypatch.setattr(sys, "stdout", narrow)
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        if name.endswith("configs.__main__"):
            assert main([]) == 0
