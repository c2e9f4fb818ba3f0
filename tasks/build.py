"""Tasks from raw recordings: list -> divide -> cut or pad -> resample -> write, by HEAR's rules.

A clip is cut or padded to the task's length at its own sample rate and in 16 bits before it is resampled
(HEAR's preprocessing does the same); its name is that of the recording.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.audio import decode, fit_length, write_at_rates
from tasks.command import progress_bar, run_command
from tasks.errors import TaskError
from tasks.esc50 import ESC50
from tasks.folds import new_folds
from tasks.format import Clip, TaskMetadata, read_task, write_task
from tasks.info import FIVE_FOLDS, TaskInfo
from tasks.mridangam_stroke import MRIDANGAM_STROKE
from tasks.mridangam_tonic import MRIDANGAM_TONIC
from tasks.raw import Recording, list_esc50, list_mridangam_stroke, list_mridangam_tonic, list_spoken_digit
from tasks.spoken_digit import SPOKEN_DIGIT
from tasks.work import Progress, new_directory, run_parallel

DEFAULT_RATES = (16000, 44100)
"""Sample rates (Hz) that are written unless others are asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Builder:
    """How one task is built: what is known of it, and how its raw recordings are listed."""

    info: TaskInfo
    list_recordings: Callable[[Path], list[Recording]]


BUILDERS = (
    Builder(ESC50, list_esc50),
    Builder(MRIDANGAM_STROKE, list_mridangam_stroke),
    Builder(MRIDANGAM_TONIC, list_mridangam_tonic),
    Builder(SPOKEN_DIGIT, list_spoken_digit),
)


def build_task(
    name: str,
    raw: Path | str,
    out: Path | str,
    *,
    sample_rates: Sequence[int] = DEFAULT_RATES,
    say: Say = print,
    progress: Progress | None = None,
) -> Path:
    """Build task `name` ("esc50", ...) from the recordings in `raw`; return its directory in `out`.

    Fewer clips than the data set has make `<name>-part`, which says so in its metadata. What is left out and
    what was done is told through `say`. A task that is already there is left alone. Raises TaskError for an
    unknown name, for missing, unknown or bad recordings, or when another task is in the way.
    """
    builder = _find_builder(name)
    if not Path(raw).is_dir():
        raise TaskError(f"the folder of recordings {raw} does not exist; check --raw.")
    recordings = builder.list_recordings(Path(raw))
    splits = _divide(builder.info, recordings, say)
    metadata = _metadata(builder.info, splits)
    target = Path(out) / (metadata.task_name if metadata.part_of else builder.info.directory)
    clips = {split: [r.clip for r in members] for split, members in splits.items()}
    if target.exists():
        _check_same(target, clips, sample_rates)
        say(f"{target} is already built; nothing to do")
        return target
    with new_directory(target) as folder:
        write_task(folder, metadata, clips)
        _write_audio(folder, splits, builder.info, sample_rates, progress)
    _report(target, metadata, clips, sample_rates, say)
    return target


def _find_builder(name: str) -> Builder:
    for builder in BUILDERS:
        if name == builder.info.metadata.task_name:
            return builder
    known = ", ".join(builder.info.metadata.task_name for builder in BUILDERS)
    raise TaskError(f"there is no builder for {name!r}; there are builders for: {known}.")


def _divide(info: TaskInfo, recordings: list[Recording], say: Say) -> dict[str, tuple[Recording, ...]]:
    """Split name -> recordings: the data set's own folds where it has some, else HEAR's rule."""
    if info.metadata.split_mode == "presplit_kfold":
        return _given_folds(recordings, say)
    by_stem = {r.path.stem: r for r in recordings}
    folds = new_folds({stem: (r.label,) for stem, r in by_stem.items()}, len(info.metadata.splits))
    return {fold: tuple(by_stem[stem] for stem in stems) for fold, stems in folds.items()}


def _given_folds(recordings: list[Recording], say: Say) -> dict[str, tuple[Recording, ...]]:
    """The given folds without the labels that some fold lacks, for HEAR wants every label in every split."""
    folds = {fold: [r for r in recordings if r.fold == fold] for fold in FIVE_FOLDS}
    common = set.intersection(*({r.label for r in members} for members in folds.values()))
    if not common:
        empty = [fold for fold, members in folds.items() if not members]
        why = f"{', '.join(empty)} have no recording" if empty else "each class lacks in some fold"
        raise TaskError(f"no class occurs in all five folds ({why}); add the recordings of every fold.")
    dropped = [r for r in recordings if r.label not in common]
    if dropped:
        classes = len({r.label for r in dropped})
        say(f"left out {len(dropped)} clips of {classes} classes that do not occur in all five folds")
    return {fold: tuple(r for r in members if r.label in common) for fold, members in folds.items()}


def _metadata(info: TaskInfo, splits: dict[str, tuple[Recording, ...]]) -> TaskMetadata:
    kept = [r for members in splits.values() for r in members]
    if len(kept) >= info.clips:
        return info.metadata
    classes = len({r.label for r in kept})
    return dataclasses.replace(
        info.metadata,
        task_name=f"{info.metadata.task_name}-part",
        mode="part",
        default_mode="part",
        part_of=f"{len(kept)} of {info.clips} clips, {classes} of {info.classes} classes",
    )


def _write_audio(
    folder: Path,
    splits: dict[str, tuple[Recording, ...]],
    info: TaskInfo,
    sample_rates: Sequence[int],
    progress: Progress | None,
) -> None:
    def one(item: tuple[str, Recording]) -> None:
        split, recording = item
        audio, rate = decode(recording.path)
        fitted = fit_length(audio, info.metadata.sample_duration, rate)
        write_at_rates(folder, split, recording.clip.file, fitted, rate, sample_rates)

    run_parallel(one, [(split, r) for split, members in splits.items() for r in members], progress=progress)


def _check_same(target: Path, clips: dict[str, list[Clip]], sample_rates: Sequence[int]) -> None:
    """Raise TaskError when the task at `target` is not the one that would be built."""
    there = read_task(target)
    if {split: set(members) for split, members in there.clips.items()} != {
        split: set(members) for split, members in clips.items()
    }:
        raise TaskError(f"{target} was built from other recordings; remove it or choose another --out.")
    absent = [str(rate) for rate in sample_rates if rate not in there.sample_rates]
    if absent:
        raise TaskError(f"{target} is there without {', '.join(absent)} Hz; remove it to build it anew.")


def _report(
    target: Path, metadata: TaskMetadata, clips: dict[str, list[Clip]], rates: Sequence[int], say: Say
) -> None:
    count = sum(len(members) for members in clips.values())
    hertz = ", ".join(str(rate) for rate in rates)
    say(f"built {target}: {count} clips in {len(clips)} folds at {hertz} Hz")
    if metadata.part_of:
        say(f"this is a part of the task: {metadata.part_of}; its scores are not those of the whole")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m tasks.build`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.build",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Build a HEAR task directory from the raw recordings of its data set.",
        epilog=_LAYOUTS,
    )
    parser.add_argument("task", metavar="TASK", help=", ".join(b.info.metadata.task_name for b in BUILDERS))
    parser.add_argument("--raw", type=Path, required=True, help="folder of the unpacked data set")
    parser.add_argument("--out", type=Path, required=True, help="folder to hold the task directory")
    parser.add_argument(
        "--sample-rates",
        type=_rate,
        nargs="+",
        default=DEFAULT_RATES,
        metavar="HZ",
        help="sample rates to write (default: 16000 44100); others are made on demand by an evaluation",
    )
    options = parser.parse_args(arguments)

    def work() -> None:
        with progress_bar(f"building {options.task}", "clip") as progress:
            build_task(
                options.task, options.raw, options.out, sample_rates=options.sample_rates, progress=progress
            )

    return run_command(work)


def _rate(text: str) -> int:
    rate = int(text) if text.isdecimal() else 0
    if not 1000 <= rate <= 192000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a sample rate between 1000 and 192000 Hz")
    return rate


_LAYOUTS = """\
What --raw must hold (sound files of any format, in any sub-folder):
  esc50             <fold>-<source>-<take>-<class>.wav, and a CSV file with columns filename, fold, category
  mridangam_stroke  <id>__<author>__<stroke>-<tonic>-<take>.wav
  mridangam_tonic   the same files
  spoken_digit      <digit>_<speaker>_<index>.wav

Fewer clips than the data set has are built as <task>-part and labelled so wherever they appear.
A second run does nothing; a bad file stops the build and is named; after Ctrl-C nothing half-made is left.

example: python -m tasks.build esc50 --raw ESC-50-master --out my-tasks
"""

if __name__ == "__main__":
    sys.exit(main())
