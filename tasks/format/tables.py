"""CSV tables that people write or data sets bring, read so that every row means one thing."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.errors import TaskError
from tasks.format.alike import look_alikes, text_fault

MAX_TABLE_BYTES = 64 << 20
MAX_ROWS = 500_000
"""Size and lines of a table; the largest of HEAR's data sets has 51,197."""

_REMEDY = "correct or restore the file"


class Row(dict[str, str]):
    """The values of one row by column; it begins at the line `line` of the file."""

    def __init__(self, line: int, values: dict[str, str]):
        super().__init__(values)
        self.line = line


def read_rows(file: Path, columns: Sequence[str]) -> list[Row]:
    """Rows of a CSV file in UTF-8, whose header names its columns; empty lines are passed over.

    Raises TaskError, naming the line, when a row has another number of fields than the header or lacks a
    value in one of `columns`, when a column is named twice or is none of the header's, when quotes are not
    closed, and for what is no such file or larger than `MAX_TABLE_BYTES` or `MAX_ROWS`.
    """
    header, rows = read_header(file), []
    for name in columns:
        if name not in header:
            raise TaskError(f"{file} has no column {name}, only {', '.join(map(repr, header))}; {_REMEDY}.")
    for line, fields in _lines(file):
        if len(fields) != len(header):
            raise TaskError(
                f"{file}: line {line} has {len(fields)} fields where the header has {len(header)}; put what "
                'holds a comma in quotes: "a, b".'
            )
        row = Row(line, dict(zip(header, fields, strict=True)))
        if any(_is_not_utf8(row[name]) for name in columns):
            raise TaskError(f"{file}: line {line} is not in UTF-8; save the table in that encoding.")
        lacking = [name for name in columns if not row[name].strip()]
        if lacking:
            raise TaskError(f"{file}: line {line} has no {', '.join(lacking)}; {_REMEDY}.")
        for name in columns:
            if fault := text_fault(row[name], csv.field_size_limit()):
                raise TaskError(f"{file}: line {line}: its {name} {fault}; {_REMEDY}.")
        rows.append(row)
    return rows[1:]


def check_look_alikes(file: Path, column: str, lines: Mapping[str, int]) -> None:
    """TaskError for two values of a column that look alike; `lines` has the first line of each value."""
    for first, second in look_alikes(sorted(lines, key=lambda value: lines[value])):
        raise TaskError(
            f"{file}: the {column} {second!r} of line {lines[second]} looks like {first!r} of line "
            f"{lines[first]}; write both alike, or rename one if they are not the same."
        )


def _is_not_utf8(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text) if not text.isascii() else False


def read_header(file: Path) -> list[str]:
    """The columns of a CSV file; TaskError when it is none, or a column is named twice."""
    header = first_line(file)
    if twice := [name for i, name in enumerate(header) if name and name in header[:i]]:
        raise TaskError(f"{file}: line 1 names the column {twice[0]!r} twice; keep one of them.")
    for name, other in look_alikes(filter(None, header)):
        raise TaskError(f"{file}: line 1 names {name!r} and {other!r}, which look alike; keep one of them.")
    return header


def first_line(file: Path) -> list[str]:
    """The fields of the first line that is not empty; TaskError when it cannot be one of a table."""
    _, fields = next(_lines(file), (1, []))
    return fields


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with the number of the line where it begins; the header is one."""
    _check_size(file)
    with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as source:
        reader = csv.reader(source, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise TaskError(f"{file}: line {line} is no row of a table ({error}); {_REMEDY}.") from error
            if fields:
                yield line, fields


def _check_size(file: Path) -> None:
    try:
        if file.exists() and not file.is_file():
            raise TaskError(f"{file} is no file; correct its path.")
        with open(file, "rb") as source:
            if os.fstat(source.fileno()).st_size > MAX_TABLE_BYTES:
                raise TaskError(f"{file} has more than {MAX_TABLE_BYTES} bytes, the most a table may have.")
            ends = [0, 0]
            while block := source.read(1 << 20):
                ends = [ends[0] + block.count(b"\n"), ends[1] + block.count(b"\r")]
    except OSError as error:
        raise TaskError(f"{file} cannot be read as a table ({error.strerror}); restore it.") from error
    if max(ends) > MAX_ROWS:
        raise TaskError(f"{file} has more than {MAX_ROWS} lines, the most that a table may have.")
