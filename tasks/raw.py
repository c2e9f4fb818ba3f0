"""Raw data sets as their makers publish them: what a listing function gives, and what they share."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from tasks.errors import TaskError
from tasks.format import Clip

_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".z01"}


@dataclass(frozen=True)
class Recording:
    """One raw sound file, or what follows its sample `start`, and what it is labelled.

    `split` ("fold00", "train", ...) is given where the data set has its own; `name` is the clip's name
    where that is not the file's. The file need not exist: a table may name more than is there.
    """

    path: Path
    labels: tuple[str, ...]
    split: str | None = None
    name: str | None = None
    start: int = 0

    @property
    def stem(self) -> str:
        """Name of the clip, without a suffix; unique within a task."""
        return self.name or self.path.stem

    @property
    def clip(self) -> Clip:
        """The task's clip that is made of it."""
        return Clip(f"{self.stem}.wav", self.labels)


def sounds_below(raw: Path) -> list[Path]:
    """Every sound file in any sub-folder of `raw`, hidden ones left out; TaskError when there is none."""
    files = [p for p in raw.rglob("*") if not p.name.startswith(".")]
    sounds = sorted(p for p in files if p.suffix.lower() in _SUFFIXES)
    if not sounds:
        archives = sorted(p.name for p in files if p.suffix.lower() in _ARCHIVES)
        remedy = f"unpack {', '.join(archives[:5])} there" if archives else "check --raw"
        raise TaskError(f"there is no sound file below {raw}; {remedy}.")
    return sounds


def sound_length(path: Path) -> tuple[int, int]:
    """Samples of a sound file and its rate (Hz); TaskError when it cannot be read."""
    try:
        sound = soundfile.info(path)
    except soundfile.SoundFileError as error:
        raise TaskError(f"{path} is not readable as sound ({error}); restore it.") from error
    return sound.frames, sound.samplerate


def labelled_by_name(raw: Path, pattern: re.Pattern[str]) -> list[Recording]:
    """Every sound file below `raw`, labelled with what the group `label` of `pattern` finds in its name.

    Raises TaskError for a file whose name (without suffix) the pattern does not match.
    """
    return [Recording(path, (label_in_name(path, pattern),)) for path in sounds_below(raw)]


def label_in_name(path: Path, pattern: re.Pattern[str]) -> str:
    """What the group `label` of `pattern` finds in the name of the file; TaskError when it does not match."""
    match = pattern.fullmatch(path.stem)
    if match is None:
        raise TaskError(f"{path} is not named as this data set names its files; rename or remove it.")
    return match["label"]


def labelled_by_tfds(raw: Path) -> list[Recording]:
    """Recordings of a TFDS data set as HEAR unpacks it; empty where `raw` has no such table.

    The layout: any number of `<split>_labels.csv` with the columns filename and label, the sound in the
    folder `audio` beside the table.
    """
    return [
        Recording(file.parent / "audio" / row["filename"], (row["label"],))
        for file in sorted(raw.rglob("*_labels.csv"))
        for row in read_rows(file, ("filename", "label"))
    ]


def read_rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file; TaskError when it cannot be read or a row lacks a value in one of `columns`."""
    try:
        with open(file, newline="", encoding="utf-8-sig", errors="replace") as source:
            rows = list(csv.DictReader(source))
    except (OSError, csv.Error) as error:
        raise TaskError(f"{file} cannot be read as a table ({error}); restore it.") from error
    for number, row in enumerate(rows, start=2):
        lacking = [name for name in columns if not row.get(name)]
        if lacking:
            raise TaskError(f"{file}: line {number} has no {', '.join(lacking)}; restore the file.")
    return rows


def find_one(raw: Path, patterns: Iterable[str], what: str) -> Path:
    """The one path that some glob pattern finds in `raw`; TaskError naming `what` for none or several."""
    found = sorted({path for pattern in patterns for path in raw.glob(pattern)})
    if not found:
        raise TaskError(f"there is no {what} in {raw}; unpack the whole data set there, or check --raw.")
    if len(found) > 1:
        several = " and ".join(str(path) for path in found[:2])
        raise TaskError(f"{what} is there more than once: {several}; keep one of them in {raw}.")
    return found[0]
