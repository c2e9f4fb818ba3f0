"""Reads the checkpoint directories of the released MW-MAE code with msgpack and numpy alone.

A run directory holds `checkpoint_<step>`, one msgpack file with the state of a training run, and
`config.json`. Arrays are msgpack extensions of (shape, dtype name, bytes). Only the parameters are read;
optimiser state of any kind is skipped.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np

from hear_mwmae.errors import UserError

ARRAY_EXTENSIONS = (1, 3)
LARGEST_BUFFER = 2**31 - 1


@dataclass(frozen=True)
class FlaxCheckpoint:
    """What one checkpoint of the released code holds for inference."""

    path: Path
    step: int
    params: dict[str, np.ndarray]
    """By path, such as "encoder_block_00/Mlp_0/Dense_0/kernel"; bfloat16 arrays are widened to float32."""
    model_args: dict[str, object]
    """What `config.json` says about the model; it does not know the encoder's width, depth and heads."""


def checkpoint_file(path: Path) -> Path | None:
    """Return the checkpoint file at `path`: itself, or the one of the highest step in that directory."""
    if path.is_file():
        return path
    steps = {p: p.name.removeprefix("checkpoint_") for p in path.glob("checkpoint_*") if p.is_file()}
    steps = {p: int(step) for p, step in steps.items() if step.isdecimal()}
    return max(steps, key=steps.__getitem__, default=None)


def read_flax_checkpoint(path: Path) -> FlaxCheckpoint:
    """Read the parameters of a checkpoint file, or of the newest one in a run directory.

    Raises:
        UserError: no checkpoint there, or one that is damaged or of another kind.
    """
    file = checkpoint_file(path)
    if file is None:
        raise UserError(
            f"{path}: holds no file checkpoint_<step>; name a run directory of the released code."
        )
    try:
        state = dict(_entries(file, {"params", "step"}))
        params = dict(_leaves(state["params"]))
        step = int(state["step"])
    except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise UserError(
            f"{file}: neither a .safetensors model file nor a whole checkpoint of the released code; "
            "correct the path, or copy it again."
        ) from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error}).") from None
    return FlaxCheckpoint(file, step, params, _model_args(file.parent / "config.json"))


def _entries(file: Path, wanted: set[str]) -> Iterator[tuple[str, object]]:
    """Entries of the outermost map; what is not wanted is skipped without being decoded."""
    with file.open("rb") as stream:
        unpacker = msgpack.Unpacker(
            stream, ext_hook=_array, strict_map_key=False, max_buffer_size=LARGEST_BUFFER
        )
        for _ in range(unpacker.read_map_header()):
            key = unpacker.unpack()
            if key in wanted:
                yield key, unpacker.unpack()
            else:
                unpacker.skip()


def _array(code: int, data: bytes) -> object:
    if code not in ARRAY_EXTENSIONS:
        return msgpack.ExtType(code, data)
    shape, dtype, content = msgpack.unpackb(data)
    if dtype == "bfloat16":
        # The upper half of a float32.
        bits = np.frombuffer(content, np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    return np.frombuffer(content, np.dtype(dtype)).reshape(shape)


def _leaves(tree: dict[str, object], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}/")
        elif isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        else:
            raise TypeError(f"{prefix}{name} is not an array")


def _model_args(file: Path) -> dict[str, object]:
    """Read the model's arguments from config.json; a checkpoint that came alone has none."""
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text())["model"]["model_args"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: not the config.json of a training run; repair or remove it.") from None
