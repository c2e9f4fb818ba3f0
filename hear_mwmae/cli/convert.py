"""`hear-mwmae convert`: a released checkpoint as a model file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hear_mwmae.command import run_command
from hear_mwmae.config import NAMED_MODELS, named_model
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable

if TYPE_CHECKING:
    from hear_mwmae.weights import Weights

HELP = """Convert a checkpoint directory of the released MW-MAE code, or a file of Audio-MAE, to a model file.

  hear-mwmae convert mwmae_base_200_4x16_8x128_default_bfloat16_run1 \\
      --model mw_mae_b --out mw_mae_b.safetensors
  hear-mwmae convert my_run --heads 6 --out my_run.safetensors
  hear-mwmae convert pretrained.pth --out audio_mae_b.safetensors --decoder

Every parameter's shape is checked. A checkpoint of MW-MAE does not state the encoder's head count, therefore
name the model or give the count; a wrong count cannot be noticed and gives wrong embeddings. With --decoder
its head count and the mask ratio must be known too: from config.json beside the checkpoint, the model's name,
or --decoder-heads and --mask-ratio. Optimiser state is ignored.

Of Audio-MAE, pre-trained files (global and local decoder) and fine-tuned ones are read, whose classifier is
left out. One head for every 64 channels is taken, 16 in a global decoder, and AudioSet's mean and deviation.

Tested on checkpoints that the released codes wrote; the authors' own files were not at hand.
"""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae convert", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="run directory, one file checkpoint_<step>, or *.pth")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--model", choices=NAMED_MODELS, help="the named model that it is", metavar="NAME")
    shape.add_argument(
        "--heads", type=int, help="head count of the encoder; the rest is read off the parameters"
    )
    parser.add_argument("--out", type=Path, required=True, help="model file to write, *.safetensors")
    parser.add_argument("--decoder", action="store_true", help="keep the decoder too")
    parser.add_argument(
        "--decoder-heads", type=int, metavar="N", help="its head count, where no config.json lies beside"
    )
    parser.add_argument(
        "--mask-ratio", type=float, metavar="R", help="share of the patches masked in training, likewise"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake: nothing has been written then."""
    return run_command(
        lambda: _convert(parser().parse_args(argv)),
        "stopped; nothing was written. Run the same command to start again.",
    )


def _convert(options: argparse.Namespace) -> None:
    from hear_mwmae.weights import write_model_file  # torch; --help is there before it

    if options.out.suffix != ".safetensors":
        raise UserError(f"{printable(options.out)}: the name of a model file must end in .safetensors.")
    if not options.checkpoint.exists():
        raise UserError(
            f"{printable(options.checkpoint)}: there is no such file or directory; correct the path."
        )
    weights = _converted(options)
    write_model_file(options.out, weights)
    parameters = sum(tensor.numel() for tensor in weights.tensors.values()) / 1e6
    config, provenance = weights.config, weights.provenance
    origin = f"of step {provenance['step']}" if "step" in provenance else f"({provenance['kind']})"
    print(
        f"{options.out}: {parameters:.1f} M parameters {origin}, "
        f"width {config.width}, depth {config.depth}, {config.heads} heads, "
        f"patches {config.patch_size[0]}x{config.patch_size[1]}, "
        f"embedding size {config.embedding_size}. Use it as hear_mwmae.from_checkpoint@{options.out}"
    )
    if isinstance(assumed := provenance.get("assumed"), dict):
        listed = ", ".join(f"{field} {value}" for field, value in assumed.items())
        print(
            f"warning: nothing tells {listed}: assumed, as the file says. Embeddings do not depend on it.",
            file=sys.stderr,
        )


def _converted(options: argparse.Namespace) -> "Weights":
    """Read a checkpoint by what its file is."""
    from hear_mwmae.convert import convert_checkpoint
    from hear_mwmae.convert_audio_mae import convert_audio_mae
    from hear_mwmae.loading import check_identity
    from hear_mwmae.torch_file import is_torch_file

    decoder = {
        "decoder": options.decoder, "decoder_heads": options.decoder_heads, "mask_ratio": options.mask_ratio
    }  # fmt: skip
    if is_torch_file(options.checkpoint):
        weights = convert_audio_mae(options.checkpoint, heads=options.heads, **decoder)
        if options.model:
            check_identity(weights.config, options.model, options.checkpoint)
        return weights
    config = named_model(options.model).config if options.model else None
    return convert_checkpoint(options.checkpoint, config=config, heads=options.heads, **decoder)
