"""`hear-mwmae models`: the named models and where their weights are."""

import argparse
import math
from collections.abc import Sequence

from hear_mwmae.command import run_command
from hear_mwmae.config import NAMED_MODELS, WEIGHTS_VARIABLE
from hear_mwmae.named_weights import find_weights, user_cache
from hear_mwmae.processor import describe_bf16


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    return argparse.ArgumentParser(
        prog="hear-mwmae models", description="List the named models and where their weights are."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake."""

    def work() -> None:
        parser().parse_args(argv)
        _print_models()

    return run_command(work)


def _print_models() -> None:
    from hear_mwmae.frontend import HOP_MS  # torch; --help is there before it
    from hear_mwmae.parameter_shapes import decoder_shapes, encoder_shapes

    print(f"{'model':14}{'encoder':>9}{'+decoder':>10}{'size':>7}{'per':>7}  {'in the paper':24}weights")
    for name, model in NAMED_MODELS.items():
        encoder, decoder = (
            sum(math.prod(shape) for shape in shapes(model.config).values()) / 1e6
            for shapes in (encoder_shapes, decoder_shapes)
        )
        column = f"{model.config.patch_size[0] * HOP_MS:.0f} ms"
        print(
            f"{name:14}{encoder:7.1f} M{encoder + decoder:8.1f} M{model.config.embedding_size:7}{column:>7}  "
            f"{model.row:24}{find_weights(name) or 'none found'}"
        )
    print(
        "\nParameters, length of an embedding, and the sound that one timestamp embedding stands for. The\n"
        "weights in the package have a smaller decoder than the paper's, 6.4 M parameters in all."
    )
    print(
        f"Weights are looked for as <model>.safetensors in ${WEIGHTS_VARIABLE}, the package, {user_cache()}."
    )
    print(describe_bf16())
    for name, model in NAMED_MODELS.items():
        if model.released_directory:
            print(f"Released by the paper's authors for {name}: {model.released_directory} (see `convert`).")
