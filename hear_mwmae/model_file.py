"""What the two frameworks agree on: names and metadata of the model file, and how it is checked and replaced.

A model file is safetensors; its metadata hold the format, the `ModelConfig` and where the parameters came
from. Tensors are named "encoder...." or "decoder....", weights of linear layers are (out, in).
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import replacing, signature
from hear_mwmae.json_files import parse_json
from hear_mwmae.names import printable
from hear_mwmae.parameter_shapes import Shapes, decoder_shapes, encoder_shapes

FORMAT = "hear_mwmae"
FORMAT_VERSION = "1"
ENCODER_PREFIX = "encoder."
DECODER_PREFIX = "decoder."
# A model of 1024 blocks has a header of 3 MB.
LARGEST_HEADER = 16 << 20
BYTES_PER_VALUE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says before its parameters, compared with itself."""

    config: ModelConfig
    provenance: Mapping[str, object]
    shapes: Shapes
    """Of every tensor of encoder and decoder in the file."""


def save_model_file(
    path: Path, config: ModelConfig, provenance: Mapping[str, object], save: Callable[..., None]
) -> None:
    """Let `save(path, metadata)` write a model file, which appears under its name only when complete.

    Raises:
        UserError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config.to_json(),
        "provenance": json.dumps(provenance, sort_keys=True),
    }
    try:
        with replacing(path) as temporary:
            # safetensors makes a file that only its owner may read, whatever the umask says.
            temporary.touch()
            mode = temporary.stat().st_mode
            save(temporary, metadata)
            temporary.chmod(mode)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{printable(path)}: cannot be written ({first_line(error)}).") from None


def read_model_header(path: Path) -> ModelHeader:
    """Read what a model file says of itself, and compare the shapes of its tensors with its configuration.

    No tensor is read and nothing is built.

    Raises:
        UserError: not a model file, one of a newer format, or parameters that do not fit its configuration.
    """
    name = printable(path)
    tensors = _safetensors_header(path)
    metadata = tensors.pop("__metadata__", {})
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT or "config" not in metadata:
        raise UserError(f"{name}: carries no model configuration; write it with `hear-mwmae convert`.")
    if metadata.get("format_version") != FORMAT_VERSION:
        version = printable(str(metadata.get("format_version"))[:20])
        raise UserError(f"{name}: has format version {version}, not {FORMAT_VERSION}: update this package.")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise UserError(f"{name}: its metadata are no texts; restore or export it again.")
    config = ModelConfig.from_json(metadata["config"], source=name)
    provenance = parse_json(metadata.get("provenance", "{}"), f"{name}: the provenance", finite=False)
    if not isinstance(provenance, dict):
        raise UserError(f"{name}: the provenance is no JSON object; restore or export it again.")
    shapes = {
        tensor: _shape(name, tensor, entry)
        for tensor, entry in tensors.items()
        if tensor.startswith((ENCODER_PREFIX, DECODER_PREFIX))
    }
    check_shapes(name, shapes, config)
    return ModelHeader(config, provenance, shapes)


def _safetensors_header(path: Path) -> dict[str, Any]:
    name = printable(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LARGEST_HEADER:
                raise UserError(
                    f"{name}: not a readable safetensors file (its header would have {length} bytes, and "
                    f"{LARGEST_HEADER} are read at most); restore it."
                )
            content = file.read(length)
    except OSError as error:
        raise UserError(f"{name}: not a readable safetensors file ({error.strerror}).") from None
    found = parse_json(content, f"{name}: not a readable safetensors file: its header")
    if len(content) < length or not isinstance(found, dict):
        raise UserError(f"{name}: not a readable safetensors file (its header is cut off); restore it.")
    return found


def _shape(name: str, tensor: str, entry: Any) -> tuple[int, ...]:
    """Shape of one tensor, if its place in the file has room for just that."""
    with contextlib.suppress(TypeError, KeyError, ValueError):
        shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
        integers = all(type(number) is int and number >= 0 for number in (*shape, start, stop))
        if integers and stop - start == BYTES_PER_VALUE[entry["dtype"]] * math.prod(shape):
            return shape
    raise UserError(
        f"{name}: not a readable safetensors file (its header contradicts itself, or has no floating-point "
        f"numbers, at {printable(tensor)[:80]}); restore it."
    )


def check_shapes(name: str, given: Shapes, config: ModelConfig) -> None:
    """Refuse parameters that are not those of the model: all of the encoder, and of the decoder those given.

    Raises:
        UserError: a missing, superfluous or wrongly shaped parameter; `name` is the file's.
    """
    # A look at the count spares listing the parameters of a model that the file cannot hold.
    wanted = encoder_shapes(config) if config.depth <= len(given) else {}
    if not wanted:
        raise UserError(
            f"{name}: has {len(given)} parameters where a model of depth {config.depth} has more; restore it."
        )
    wanted_decoder = decoder_shapes(config) if any(key.startswith(DECODER_PREFIX) for key in given) else {}
    for key in sorted(wanted.keys() | given.keys()):
        is_decoder = key.startswith(DECODER_PREFIX)
        needed = (wanted_decoder if is_decoder else wanted).get(key)
        if key in given and given[key] == needed:
            continue
        found = "missing" if key not in given else f"of shape {given[key]}"
        part = DECODER_PREFIX if is_decoder else ENCODER_PREFIX
        raise UserError(
            f"{name}: {part[:-1]} parameter {printable(key.removeprefix(part))[:80]} is {found} where the "
            f"model has {'none' if needed is None else f'shape {needed}'}; the weights are of another model: "
            "name the one they were trained as."
        )


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse what is read of a file within the context if somebody writes to the file meanwhile.

    Raises:
        UserError: the file is another one at the end.
    """
    before = signature(path)
    yield
    if signature(path) != before:
        raise UserError(
            f"{printable(path)}: was changed while it was read; wait until it is complete, and run the same "
            "command again."
        )
