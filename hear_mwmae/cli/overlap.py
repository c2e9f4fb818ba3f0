"""`hear-mwmae overlap`: look for recordings of evaluation sets in prepared data."""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from hear_mwmae.errors import UserError
from hear_mwmae.files import replacing
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.log_mel import HOP_MS
from hear_mwmae.pretrain.data.overlap import (
    LENGTHS,
    SECTION,
    THRESHOLD,
    Match,
    PreparedClips,
    find_overlap,
    read_recordings,
)
from hear_mwmae.pretrain.needed import run_pretrain_command

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1)

HELP = f"""Look for recordings of evaluation sets in prepared pre-training data.

DATA is a folder that `hear-mwmae prepare` wrote; RECORDINGS are sound files or folders of
them, such as the 16000/ folder of a HEAR task.

  hear-mwmae overlap DATA tasks/esc50-v2.0.0-full/16000 --out overlap.csv

Log-mels are compared, not bytes: copies in another codec, of other gain or rate or shifted in time are found.
Of every {SECTION * HOP_MS / 1000:g} s of a recording the richest {LENGTHS[0] * HOP_MS / 1000:g} s (of a short
one less) are compared with every position of every clip. Evidence joins the correlation and how much there
is to correlate: planted copies had more than {THRESHOLD:g}, one in 1600 other sounds too. Listen to pairs.

Exit status: 0 (nothing above {THRESHOLD:g}), 1 (something is), 2 (a mistake), 130 (stopped).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 (something was found), 2 (a mistake), 130, ..."""

    def work() -> int:
        return _overlap(_parser().parse_args(arguments))

    return run_pretrain_command(work, "stopped; run the same command to start again.")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    name = "hear-mwmae overlap"
    parser = argparse.ArgumentParser(prog=name, description=HELP, formatter_class=raw)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of prepared data")
    parser.add_argument("recordings", type=Path, nargs="+", metavar="RECORDINGS", help="files or folders")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="pairs to print (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="CSV", help="file for the best match of every recording")
    return parser


def _overlap(options: argparse.Namespace) -> int:
    if options.top < 0:
        raise UserError("--top must be at least 0.")
    if options.out and not options.out.absolute().parent.is_dir():
        raise UserError(
            f"{printable(options.out.parent)}: there is no such folder; make it, or write elsewhere."
        )
    clips = PreparedClips(options.data)
    chunks, left_out = read_recordings(options.recordings)
    matches = find_overlap(clips, chunks)
    clips.content.check_unchanged()
    if options.out:
        _write(options.out, matches)
    print(
        f"{len(matches)} recordings ({len(chunks)} chunks) compared with {clips.manifest.clips} clips, "
        f"{clips.manifest.hours:.2f} hours"
    )
    if left_out:
        print("left out:", ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())))
    if matches:
        levels = zip(QUANTILES, np.quantile([match.evidence for match in matches], QUANTILES), strict=True)
        print("evidence:", ", ".join(f"{share:.1%} up to {level:.2f}" for share, level in levels))
    for match in matches[: options.top]:
        print(
            f"{match.evidence:6.2f} (correlation {match.correlation:.3f} over {match.chunk_s:.2f} s): "
            f"{printable(match.recording)} at {match.recording_s:.2f} s, {printable(match.clip)} at "
            f"{match.clip_s:.2f} s"
        )
    found = sum(match.evidence > THRESHOLD for match in matches)
    print(f"{found} recordings with evidence above {THRESHOLD:g}")
    return int(found > 0)


def _write(path: Path, matches: Sequence[Match]) -> None:
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Match))
            writer.writerows(map(_cell, astuple(match)) for match in matches)
    except OSError as error:
        raise UserError(
            f"{printable(path)}: cannot be written ({error.strerror}); give another --out."
        ) from None


def _cell(value: str | float) -> str | float:
    """A name that a spreadsheet would take for a formula gets an apostrophe."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
