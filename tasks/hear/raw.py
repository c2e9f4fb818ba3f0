"""Raw data sets as their makers publish them: what a listing function gives, and what they share."""

import re
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.clips import Recording
from tasks.format.folders import contents_below
from tasks.format.tables import check_look_alikes, read_rows

_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".z01"}


def sounds_below(raw: Path) -> list[Path]:
    """Every sound file in any sub-folder of `raw`, as `contents_below` finds them.

    Raises TaskError when there is none, or a folder cannot be read.
    """
    files, _ = contents_below(raw)
    sounds = [path for path in files if path.suffix.lower() in _SUFFIXES]
    if not sounds:
        archives = sorted(p.name for p in files if p.suffix.lower() in _ARCHIVES)
        remedy = f"unpack {', '.join(archives[:5])} there" if archives else "check --raw"
        raise TaskError(f"there is no sound file below {raw}; {remedy}.")
    return sounds


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
    recordings = []
    for file in (file for file in contents_below(raw)[0] if file.name.endswith("_labels.csv")):
        rows = read_rows(file, ("filename", "label"))
        check_look_alikes(file, "label", {row["label"]: row.line for row in reversed(rows)})
        recordings += [Recording(file.parent / "audio" / row["filename"], (row["label"],)) for row in rows]
    return recordings


def find_one(raw: Path, name: str, what: str) -> Path:
    """The one file or folder at any depth in `raw` whose path ends with `name`.

    Raises TaskError naming `what` for none or several.
    """
    wanted = Path(name).parts
    files, folders = contents_below(raw)
    found = [path for path in (*files, *folders) if path.parts[-len(wanted) :] == wanted]
    if not found:
        raise TaskError(f"there is no {what} in {raw}; unpack the whole data set there, or check --raw.")
    if len(found) > 1:
        several = " and ".join(str(path) for path in found[:2])
        raise TaskError(f"{what} is there more than once: {several}; keep one of them in {raw}.")
    return found[0]
