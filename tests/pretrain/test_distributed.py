"""The number of devices and hosts, and how the parameters lie on them, leave the run what it is."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from paths import SUPPORT
from training_runs import (
    CONFIG,
    ROOT,
    assert_equal_params,
    prepare_tones,
    shared_compilation,
    start,
    wait_for,
)

FOUR_DEVICES = ("--xla_force_host_platform_device_count=4",)
OPTIONS = ("--picture-every", "6", "--checkpoint-every", "6")
# Five times what was measured: sums in another order, through twelve updates.
LOSS_TOLERANCE, PARAMETER_TOLERANCE = 2e-6, 1e-5
# No parameter has an axis of the 28 crops of a batch or of the 7 of a device.
COMPILED_UPDATE = """
import sys, jax, jax.numpy as jnp
from hear_mwmae.config import ModelConfig
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.step import data_mesh, init_state, make_train_step, state_shardings

model = ModelConfig(width=192, heads=3, depth=2, decoder_width=128, decoder_depth=2)
config, mesh = TrainConfig(model, batch_size=28), data_mesh()
shapes = jax.eval_shape(lambda: init_state(config, 10))
shardings = state_shardings(shapes, mesh, fsdp="--fsdp" in sys.argv)
features = jax.ShapeDtypeStruct((28, 200, 80), jnp.float32)
print(make_train_step(config, 10, mesh, shardings).lower(shapes, features).compile().as_text())
"""
GRADIENTS = """
import json, sys, jax, numpy as np
sys.path.insert(0, ".")
from training_runs import AUDIO_MAE as config
from hear_mwmae.pretrain.model.masks import mask_noise
from hear_mwmae.pretrain.training import step
from jax.sharding import AxisType, NamedSharding, PartitionSpec

step.SMALLEST_SPLIT = 1
features = np.random.default_rng(0).normal(size=(8, 64, 128)).astype(np.float32)

def gradient(devices, fsdp):
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    shapes = jax.eval_shape(lambda: step.init_state(config, 4))
    state = step.place_state(config, 4, step.state_shardings(shapes, mesh, fsdp=fsdp))
    batch = jax.device_put(features, NamedSharding(mesh, PartitionSpec("data")))
    noise = mask_noise(state.key, len(features), config.model.mask_draws)
    keys = jax.random.key(1)
    compiled = jax.jit(lambda params: step.loss_and_gradient(config, mesh, params, batch, noise, keys))
    found = compiled(state.params)
    temperature = state.params["decoder"]["blocks"]["attention"]["temperature"]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(found)], not temperature.sharding.is_fully_replicated

one, _ = gradient(1, False)
four, split = gradient(4, True)
pairs = zip(one, four, strict=True)
print(json.dumps([float(max(np.abs(a - b).max() / np.abs(a).max() for a, b in pairs)), len(one), split]))
"""
EXCHANGE = re.compile(
    r" = (.*) (?:all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with shared_compilation(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def one_device(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(data, tmp_path_factory.mktemp("one"))


def finish(data: Path, workdir: Path, *options: str, flags: tuple[str, ...] = ()) -> Path:
    """Train in one process, and return the work directory."""
    options = (*OPTIONS, "--validation", str(data), *options)
    with start(CONFIG, data, workdir, *options, flags=flags) as process:
        messages = process.stderr.read()
        assert process.wait() == 0, messages
    return workdir


@contextlib.contextmanager
def start_two_processes(data: Path, workdir: Path, *options: str) -> Iterator[list[subprocess.Popen]]:
    """Start a run in two processes with four devices each, which do not outlive the context."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    options = (*OPTIONS, "--validation", str(data), "--coordinator", address, "--processes", "2", *options)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                start(CONFIG, data, workdir, *options, "--process-id", str(number), flags=FOUR_DEVICES)
            )
            for number in range(2)
        ]


def curve(workdir: Path, name: str) -> np.ndarray:
    records = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    return np.array([record[name] for record in records if name in record])


def assert_same_run(workdir: Path, reference: Path) -> None:
    for name in ("loss", "validation_loss", "gradient_norm"):
        np.testing.assert_allclose(curve(workdir, name), curve(reference, name), rtol=LOSS_TOLERANCE)
    assert_equal_params(workdir, reference, tolerance=PARAMETER_TOLERANCE)


@pytest.mark.parametrize("options", [(), ("--fsdp",)])
@pytest.mark.slow
def test_four_devices_train_as_one(
    data: Path, one_device: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert_same_run(finish(data, tmp_path, *options, flags=FOUR_DEVICES), one_device)


@pytest.mark.slow
def test_the_gradient_of_a_local_decoder_on_four_devices() -> None:
    """Not a whole run: a bias that hardly matters has a gradient of rounding errors, which Adam blows up."""
    environment = os.environ | {"XLA_FLAGS": FOUR_DEVICES[0], "PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    difference, leaves, split = json.loads(done.stdout)
    assert difference < 2e-5
    assert leaves > 40
    assert split, "parameters lay on all devices"


@pytest.mark.slow
def test_two_processes_with_four_devices_each_train_as_one(
    data: Path, one_device: Path, tmp_path: Path
) -> None:
    with start_two_processes(data, tmp_path) as processes:
        messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(messages)
    assert "loss" not in messages[1]
    assert_same_run(tmp_path, one_device)


@pytest.mark.slow
def test_what_two_processes_began_one_ends(data: Path, one_device: Path, tmp_path: Path) -> None:
    """One of them is told to stop, and both do; the parameters were split over eight devices."""
    with start_two_processes(data, tmp_path, "--fsdp") as processes:
        wait_for(processes[0], "step 3/")
        processes[1].send_signal(signal.SIGTERM)
        messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], "\n".join(messages)
    assert_same_run(finish(data, tmp_path), one_device)


@pytest.mark.parametrize("options", [(), ("--fsdp",)])
@pytest.mark.slow
def test_devices_exchange_parameters_and_gradients_only(options: tuple[str, ...]) -> None:
    """Activations stay where they are: they are far larger."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED_UPDATE, *options],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": " ".join(FOUR_DEVICES)},
        capture_output=True,
        text=True,
        check=True,
    )
    exchanged = " ".join(EXCHANGE.findall(done.stdout))
    shapes = [set(shape.split(",")) for shape in re.findall(r"\[([\d,]+)\]", exchanged)]
    assert {"192", "768"} in [shape - {"1"} for shape in shapes]
    assert not [shape for shape in shapes if shape & {"7", "28"}]
