"""Fine-tuning on several devices and hosts, and after a kill, is what it is on one."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import children
import jax
import numpy as np
import pytest
from labelled_runs import write_small_model, write_table
from paths import ROOT
from training_runs import shared_compilation, wait_for

from hear_mwmae.pretrain.training.checkpoints import restore_params

FOUR_DEVICES = "--xla_force_host_platform_device_count=4"
PROGRAM = """
import sys
from hear_mwmae.pretrain.training import step
from hear_mwmae.supervised.__main__ import main
step.SMALLEST_SPLIT = 1  # So that even these parameters are split where they can be.
sys.exit(main(sys.argv[1:]))
"""
OPTIONS = (
    "--batch-size", "8", "--epochs", "4", "--warmup-epochs", "1", "--workers", "0", "--log-every", "1",
)  # fmt: skip
FINETUNE = (
    "--base-learning-rate", "0.1", "--precision", "float32", "--mask-time", "0.3", "--drop-path", "0.3",
    "--clip-norm", "1",
)  # fmt: skip
# Three times what was measured of parameters, 1.8e-5: sums in another order.
TOLERANCE = 5e-5
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with shared_compilation(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("pitches")
    return ("--data", str(write_table(folder)), "--init", str(write_small_model(folder)))


@contextlib.contextmanager
def started(
    inputs: tuple[str, ...], workdir: Path, *options: str, flags: str = ""
) -> Iterator[subprocess.Popen]:
    of_mode = () if "probe" in options else FINETUNE
    given = (*inputs, "--workdir", str(workdir), *OPTIONS, *of_mode, *options)
    command = [sys.executable, "-c", PROGRAM, *given]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    with children.start(command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}, stdout=None) as process:
        yield process


@pytest.fixture(scope="module")
def one_device(inputs: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(inputs, tmp_path_factory.mktemp("one"))


def finished(inputs: tuple[str, ...], workdir: Path, *options: str, flags: str = "") -> Path:
    with started(inputs, workdir, *options, flags=flags) as process:
        messages = process.stderr.read()
        assert process.wait() == 0, messages
    return workdir


def assert_alike(workdir: Path, reference: Path, tolerance: float) -> None:
    losses = [
        [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (workdir, reference)
    ]
    np.testing.assert_allclose(*losses, rtol=tolerance)
    scores = [json.loads((run / "scores.json").read_text()) for run in (workdir, reference)]
    assert scores[0]["test"]["last"] == scores[1]["test"]["last"]
    for one, other in zip(
        *(jax.tree.leaves(restore_params(run)[0]) for run in (workdir, reference)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=tolerance)


def test_a_killed_run_ends_with_the_same_bits(
    inputs: tuple[str, ...], one_device: Path, tmp_path: Path
) -> None:
    with started(inputs, tmp_path, "--checkpoint-every", "2") as process:
        wait_for(process, "step 5/")
        process.kill()
    finished(inputs, tmp_path, "--checkpoint-every", "2")
    assert json.loads((tmp_path / "run.json").read_text())["starts"][-1]["step"] > 0
    assert_alike(tmp_path, one_device, 0.0)


@pytest.mark.parametrize("options", [(), ("--fsdp",)])
def test_four_devices_fine_tune_as_one(
    inputs: tuple[str, ...], one_device: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert_alike(finished(inputs, tmp_path, *options, flags=FOUR_DEVICES), one_device, TOLERANCE)


@pytest.mark.parametrize("mode", ["finetune", "probe"])
def test_two_processes_with_four_devices_each_are_one(
    inputs: tuple[str, ...], one_device: Path, tmp_path: Path, mode: str
) -> None:
    options: tuple[str, ...] = ("--mode", mode)
    if mode == "probe":
        one_device = finished(inputs, tmp_path / "one", *options)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                started(
                    inputs, tmp_path / "two", *options, "--coordinator", address, "--processes", "2",
                    "--process-id", str(number), flags=FOUR_DEVICES,
                )
            )
            for number in range(2)
        ]  # fmt: skip
        messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(messages)
    assert_alike(tmp_path / "two", one_device, TOLERANCE)
