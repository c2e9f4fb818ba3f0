"""What the two frameworks agree on: names and metadata of the model file, and how it gets in place.

A model file is safetensors; its metadata hold the format, the `ModelConfig` and where the parameters came
from. Tensors are named "encoder...." or "decoder....", weights of linear layers are (out, in).
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError

FORMAT = "hear_mwmae"
FORMAT_VERSION = "1"
ENCODER_PREFIX = "encoder."
DECODER_PREFIX = "decoder."


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # safetensors makes a file that only its owner may read, whatever the umask says.
        temporary.touch()
        mode = temporary.stat().st_mode
        save(temporary, metadata)
        temporary.chmod(mode)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be written ({error}).") from None
    finally:
        temporary.unlink(missing_ok=True)
