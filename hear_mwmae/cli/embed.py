"""`hear-mwmae embed`: embeddings of sound files, in one file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.audio import LONGEST_HOURS
from hear_mwmae.command import run_command
from hear_mwmae.config import PRECISIONS, TIMESTAMPS, WEIGHTS_VARIABLE, named_model
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.named_weights import find_weights
from hear_mwmae.names import printable

HELP = f"""Embed sound files of up to {LONGEST_HOURS} hours, of any rate and channel count.

One row per file (the mean over time), or with --timestamps one row per patch length of sound (40 ms for 4x16
models, 160 ms for Audio-MAE). All files are read once before the work starts, so that a bad one is named
before anything is lost. Folders are searched at any depth, linked ones too; hidden files, trash and system
files are passed over. What decodes counts: sound that ends before its header says, and channels that cancel
each other, are named.

  hear-mwmae embed recordings/ --model mw_mae_b --weights mw_mae_b.safetensors --out scenes.npz
  hear-mwmae embed a.wav b.mp3 --model mw_mae_t --out frames.parquet --timestamps

.npz holds files, embeddings, file_index (row -> file) and, with --timestamps, times_ms; .parquet holds file,
time_ms, embedding. Both also say model, weights ("random" where they are) and precision.
Without --weights the weights are looked for in ${WEIGHTS_VARIABLE}, the package, and the user's cache.
"""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae embed", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="folders are searched at any depth"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="*.npz or *.parquet; replaced only when complete"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--model", metavar="NAME", help="a named model, see `hear-mwmae models`")
    shape.add_argument(
        "--heads", type=int, help="of a released checkpoint that is no named model: head count"
    )
    parser.add_argument("--weights", default="", metavar="PATH", help="model file, or released checkpoint")
    parser.add_argument("--timestamps", action="store_true", help="one row per time instead of per file")
    parser.add_argument("--times", choices=TIMESTAMPS,
                        help="spread evenly from 0 as MW-MAE's released code does (default), or true centres "
                        "(default of Audio-MAE)")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default="float32",
                        help="bf16: within 1 %% of float32, and faster only where the processor has it; "
                        "`hear-mwmae models` says whether yours does")  # fmt: skip
    parser.add_argument("--device", help="torch device; default: cuda where there is one, else cpu")
    parser.add_argument("--allow-random-init", action="store_true", help="go on without weights (for tests)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out unreadable files; list them, exit 1"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 when bad files were left out, 2 for a mistake, 130 after Ctrl-C."""
    return run_command(
        lambda: _run(parser().parse_args(argv)),
        "stopped; nothing was written. Run the same command to start again.",
    )


def _run(options: argparse.Namespace) -> int:
    from hear_mwmae.audio import find_audio  # torch and all else; --help is there before them
    from hear_mwmae.embed_files import checked_files, embed_files, torch_device
    from hear_mwmae.loading import load_model
    from hear_mwmae.outputs import check_output, open_output

    files = find_audio(options.paths)
    check_output(options.out)
    if not options.weights and not options.model:
        raise UserError(
            "No model was given: name one with --model (see `hear-mwmae models`), or its file with --weights."
        )
    if not options.weights:
        named_model(options.model)
        if find_weights(options.model) is None and not options.allow_random_init:
            raise UserError(
                f"There are no weights for {options.model}: give --weights, put {options.model}.safetensors "
                f"into the folder ${WEIGHTS_VARIABLE}, or accept random ones with --allow-random-init."
            )
    found = options.weights or find_weights(options.model)
    about = {
        "model": options.model or "",
        "weights": name_as_text(found) if found else "random",
        "precision": options.precision,
    }
    with open_output(options.out, about) as output:
        model = load_model(
            options.weights,
            model=options.model,
            heads=options.heads,
            precision=options.precision,
            timestamps=options.times,
        ).to(torch_device(options.device))
        checked, bad = checked_files(files, model.sample_rate)
        if bad and (not options.skip_bad or not checked):
            raise UserError(_listing(bad, len(files)) + "\nRepair them, or leave them out with --skip-bad.")
        for path, known in checked.items():
            for remark in known.remarks:
                print(f"warning: {printable(path)}: {remark}", file=sys.stderr)
        embed_files(checked, model, output, timestamps=options.timestamps)
    seconds = sum(known.seconds for known in checked.values())
    print(f"{options.out}: {len(checked)} files, {seconds:.1f} s of sound.")
    if bad:
        print(f"warning: {_listing(bad, len(files))}", file=sys.stderr)
    return 1 if bad else 0


def _listing(bad: Sequence[str], total: int) -> str:
    return "\n  ".join([f"{len(bad)} of {total} files cannot be used:", *bad])
