"""Text files and CSV tables as data sets bring them or people write them, read line by line."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable

MAX_BYTES = 1 << 30
"""Size of a file that is read; AudioSet's longest list, of two million clips, has about a tenth of it."""


@dataclass(frozen=True)
class Table:
    """A CSV file whose first line names its columns."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    """The line where a row begins, and its values by column."""


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a CSV table in UTF-8; empty lines are passed over, spaces around values taken off.

    Raises:
        UserError: see `read_rows`; a column that is required is not there or named twice, no row, or a row
            with more or fewer fields than the header.
    """
    lines = read_rows(path)
    _, columns = next(lines, (1, []))
    for name in required:
        if columns.count(name) != 1:
            found = "twice" if name in columns else f"not there, only {', '.join(map(_quoted, columns))}"
            raise UserError(
                f"{printable(path)}: the column {name!r} is {found}; the first line names each column once, "
                "separated by commas."
            )
    rows = []
    for line, fields in lines:
        if len(fields) != len(columns):
            raise UserError(
                f"{printable(path)}: line {line} has {len(fields)} fields where the header has "
                f'{len(columns)}; put what holds a comma in quotes: "a, b".'
            )
        rows.append((line, dict(zip(columns, fields, strict=True))))
    if not rows:
        raise UserError(f"{printable(path)}: the table has no row; add a line for every recording.")
    return Table(path, tuple(columns), tuple(rows))


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the fields of a CSV file's first line that is not empty; none of what is no such file."""
    try:
        return tuple(next(read_rows(path), (1, []))[1])
    except UserError:
        return ()


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are neither empty nor begin with "#", and the line of each.

    Raises:
        UserError: see `read_lines`; quotes that are not closed, a field of more than 128 KiB.
    """
    # An empty line in place of a comment keeps the count of lines.
    reader = csv.reader(
        ("\n" if line.startswith("#") else line for line in _lines(path)), skipinitialspace=True, strict=True
    )
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{printable(path)}: line {line} is no row of a table ({error}); correct or restore the file."
            ) from None
        fields = [field.strip() for field in fields]
        if any(fields):
            yield line, fields


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, without spaces around them, and their numbers.

    Raises:
        UserError: no such file, a folder, not UTF-8, a NUL, more than `MAX_BYTES`.
    """
    for number, line in enumerate(_lines(path), 1):
        if text := line.strip():
            yield number, text


def _lines(path: Path) -> Iterator[str]:
    name = printable(path)
    try:
        if not path.is_file():
            problem = "is no file" if path.exists() else "there is no such file"
            raise UserError(f"{name}: {problem}; correct the path.")
        with open(path, encoding="utf-8-sig", newline="") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise UserError(f"{name} has more than {MAX_BYTES} bytes, the most that is read; shorten it.")
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise UserError(f"{name}: line {number} holds a NUL, so it is no text; restore the file.")
                yield line
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 (byte {error.object[error.start]:#04x}); save it so.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); restore it.") from None


def _quoted(text: str) -> str:
    return repr(printable(text))
