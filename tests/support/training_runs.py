"""A model and data so small that a test can train on them, in this process or in others."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import children
import jax
import numpy as np
import pytest
import sounds
from jax.experimental.compilation_cache import compilation_cache
from paths import ROOT

from hear_mwmae.config import AUDIO_MAE_B, ModelConfig
from hear_mwmae.pretrain.data.manifest import Options
from hear_mwmae.pretrain.data.prepare import prepare
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.checkpoints import restore_params

MODEL = ModelConfig(
    input_size=(40, 80),
    width=16,
    depth=2,
    heads=2,
    decoder_width=24,
    decoder_depth=1,
    decoder_heads=4,
    decoder_windows=(5, 25, 0, 0),
)
CONFIG = TrainConfig(
    model=MODEL, epochs=3, warmup_epochs=1, batch_size=8, base_learning_rate=0.1, precision="float32", seed=3
)
"""Four steps an epoch on 37 clips: twelve steps."""
AUDIO_MAE = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(
        AUDIO_MAE_B,
        input_size=(64, 128),
        width=16,
        depth=1,
        heads=2,
        decoder_width=16,
        decoder_depth=2,
        mask="time+frequency",
        mask_time_ratio=0.5,
    ),
    roll=True,
    gain=True,
)
"""As many steps of a model with a local decoder."""
CLIPS, STEPS = 37, 12

# The command line, but for a model that has no name.
PROGRAM = """
import sys
from hear_mwmae.pretrain import __main__ as command
from hear_mwmae.pretrain.training import step
from hear_mwmae.pretrain.settings import TrainConfig
step.SMALLEST_SPLIT = 1  # So that even these parameters are split where they can be.
command.train_config = lambda options: TrainConfig.from_json(sys.argv[1])
sys.exit(command.main(["--model", "mae_t", *sys.argv[2:]]))
"""


def prepare_tones(folder: Path, clips: int = CLIPS, *, front_end: str = "log_mel_80") -> Path:
    """Prepare clips of 0.3 to 1 s, some of them shorter than a crop."""
    seconds, options = np.linspace(0.3, 1.0, clips).tolist(), Options(front_end=front_end)
    prepare([sounds.write_tones(folder / "sounds", seconds)], folder / "data", options=options, workers=1)
    return folder / "data"


@contextlib.contextmanager
def shared_compilation(folder: Path) -> Iterator[None]:
    """Keep compiled programs in a folder for this process and those that it starts."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        _use_cache(str(folder), 0)
        yield
        _use_cache(*before)


def _use_cache(folder: str | None, seconds: float) -> None:
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    compilation_cache.reset_cache()


def start(
    config: TrainConfig, data: Path, workdir: Path, *options: str, flags: Sequence[str] = ()
) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """Start a training process, which ends with the context; its standard error is piped; `flags`: XLA's."""
    flags = [os.environ.get("XLA_FLAGS", ""), *flags]
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        config.to_json(),
        "--data",
        str(data),
        "--workdir",
        str(workdir),
    ]
    return children.start(
        [*command, "--workers", "0", "--log-every", "1", *options],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": " ".join(flags), "PYTHONWARNINGS": "error,default::UserWarning"},
        stdout=None,
    )


def wait_for(process: subprocess.Popen, text: str) -> list[str]:
    """Read lines of standard error up to the one that holds the text."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("the process ended without it:\n" + "".join(lines))


def assert_equal_params(workdir: Path, reference: Path, *, tolerance: float = 0.0) -> None:
    """Compare the last checkpoints of two runs."""
    (found, step), (expected, last) = restore_params(workdir), restore_params(reference)
    assert step == last == STEPS
    compare(found, expected, tolerance)


def compare(found: dict, expected: dict, tolerance: float, name: str = "") -> None:
    """Compare nested dictionaries of arrays.

    The key part of an attention's input bias has no gradient but rounding errors, which Adam blows up: it is
    compared for equality only.
    """
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        path = f"{name}/{key}"
        if isinstance(value, dict):
            compare(found[key], value, tolerance, path)
            continue
        pair = [found[key], value]
        if tolerance and path.endswith("qkv/bias"):
            pair = [np.delete(bias.reshape(len(bias), 3, -1), 1, axis=1) for bias in pair]
        np.testing.assert_allclose(*pair, atol=tolerance, rtol=0, err_msg=path)
