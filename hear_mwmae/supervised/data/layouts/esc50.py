"""ESC-50 and ESC-10: meta/esc50.csv and audio/ (Piczak 2015); five folds, each tested once, no validation."""

from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import Entry, Listing, in_order, relative_name, sound_folder
from hear_mwmae.supervised.data.layouts.text import columns_of, read_table

SUBSETS = ("esc50", "esc10")
_COLUMNS = ("filename", "fold", "category", "esc10")


def recognises(path: Path) -> bool:
    """Tell whether this is ESC-50's folder, or a CSV file with the columns of its list."""
    return (path / "meta" / "esc50.csv").is_file() or (
        path.is_file() and path.suffix.lower() == ".csv" and {*_COLUMNS} <= {*columns_of(path)}
    )


def read(path: Path, sound: Path | None, subset: str) -> Listing:
    """Read the list; `subset` "esc10" keeps the rows that are so marked.

    Raises:
        UserError: a column that lacks, a row without fold or category.
    """
    if path.is_file():
        file, candidates = path, [path.parent / "audio", path.parent.parent / "audio", path.parent]
    else:
        file, candidates = path / "meta" / "esc50.csv", [path / "audio"]
    rows = read_table(file, _COLUMNS).rows
    names = {line: relative_name(row["filename"], f"{printable(file)}: line {line}") for line, row in rows}
    folder = sound or sound_folder(candidates, names.values())
    entries: list[Entry] = []
    for line, row in rows:
        for column in ("fold", "category"):
            if not row[column]:
                raise UserError(f"{printable(file)}: line {line} has no {column}; restore the list.")
        if row["esc10"] not in ("True", "False"):
            raise UserError(
                f"{printable(file)}: line {line} has no True or False as esc10; restore the list."
            )
        if subset != "esc10" or row["esc10"] == "True":
            name = names[line]
            entries.append(Entry(name, folder / name, (row["category"],), row["fold"], file, line))
    folds = in_order(entry.part for entry in entries)
    return Listing(subset or SUBSETS[0], tuple(entries), folds=folds)
