"""Reads the checkpoint directories of the released MW-MAE code with msgpack and numpy alone.

A run directory holds `checkpoint_<step>`, one msgpack file with the state of a training run, and
`config.json`. Arrays are msgpack extensions of (shape, dtype name, bytes). Only the parameters are read;
optimiser state of any kind is skipped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from hear_mwmae.errors import UserError
from hear_mwmae.json_files import read_json
from hear_mwmae.model_file import unchanged
from hear_mwmae.names import printable

ARRAY_EXTENSIONS = (1, 3)
LARGEST_BUFFER = 2**31 - 1
# Names of parameters, sizes of arrays, entries of a map, maps within each other, updates: all far above what
# the released code writes, and low enough that lists of nothing cannot fill the memory.
LONGEST_NAME, MOST_AXES, MOST_ENTRIES, DEEPEST, LARGEST_STEP = 1000, 8, 10_000, 16, 2**53
NUMBERS = ("float16", "float32", "float64", "int32", "int64", "uint32")


@dataclass(frozen=True)
class FlaxCheckpoint:
    """What one checkpoint of the released code holds for inference."""

    path: Path
    step: int
    params: dict[str, np.ndarray]
    """By path, such as "encoder_block_00/Mlp_0/Dense_0/kernel"; bfloat16 arrays are widened to float32."""
    model_args: dict[str, Any]
    """What `config.json` says about the model; it does not know the encoder's width, depth and heads."""


def checkpoint_file(path: Path) -> Path | None:
    """Return the checkpoint file at `path`: itself, or the one of the highest step in that directory."""
    if path.is_file():
        return path
    names = {p: p.name.removeprefix("checkpoint_") for p in path.glob("checkpoint_*") if p.is_file()}
    steps = {p: int(step) for p, step in names.items() if step.isdecimal()}
    return max(steps, key=steps.__getitem__, default=None)


def read_flax_checkpoint(path: Path) -> FlaxCheckpoint:
    """Read the parameters of a checkpoint file, or of the newest one in a run directory.

    Raises:
        UserError: no checkpoint there, one that is damaged or of another kind or holds values that are not
            finite, or one that changes while it is read.
    """
    file = checkpoint_file(path)
    if file is None:
        raise UserError(
            f"{printable(path)}: holds no file checkpoint_<step>; name a run directory of the released code."
        )
    name = printable(file)
    try:
        with unchanged(file):
            state = dict(_entries(file, {"params", "step"}))
        params = dict(_leaves(state["params"]))
        step = _step(state["step"])
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise UserError(
            f"{name}: neither a .safetensors model file nor a whole checkpoint of the released code; "
            "correct the path, or copy it again."
        ) from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}).") from None
    for parameter, array in params.items():
        if not np.isfinite(array).all():
            raise UserError(f"{name}: {printable(parameter)} holds NaN or infinite values; copy it again.")
    return FlaxCheckpoint(file, step, params, _model_args(file.parent / "config.json"))


def _entries(file: Path, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """Entries of the outermost map; what is not wanted is skipped without being decoded."""
    size = min(max(file.stat().st_size, 1024), LARGEST_BUFFER)
    with file.open("rb") as stream:
        unpacker = msgpack.Unpacker(
            stream,
            ext_hook=_array,
            strict_map_key=False,
            max_buffer_size=size,
            max_str_len=LONGEST_NAME,
            max_array_len=MOST_AXES,
            max_map_len=MOST_ENTRIES,
        )
        for _ in range(unpacker.read_map_header()):
            key = unpacker.unpack()
            if isinstance(key, str) and key in wanted:
                yield key, unpacker.unpack()
            else:
                unpacker.skip()


def _array(code: int, data: bytes) -> object:
    if code not in ARRAY_EXTENSIONS:
        raise ValueError(f"extension {code} is no array")
    shape, dtype, content = msgpack.unpackb(data, max_array_len=MOST_AXES, max_str_len=LONGEST_NAME)
    if dtype == "bfloat16":
        # The upper half of a float32.
        bits = np.frombuffer(content, np.uint16).astype(np.uint32) << 16
        values = bits.view(np.float32)
    elif dtype in NUMBERS:
        values = np.frombuffer(content, np.dtype(dtype))
    else:
        raise ValueError(f"{dtype!r} are no numbers")
    if any(type(size) is not int or size < 0 for size in shape) or math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values do not have the shape {shape}")
    return values.reshape(shape)


def _step(value: object) -> int:
    step = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    if type(step) is not int or not 0 <= step < LARGEST_STEP:
        raise ValueError(f"{step!r} is no number of updates")
    return step


def _leaves(tree: dict[str, object], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    if depth > DEEPEST:
        raise ValueError("the parameters are nested too deeply")
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}/", depth + 1)
        elif isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        else:
            raise TypeError(f"{prefix}{name} is not an array")


def _model_args(file: Path) -> dict[str, Any]:
    """Read the model's arguments from config.json; a checkpoint that came alone has none."""
    if not file.is_file():
        return {}
    values = read_json(file)
    try:
        arguments = dict(values["model"]["model_args"])
        optimisation = values.get("opt", {})
        if "norm_pix_loss" in optimisation:
            arguments["norm_pix_loss"] = optimisation["norm_pix_loss"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{printable(file)}: not the config.json of a training run; repair or remove it."
        ) from None
    return arguments
