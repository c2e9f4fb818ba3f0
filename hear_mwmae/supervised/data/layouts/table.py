"""A table of one's own: CSV with the columns filename, label or labels, and split or fold."""

from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import (
    PARTS,
    VALIDATION,
    Entry,
    Listing,
    in_order,
    relative_name,
    sound_folder,
)
from hear_mwmae.supervised.data.layouts.text import Table, columns_of, read_table

SUFFIX = ".csv"


def recognises(path: Path) -> bool:
    """Tell whether this is a CSV file, or a folder with one."""
    return bool(_tables(path))


def read(path: Path, sound: Path | None, subset: str) -> Listing:
    """Read a table; a clip's id is its file's name as the table has it.

    A row of several labels has them as `a;b`. The data set is multi-label if a row has several, or the
    column is called `labels`, which may be empty.

    Raises:
        UserError: several tables, a column that lacks, a row without file, label or part.
    """
    file, *others = _tables(path)
    if others:
        names = " and ".join(printable(table.name) for table in (file, *others[:1]))
        raise UserError(f"{printable(path)} has several tables ({names}); name one of them.")
    table = read_table(file, ("filename",))
    label, part = _one_of(table, ("label", "labels")), _one_of(table, ("split", "fold"))
    clips = {line: relative_name(row["filename"], _where(table, line)) for line, row in table.rows}
    inside = file.parent / "audio"
    candidates = (file.parent, inside) if inside.is_dir() else (file.parent,)
    folder = sound or sound_folder(candidates, clips.values())
    entries: list[Entry] = []
    for line, row in table.rows:
        labels = tuple(dict.fromkeys(text for one in row[label].split(";") if (text := one.strip())))
        if not labels and label == "label":
            raise UserError(f"{_where(table, line)} has no label; add it or take the line out.")
        value = _split(row[part], table, line) if part == "split" else row[part]
        if not value:
            raise UserError(f"{_where(table, line)} has no fold; add it or take the line out.")
        entries.append(Entry(clips[line], folder / clips[line], labels, value, file, line))
    return Listing(
        name=file.stem,
        entries=tuple(entries),
        multilabel=label == "labels" or any(len(entry.labels) > 1 for entry in entries),
        folds=in_order(entry.part for entry in entries) if part == "fold" else (),
        next_validates=True,
    )


def _tables(path: Path) -> list[Path]:
    """Return the file given, or those of a folder that have the columns; a single one in any case."""
    if path.is_file():
        return [path] if path.suffix.lower() == SUFFIX else []
    if not path.is_dir():
        return []
    files = sorted(f for f in path.iterdir() if f.suffix.lower() == SUFFIX and not f.name.startswith("."))
    fitting = [file for file in files if _fits(columns_of(file))]
    return fitting or (files if len(files) == 1 else [])


def _fits(columns: tuple[str, ...]) -> bool:
    return "filename" in columns and bool({"label", "labels"} & {*columns} and {"split", "fold"} & {*columns})


def _one_of(table: Table, names: tuple[str, str]) -> str:
    found = [name for name in table.columns if name in names]
    if len(found) != 1:
        there = "both" if len(found) > 1 else f"neither, only {', '.join(map(printable, table.columns))}"
        raise UserError(
            f"{printable(table.path)}: of the columns {' and '.join(names)} it has {there}; one is needed."
        )
    return found[0]


def _split(text: str, table: Table, line: int) -> str:
    value = VALIDATION if text == "validation" else text
    if value not in PARTS:
        raise UserError(
            f"{_where(table, line)} has the split {printable(text)!r}, which is none of train, valid and "
            "test; correct it."
        )
    return value


def _where(table: Table, line: int) -> str:
    return f"{printable(table.path)}: line {line}"
