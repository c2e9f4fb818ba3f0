"""Text from outside in Markdown, LaTeX and CSV: it stands there as it is read and is never a command.

All of it is printable first: control characters are shown as escapes.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tasks.names import printable

_PUNCTUATION = r"!-/:-@\[-`{-~"
# What begins an entity, a link, emphasis, code, a cell; underscores within words begin nothing.
_MARKDOWN = re.compile(
    rf"(?P<amp>&(?=#?\w+;))|(?P<less><(?=[A-Za-z/!?]))|\\(?=[{_PUNCTUATION}])|(?<=\])[(\[]|(?<=!)\[|[*`|~]|"
    r"(?<![^\W_])_|_(?![^\W_])"
)
_BLOCK = re.compile(r"^(\s*)([#>+=:-]|\d+(?=[.)]))")


def markdown(text: str, *, code: bool = False, block: bool = False) -> str:
    """Return the text as Markdown that shows it; `code` leaves backticks, as our own sentences have them.

    `block` is for what stands at the start of a line, where it must begin no heading, list or quotation.
    """

    def write(match: re.Match) -> str:
        if match["amp"]:
            return "&amp;"
        if match["less"]:
            return "&lt;"
        return match[0] if code and match[0] == "`" else "\\" + match[0]

    shown = _MARKDOWN.sub(write, printable(text))
    return _BLOCK.sub(_block, shown) if block else shown


def _block(match: re.Match) -> str:
    start, mark = match.groups()
    return f"{start.strip()}{mark}\\" if mark[0].isdigit() else f"{start.strip()}\\{mark}"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\char`\"{}",
    "[": "{[}",
    "*": "{*}",
    "--": "-{}-",
    "''": "'{}'",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "−": "$-$",
    "≠": r"$\neq$",
    "µ": r"$\mu$",
    "…": r"\ldots{}",
    "–": "--",
    "\u00a0": " ",
} | {character: rf"\{character}" for character in "&%$#_{}"}
_LATEX_PATTERN = re.compile("|".join(map(re.escape, sorted(_LATEX, key=len, reverse=True))))
_ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
_LETTERS = frozenset("ßæÆøØœŒłŁ")
_LAST_LETTER = 0x1F7


def latex(text: str) -> str:
    """Return the text with what LaTeX would take for a command written out.

    Of letters outside ASCII those stay that every LaTeX has, Latin ones with an accent; others become their
    code, [U+4E2D], with which any LaTeX goes on.
    """
    shown = _LATEX_PATTERN.sub(lambda match: _LATEX[match[0]], unicodedata.normalize("NFC", printable(text)))
    return "".join(one if _in_latex(one) else f"{{[}}U+{ord(one):04X}{{]}}" for one in shown)


def _in_latex(character: str) -> bool:
    if character.isascii() or character in _LETTERS:
        return True
    if ord(character) > _LAST_LETTER:
        return False
    letter, *accents = list(unicodedata.normalize("NFD", character))
    return letter.isascii() and letter.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS


_FORMULA = re.compile(r"'*\s*([=+@\t\r\n＝＋－＠]|-.)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV in which no cell is a formula to a spreadsheet (OWASP's rule); `csv_rows` reads it back.

    A text that begins with =, +, -, @, a tab or a line end has an apostrophe before it; numbers and a dash
    alone have none.
    """
    return "".join(",".join(map(_csv_cell, row)) + "\r\n" for row in rows)


def _csv_cell(value: Any) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = printable(value)
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    # The semicolon too: where it divides cells, what follows it must not become one.
    return '"' + text.replace('"', '""') + '"' if re.search(r'[,;"]|^\s|\s$', text) else text


def csv_rows(content: str) -> list[list[str]]:
    """Return the cells of CSV that `csv_text` made, as they were given."""
    rows = csv.reader(io.StringIO(content, newline=""))
    return [[cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell for cell in row] for row in rows]


def read_csv(path: Path) -> list[list[str]]:
    """Read a CSV file as `csv_rows` does; raises OSError, csv.Error, or ValueError for what is not UTF-8."""
    return csv_rows(path.read_bytes().decode("utf-8-sig"))
