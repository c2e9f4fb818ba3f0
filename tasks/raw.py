"""Raw data sets as their makers publish them: which recordings there are and what each is labelled."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.folds import fold_name
from tasks.format import Clip

_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
_DIGIT = re.compile(r"(?P<label>\d)_[^_]+_\d+")
_MRIDANGAM = re.compile(r"\d+__\w+?__(?P<stroke>[a-z]+)-(?P<tonic>[a-z]+)-\d+")


@dataclass(frozen=True)
class Recording:
    """One raw sound file; `fold` ("fold00", ...) where the data set has its own folds."""

    path: Path
    label: str
    fold: str | None = None

    @property
    def clip(self) -> Clip:
        """The task's clip that is made of it: same name, as wav."""
        return Clip(f"{self.path.stem}.wav", (self.label,))


def list_esc50(raw: Path) -> list[Recording]:
    """ESC-50: labels and folds from the CSV files below `raw`, for the sound files that are there.

    Raises TaskError when there is no such CSV file or sound file, or a sound file is not in the table.
    """
    table = _esc50_table(raw)

    def recording(path: Path) -> Recording:
        if path.stem not in table:
            raise TaskError(f"{path} is in no CSV table below {raw}; add its row or remove the file.")
        fold, category = table[path.stem]
        return Recording(path, category, fold)

    return _list_recordings(raw, recording)


def list_spoken_digit(raw: Path) -> list[Recording]:
    """Free Spoken Digit Dataset: the digit is the first field of the file's name."""
    return _list_recordings(raw, lambda path: Recording(path, _field(path, _DIGIT, "label")))


def list_mridangam_stroke(raw: Path) -> list[Recording]:
    """Mridangam Stroke data set: the stroke is the third field from the end of the file's name."""
    return _list_recordings(raw, lambda path: Recording(path, _field(path, _MRIDANGAM, "stroke")))


def list_mridangam_tonic(raw: Path) -> list[Recording]:
    """Mridangam Stroke data set: the tonic is the second field from the end of the file's name."""
    return _list_recordings(raw, lambda path: Recording(path, _field(path, _MRIDANGAM, "tonic")))


def _list_recordings(raw: Path, recording: Callable[[Path], Recording]) -> list[Recording]:
    """Every sound file below `raw` (hidden ones left out), sorted by name, each name once."""
    sounds = [p for p in raw.rglob("*") if p.suffix.lower() in _SUFFIXES and not p.name.startswith(".")]
    if not sounds:
        raise TaskError(f"there is no sound file below {raw}; check --raw.")
    by_stem: dict[str, Path] = {}
    for path in sorted(sounds):
        if path.stem in by_stem:
            raise TaskError(f"{path} and {by_stem[path.stem]} have the same name; remove one of them.")
        by_stem[path.stem] = path
    return [recording(path) for _, path in sorted(by_stem.items())]


def _field(path: Path, pattern: re.Pattern[str], name: str) -> str:
    match = pattern.fullmatch(path.stem)
    if match is None:
        raise TaskError(f"{path} is not named as this data set names its files; rename or remove it.")
    return match[name]


def _esc50_table(raw: Path) -> dict[str, tuple[str, str]]:
    """Stem -> (fold name, category), from every CSV file below `raw` that has these columns."""
    table: dict[str, tuple[str, str]] = {}
    for file in sorted(raw.rglob("*.csv")):
        with open(file, newline="", encoding="utf-8", errors="replace") as source:
            rows = csv.DictReader(source)
            if {"filename", "fold", "category"} <= set(rows.fieldnames or ()):
                table.update(_esc50_row(file, row) for row in rows)
    if not table:
        raise TaskError(
            f"there is no CSV file with the columns filename, fold and category below {raw}; "
            "take meta/esc50.csv of the data set."
        )
    return table


def _esc50_row(file: Path, row: dict[str, str]) -> tuple[str, tuple[str, str]]:
    if row["fold"] not in ("1", "2", "3", "4", "5") or not row["category"] or not row["filename"]:
        raise TaskError(
            f"{file}: the row of {row['filename']} needs a file name, a fold of 1 to 5, a category."
        )
    return Path(row["filename"]).stem, (fold_name(int(row["fold"]) - 1), row["category"])
