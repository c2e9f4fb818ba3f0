"""`hear-mwmae reconstruct`: what a model puts in place of masked cells, to see and to hear."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.config import MASKS
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.needed import run_pretrain_command

HELP = """Mask the spectrograms of sound files, and let a model fill them (Audio-MAE, Figure 1).

  hear-mwmae reconstruct speech.wav --model mw_mae_t --out reconstruction/
  hear-mwmae reconstruct a.wav b.flac --model mine.safetensors --mask time+frequency --mask-ratio 0.7 --out x/

Of each file a picture (original, masked, output) and three WAV files, all on one page, index.html, which
opens without a network. Cells that are not masked are pasted back. Sound longer than the model's input is
done piece by piece, each with a mask of its own; files may have up to 10 minutes. The model must have its
decoder. One that was trained with norm_pix_loss gives pictures only, for which each patch gets its true mean
and deviation back.

--mask-ratio is the share of the patches. With "time" or "frequency" it is that of the columns or bands; with
"time+frequency" both have 1 - sqrt(1 - ratio), so that about that share of the patches is hidden. Instead of
it --mask-time and --mask-frequency say each by itself.
"""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae reconstruct",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE", help="sound of any rate; folders are searched"
    )
    parser.add_argument(
        "--model", required=True, metavar="FILE_OR_NAME", help="*.safetensors, or a named model with weights"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write, made if missing"
    )
    parser.add_argument("--mask", choices=MASKS, default="random",
                        help="single patches (default), or whole columns, bands, or both")  # fmt: skip
    parser.add_argument("--mask-ratio", type=float, metavar="R", help="share hidden, default 0.7; see above")
    parser.add_argument("--mask-time", type=float, metavar="R",
                        help="share of the columns, for time and time+frequency; default 0.7")  # fmt: skip
    parser.add_argument("--mask-frequency", type=float, metavar="R",
                        help="share of the bands, for frequency and time+frequency; default 0.3")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the masks, the same for each file; default 0")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake."""
    return run_pretrain_command(
        lambda: _run(parser().parse_args(argv)), "stopped; run the same command to start again."
    )


def _run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from hear_mwmae.analysis.folder import OutputFolder  # JAX and all else; --help is there before them
    from hear_mwmae.analysis.inputs import model_file, read_clip
    from hear_mwmae.analysis.masking import choose_mask
    from hear_mwmae.analysis.page import Page, render
    from hear_mwmae.analysis.reconstruction import reconstruct
    from hear_mwmae.analysis.reports import RECONSTRUCTION_NOTES, summary_of, write_reconstruction
    from hear_mwmae.analysis.trained import load_trained
    from hear_mwmae.audio import find_audio

    choice = choose_mask(
        options.mask, ratio=options.mask_ratio, time=options.mask_time, frequency=options.mask_frequency
    )
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} must not be negative.")
    files, folder = find_audio(options.paths), OutputFolder(options.out)
    model = load_trained(model_file(options.model))
    for path in tqdm(files, "checking", unit="file", leave=False, disable=None):
        read_clip(path, model, remark=True)
    notes, sections = list(RECONSTRUCTION_NOTES), []
    if model.config.norm_pix_loss:
        notes = [
            f"{model.name} was trained with norm_pix_loss; what it predicts has no level and cannot be "
            "heard. In the pictures each patch has its true mean and deviation back."
        ]
        print(f"warning: {notes[0]}", file=sys.stderr)
    for path in tqdm(files, "reconstructing", unit="file", disable=None):
        samples = read_clip(path, model)
        try:
            found = reconstruct(model, samples, choice, seed=options.seed)
        except UserError as error:
            raise UserError(f"{printable(path)}: {error}") from None
        sections.append(write_reconstruction(folder, path, samples, found, model, seed=options.seed))
        tqdm.write(f"{printable(path)}: {summary_of(found, len(samples))}")
    about = [f"Model {model.name}. Hidden: {choice}. Seed {options.seed}."]
    page = folder.write_page(render(Page("Reconstruction of masked spectrograms", about, sections, notes)))
    print(f"{page}: {len(files)} file{'s' if len(files) > 1 else ''}")
