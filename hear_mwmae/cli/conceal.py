"""`hear-mwmae conceal`: lost packets of a recording, filled by a model."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.needed import run_pretrain_command

HELP = """Lose packets of a recording, and let a model conceal them (Audio-MAE, Figure 2).

  hear-mwmae conceal speech.wav --model mw_mae_t --loss 0.25 --out concealed/
  hear-mwmae conceal speech.wav --model mine.safetensors --lost 1.2-1.5,3.0-3.2 --out concealed/

--loss takes that share of the columns of patches of every piece; --lost says which seconds are lost. Written
are the received sound and the repaired ones, a picture of spectrograms and waveforms, and a page of all that,
index.html, which opens without a network. Printed are the log-spectral distance over the lost frames and the
signal-to-noise ratio over the lost samples, beside those of silence, of interpolated log-mels, and of the
true log-mels.

The model must have its decoder, and see something within each piece of its input length. The file may have up
to 10 minutes.
"""
DEFAULT_LOSS = 0.25


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae conceal", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, metavar="FILE", help="sound of any rate")
    parser.add_argument(
        "--model", required=True, metavar="FILE_OR_NAME", help="*.safetensors, or a named model with weights"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write, made if missing"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--loss", type=float, default=DEFAULT_LOSS, metavar="R",
                       help="share of the columns that is lost, default 0.25 as in Figure 2")  # fmt: skip
    which.add_argument("--lost", metavar="SPANS", help="what is lost instead, in seconds: 1.2-1.5,3.0-3.2")
    parser.add_argument("--seed", type=int, default=0, help="of the lost columns and the phases, default 0")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake."""
    return run_pretrain_command(
        lambda: _run(parser().parse_args(argv)), "stopped; run the same command to start again."
    )


def _run(options: argparse.Namespace) -> None:
    from hear_mwmae.analysis.concealment import conceal, draw_lost, parse_spans, samples_in  # JAX; --help is
    from hear_mwmae.analysis.folder import OutputFolder  # there before it
    from hear_mwmae.analysis.inputs import model_file, read_clip
    from hear_mwmae.analysis.page import Page, render
    from hear_mwmae.analysis.reports import CONCEALMENT_NOTES, measures_of, write_concealment
    from hear_mwmae.analysis.trained import load_trained
    from hear_mwmae.audio import find_audio

    spans = None if options.lost is None else parse_spans(options.lost)
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} must not be negative.")
    if options.path.is_dir():
        raise UserError(f"{printable(options.path)}: is a folder; name one sound file.")
    [path], folder = find_audio([options.path]), OutputFolder(options.out)
    model = load_trained(model_file(options.model))
    if model.config.norm_pix_loss:
        raise UserError(
            f"{model.name}: was trained with norm_pix_loss; what it predicts has no level, nor a sound."
        )
    samples = read_clip(path, model, remark=True)
    try:
        if spans is None:
            lost = draw_lost(model, len(samples), loss=options.loss, seed=options.seed)
        else:
            lost = samples_in(spans, len(samples))
        found = conceal(model, samples, lost, seed=options.seed)
    except UserError as error:
        raise UserError(f"{printable(path)}: {error}") from None
    section = write_concealment(folder, path, found, model)
    which = (
        f"Lost: {options.lost} s"
        if spans
        else f"Lost: {100 * options.loss:g} % of the columns, seed {options.seed}"
    )
    about = [f"Model {model.name}. {which}."]
    page = folder.write_page(render(Page("Packet loss concealment", about, [section], CONCEALMENT_NOTES)))
    print(section.text)
    for name, distance, ratio in measures_of(found):
        print(f"  {name:26}{distance:>10}{ratio:>10}")
    print(page)
