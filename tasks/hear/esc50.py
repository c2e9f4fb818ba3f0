"""ESC-50: which of fifty environmental sounds, in the data set's own five folds."""

from pathlib import Path

from tasks.errors import TaskError
from tasks.format.clips import Recording
from tasks.format.folders import contents_below
from tasks.format.tables import Row, check_look_alikes, first_line, read_rows
from tasks.hear.info import FIVE_FOLDS, TaskInfo, kfold_metadata
from tasks.hear.raw import sounds_below
from tasks.work import Say

ESC50 = TaskInfo(
    short_name="ESC-50",
    metadata=kfold_metadata("esc50", "v2.0.0", sample_duration=5.0, split_mode="presplit_kfold"),
    clips=2000,
    hours=2.77,
    classes=50,
    description="Environmental sound classification",
    citation="piczak2015esc",
    licence="CC BY-NC 3.0",
)

_COLUMNS = ("filename", "fold", "category")


def list_esc50(raw: Path, note: Say) -> list[Recording]:
    """Labels and folds from the CSV files below `raw`, for the sound files that are there.

    Raises TaskError when there is no such CSV file or sound file, or a sound file is not in the table.
    """
    table: dict[str, Row] = {}
    for file in _tables(raw):
        rows = read_rows(file, _COLUMNS)
        check_look_alikes(file, "category", {row["category"]: row.line for row in reversed(rows)})
        for row in rows:
            other = table.setdefault(Path(row["filename"]).stem, row)
            if any(row[name] != other[name] for name in _COLUMNS[1:]):
                what = f"{row['filename']} has another fold or category than in another line"
                raise TaskError(f"{file}: line {row.line}: {what}; keep one of them.")
    folds = {str(i): name for i, name in enumerate(FIVE_FOLDS, start=1)}
    recordings = []
    for path in sounds_below(raw):
        entry = table.get(path.stem)
        if entry is None:
            raise TaskError(f"{path} is in no CSV table below {raw}; add its row or remove the file.")
        if entry["fold"] not in folds:
            raise TaskError(
                f"the fold of {path.stem} is {entry['fold']!r} in the CSV table; it must be 1 to 5."
            )
        recordings.append(Recording(path, (entry["category"],), folds[entry["fold"]]))
    return recordings


def _tables(raw: Path) -> list[Path]:
    """Every CSV file below `raw` that has ESC-50's columns."""
    tables = [file for file in contents_below(raw)[0] if file.suffix == ".csv"]
    files = [file for file in tables if _has_columns(file)]
    if not files:
        raise TaskError(
            f"there is no CSV file with the columns filename, fold and category below {raw}; "
            "take meta/esc50.csv of the data set."
        )
    return files


def _has_columns(file: Path) -> bool:
    try:
        return set(_COLUMNS) <= set(first_line(file))
    except TaskError:  # another program's
        return False
