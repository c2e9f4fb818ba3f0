"""A table that is written three times: Markdown for people, CSV for programs, LaTeX (booktabs) for papers."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.files import write_atomically


@dataclass(frozen=True)
class Cell:
    """A number with its half width (NaN for none) and a mark that a note explains."""

    mean: float
    half_width: float = math.nan
    mark: str = ""

    @property
    def text(self) -> str:
        """The number as the paper prints it, to one decimal."""
        half = "" if math.isnan(self.half_width) else f" ± {self.half_width:.1f}"
        mean = round(self.mean, 1) + 0.0  # no "-0.0"
        return f"{mean:.1f}{half}{self.mark}"


Entry = str | Cell | None
"""Text, a number, or nothing."""


@dataclass(frozen=True)
class Sheet:
    """A table; `rules` are the rows above which a line separates groups (LaTeX only)."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str] = ()
    rules: Sequence[int] = ()

    def text_rows(self) -> list[list[str]]:
        """Return the rows as they are printed."""
        return [[_text(entry) for entry in row] for row in self.rows]

    def markdown(self) -> str:
        """Return caption, table and notes."""
        notes = "\n".join(["", *(f"- {note}" for note in self.notes), ""]) if self.notes else ""
        return f"**{self.caption}**\n\n{aligned([self.header, *self.text_rows()])}{notes}"

    def csv(self) -> str:
        """Return header and rows: X, X_ci and X_mark for every column X with half widths and marks."""
        columns = [self._csv_column(index) for index in range(len(self.header))]
        text = io.StringIO()
        csv.writer(text).writerows(
            [value for column in columns for value in column[row]] for row in range(len(self.rows) + 1)
        )
        return text.getvalue()

    def _csv_column(self, index: int) -> list[list]:
        name, entries = self.header[index], [row[index] for row in self.rows]
        cells = [entry for entry in entries if isinstance(entry, Cell)]
        intervals = any(not math.isnan(cell.half_width) for cell in cells)
        marks = any(cell.mark for cell in cells)
        found = [[name, *([f"{name}_ci"] if intervals else []), *([f"{name}_mark"] if marks else [])]]
        for entry in entries:
            if not isinstance(entry, Cell):
                found.append([entry or "", *[""] * (intervals + marks)])
                continue
            half = "" if math.isnan(entry.half_width) else round(entry.half_width, 6)
            found.append([round(entry.mean, 6), *([half] if intervals else []), *([entry.mark] * marks)])
        return found

    def latex(self) -> str:
        """Return a table environment, shrunk to the text's width; it needs booktabs and graphicx."""
        alignment = "".join("l" if self._is_text(index) else "r" for index in range(len(self.header)))
        caption = re.sub(r"^Table \d+: ", "", self.caption)  # LaTeX counts for itself
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(caption)}}}"]
        lines += [r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{"]
        lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
        lines += [" & ".join(map(escape, self.header)) + r" \\", r"\midrule"]
        for index, row in enumerate(self.rows):
            lines += [r"\midrule"] if index in self.rules and index else []
            lines.append(" & ".join(map(_latex, row)) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}}"]
        lines += [rf"\par\raggedright\footnotesize {escape(note)}" for note in self.notes]
        return "\n".join([*lines, r"\end{table}", ""])

    def _is_text(self, index: int) -> bool:
        return not any(isinstance(row[index], Cell) for row in self.rows)


def write_sheet(sheet: Sheet, directory: Path) -> list[Path]:
    """Write the table as `<name>.md`, `.csv` and `.tex` and return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = {"md": sheet.markdown(), "csv": sheet.csv(), "tex": sheet.latex()}
    paths = [directory / f"{sheet.name}.{kind}" for kind in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_atomically(path, text)
    return paths


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up as plain text; the first row is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "−": "$-$",
    "≠": r"$\neq$",
    ">": r"\textgreater{}",
} | {character: rf"\{character}" for character in "&%$#_{}"}


def escape(text: str) -> str:
    """Return the text with what LaTeX would take for a command written out."""
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda match: _SPECIAL[match[0]], text)


def _text(entry: Entry) -> str:
    return entry.text if isinstance(entry, Cell) else entry or ""


def _latex(entry: Entry) -> str:
    return escape(_text(entry))
