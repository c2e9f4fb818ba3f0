"""Lists of classes: a text file with one per line, or AudioSet's class_labels_indices.csv."""

from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import Classes
from hear_mwmae.supervised.data.layouts.text import columns_of, read_lines, read_table

AUDIOSET_COLUMNS = ("index", "mid", "display_name")


def read_class_list(path: Path) -> Classes:
    """Read classes in the order of their list; AudioSet's are called by their display names.

    AudioSet's labels may be mids ("/m/09x0r") or display names.

    Raises:
        UserError: no such file, no class, a class twice, or an index that does not count 0, 1, 2, ...
    """
    names: list[str] = []
    positions: dict[str, int] = {}
    for line, name, others in _audioset(path) if columns_of(path) == AUDIOSET_COLUMNS else _plain(path):
        for text in dict.fromkeys((name, *others)):
            if text in positions or not text:
                problem = f"has the class {printable(text)!r} again" if text else "lacks a name"
                raise UserError(f"{printable(path)}: line {line} {problem}; correct the list.")
            positions[text] = len(names)
        names.append(name)
    if not names:
        raise UserError(f"{printable(path)}: the list has no class; write one in each line.")
    return Classes(tuple(names), positions, path)


def _plain(path: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(line, text, ()) for line, text in read_lines(path)]


def _audioset(path: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    rows = read_table(path, AUDIOSET_COLUMNS).rows
    for expected, (line, row) in enumerate(rows):
        if row["index"] != str(expected):
            raise UserError(
                f"{printable(path)}: line {line} has the index {printable(row['index'])!r} where {expected} "
                "follows; restore the list."
            )
    return [(line, row["display_name"], (row["mid"],)) for line, row in rows]
