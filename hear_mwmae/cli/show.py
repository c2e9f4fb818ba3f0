"""`hear-mwmae show`: a model file's shape and where it is from, as JSON."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.command import run_command
from hear_mwmae.config import named_model
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.named_weights import find_weights


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae show",
        description="Print a model file's path, ModelConfig and provenance as one JSON object.",
    )
    parser.add_argument("model", metavar="FILE_OR_NAME", help="*.safetensors, or a named model with weights")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake."""
    return run_command(lambda: _show(parser().parse_args(argv)))


def _show(options: argparse.Namespace) -> None:
    from hear_mwmae.weights import read_model_file  # torch; --help is there before it

    path = Path(options.model)
    if path.suffix != ".safetensors":
        named_model(options.model)
        found = find_weights(options.model)
        if found is None:
            raise UserError(f"There are no weights for {options.model}: name the model file itself.")
        path = found
    weights = read_model_file(path)
    shape = json.loads(weights.config.to_json())
    about = {"file": name_as_text(path), "model": shape, "provenance": dict(weights.provenance)}
    print(json.dumps(about, indent=1))
