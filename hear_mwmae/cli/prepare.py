"""`hear-mwmae prepare`: turn folders of sound into shards of spectrograms."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.audio import LONGEST_HOURS
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.content import verify
from hear_mwmae.pretrain.data.manifest import (
    MANIFEST_FILE,
    REMARKS_FILE,
    SOUND_FRONT_ENDS,
    UNREADABLE_FILE,
    Options,
)
from hear_mwmae.pretrain.data.prepare import prepare
from hear_mwmae.pretrain.needed import run_pretrain_command

SHORTEST_PIECE = 0.1
REMARKS_SHOWN = 10

HELP = f"""Turn folders of sound into shards of spectrograms for pre-training.

Any wav, flac, ogg, opus or mp3 of up to {LONGEST_HOURS} hours, of any rate and channel count, becomes
16 kHz mono, then a log-mel spectrogram stored as float16: 80 bands from 50 to 8000 Hz, 25 ms every 10 ms, as
MAE and MW-MAE read it, or with --front-end fbank_128 Kaldi's filter bank, as Audio-MAE does.
DIR receives ArrayRecord shards, index.parquet (id, shard, row, frames) and {MANIFEST_FILE}.

  hear-mwmae prepare AUDIO_FOLDER --out DIR
  hear-mwmae prepare a/ b/ one.wav --out DIR --workers 8
  hear-mwmae prepare records.csv --tfrecord --out DIR
  hear-mwmae prepare AUDIO_FOLDER --out DIR --front-end fbank_128
  hear-mwmae prepare --verify DIR

A stopped or killed run is continued by the same command, with the same result. What cannot be read is listed
in {UNREADABLE_FILE} with the reason; what is doubtful in {REMARKS_FILE}: sound that ends before
its header says, and channels that cancel each other. Linked folders are followed; hidden files, trash and
system files are passed over. Exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped)."""

    def work() -> int:
        parser = _parser()
        options = parser.parse_args(arguments)
        if bool(options.verify) == bool(options.audio and options.out):
            parser.error("give AUDIO and --out DIR, or --verify DIR")
        return _verify(options.verify) if options.verify else _prepare(options)

    return run_pretrain_command(work, "stopped; run the same command again to continue.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-mwmae prepare",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "audio", type=Path, nargs="*", metavar="AUDIO", help="folders (searched at any depth) or files"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--verify", type=Path, metavar="DIR", help="compare every byte of DIR with its manifest"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: one per processor")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable file, exit 2")
    parser.add_argument(
        "--clip-seconds", type=float, default=Options.clip_seconds, metavar="S",
        help="cut files more than 2 %% longer than this into equal pieces of at most about this length; "
        "AudioSet's clips have the default, %(default)g s",
    )  # fmt: skip
    parser.add_argument("--shard-clips", type=int, default=Options.shard_clips, metavar="N",
                        help="clips in a shard, default %(default)s: 650 MB of 10 s clips")  # fmt: skip
    parser.add_argument(
        "--front-end", choices=SOUND_FRONT_ENDS, default=Options.front_end,
        help="of sound files, as the model's (default %(default)s)",
    )  # fmt: skip
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--tfrecord", dest="inputs", action="store_const", const="tfrecord", default="audio",
        help="the inputs are *.tfrec or *.tfrecord files with log-mels as the released MW-MAE code reads "
        "them, or a CSV file whose column 'files' names such files",
    )  # fmt: skip
    kind.add_argument(
        "--images", dest="inputs", action="store_const", const="images",
        help="the inputs are pictures (jpg, png, bmp, webp), for the runs of table 5: the shorter side is "
        "scaled to 224 pixels, the centre kept; training crops and mirrors nothing",
    )  # fmt: skip
    return parser


def _verify(directory: Path) -> int:
    manifest = verify(directory)
    print(f"{directory}: {len(manifest.shards)} shards with {manifest.clips} clips are undamaged.")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None and arguments.workers < 1:
        raise UserError("--workers must be at least 1.")
    if not SHORTEST_PIECE <= arguments.clip_seconds < math.inf or arguments.shard_clips < 1:
        raise UserError(f"--clip-seconds must be at least {SHORTEST_PIECE}, --shard-clips at least 1.")
    manifest = prepare(
        arguments.audio,
        arguments.out,
        options=Options(arguments.inputs, arguments.clip_seconds, arguments.shard_clips, arguments.front_end),
        workers=arguments.workers,
        strict=arguments.strict,
    )
    content = "pictures" if arguments.inputs == "images" else f"clips, {manifest.hours:.2f} hours"
    print(
        f"{arguments.out}: {manifest.clips} {content} in {len(manifest.shards)} "
        f"shards; float16 differs from float32 by {manifest.largest_float16_error:.4f} at most, "
        f"{manifest.rms_float16_error:.5f} rms."
    )
    if manifest.unreadable:
        listing = arguments.out / UNREADABLE_FILE
        print(
            f"warning: {manifest.unreadable} files or records could not be read and are left out; "
            f"{printable(listing)} lists them.",
            file=sys.stderr,
        )
    remarks = arguments.out / REMARKS_FILE
    if remarks.is_file():
        _tell_remarks(remarks)
    return 0


def _tell_remarks(listing: Path) -> None:
    """Name the first clips that end early or whose channels cancel each other."""
    with listing.open(encoding="utf-8") as file:
        lines = [printable(line.rstrip("\n").replace("\t", ": ", 1)) for line in file]
    for line in lines[:REMARKS_SHOWN]:
        print(f"warning: {line}", file=sys.stderr)
    if len(lines) > REMARKS_SHOWN:
        print(f"warning: {len(lines)} such remarks in all; {printable(listing)} lists them.", file=sys.stderr)
