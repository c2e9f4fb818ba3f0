"""`hear-tasks build`, also as `python -m tasks.build`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tasks.build.builders import BUILDERS, build_own_task, build_task
from tasks.build.own import DEFAULT_FOLDS
from tasks.command import progress_bar, run_command, sample_rate
from tasks.errors import TaskError
from tasks.names import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `hear-tasks build`; returns the exit status."""

    def work() -> None:
        options = _parser().parse_args(arguments)
        with (
            progress_bar("reading all recordings", "file") as reading,
            progress_bar(f"building {printable(options.task)}", "clip") as progress,
        ):
            shared = {
                "sample_rates": options.sample_rates,
                "skip_bad": options.skip_bad,
                "say": tqdm.write,
                "reading": reading,
                "progress": progress,
            }
            own = {"seconds": options.duration, "nfolds": options.folds, "note": options.note}
            if options.task.lower().endswith(".csv"):
                build_own_task(options.task, options.raw, options.out, **own, **shared)
            elif any(value is not None for value in own.values()):
                raise TaskError("--duration, --folds and --note are for a table of your own (my-task.csv).")
            else:
                build_task(options.task, options.raw, options.out, **shared)

    return run_command(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-tasks build",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Build a HEAR task directory from raw recordings: those of a data set, or your own.",
        epilog=_LAYOUTS,
    )
    names = ", ".join(b.info.metadata.task_name for b in BUILDERS)
    parser.add_argument("task", metavar="TASK", help=f"{names}; or a table of your own recordings: FILE.csv")
    parser.add_argument("--raw", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder to hold the task directory")
    parser.add_argument(
        "--sample-rates",
        type=sample_rate,
        nargs="+",
        metavar="HZ",
        help="sample rates to write (default: 16000 44100, or the recordings' own where that is lower); "
        "others are made on demand by an evaluation",
    )
    parser.add_argument(
        "--skip-bad",
        type=_count,
        default=0,
        metavar="N",
        help="leave out up to N recordings that cannot be read, and name them; the result is then a part "
        "(default: the first one stops the build)",
    )
    own = parser.add_argument_group("for a table of your own")
    own.add_argument(
        "--duration",
        type=_seconds,
        metavar="SECONDS",
        help="cut and pad all clips to this length (default: the longest recording's)",
    )
    own.add_argument(
        "--folds", type=_folds, metavar="K", help=f"folds to make of groups (default: {DEFAULT_FOLDS})"
    )
    own.add_argument("--note", metavar="TEXT", help="stands in the metadata and under every table of scores")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of files")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.01 <= seconds <= 36000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length between 0.01 and 36000 seconds")
    return seconds


def _folds(text: str) -> int:
    if _count(text) < 3:
        raise argparse.ArgumentTypeError(f"{text} folds are too few: training, validation and test need 3")
    return int(text)


_LAYOUTS = """\
A table of your own, my-task.csv, makes the task my-task. Its columns, separated by commas:
  filename          path of a recording in the folder --raw (wav, flac, ogg, opus, mp3; any rate and channels)
  label             what is to be recognised; if some recording has several, "dog;cat", the task is multilabel
and one of these, by which the recordings are divided; every part needs every label:
  split             train, valid or test
  fold              any value, such as 1 to 5 or the speaker's name: as many folds as there are values
  group             recordings that must stay together, of one speaker, say: whole groups make --folds folds,
                    each with about as many clips of every label; the same table makes the same folds
Other columns are ignored.

What --raw must hold for the others: the data set, unpacked (archives are not read), in this layout or any
folder above it:
  beijing_opera     <id>__<author>__<instrument>-<take>.wav
  tfds_crema_d      the folder AudioWAV: 1001_DFA_ANG_XX.wav; or what TFDS gives, as HEAR unpacks it:
                    {train,valid,test}/<split>_labels.csv with {train,valid,test}/audio/
  esc50             <fold>-<source>-<take>-<class>.wav, and a CSV file with columns filename, fold, category
  libricount        test/<number of speakers>_<id>.wav
  mridangam_stroke  <id>__<author>__<stroke>-<tonic>-<take>.wav
  mridangam_tonic   the same files
  nsynth_pitch      nsynth-train, nsynth-valid, nsynth-test, each with examples.json and audio/
  speech_commands   v0.02 in one folder and its test set in another, such as train/ and test/
  fsd50k            FSD50K.dev_audio, FSD50K.eval_audio, FSD50K.ground_truth
  vox_lingua_top10  the dev set of VoxLingua107: <language>/<clip>.wav
  spoken_digit      <digit>_<speaker>_<index>.wav; or what TFDS gives

Fewer clips than the data set has are built as <task>-part and labelled so wherever they appear.
A second run does nothing; a bad file stops the build and is named; after Ctrl-C nothing half-made is left.

example: hear-tasks build esc50 --raw ESC-50-master --out my-tasks
example: hear-tasks build my-task.csv --raw recordings --out my-tasks
"""


if __name__ == "__main__":
    sys.exit(main())
