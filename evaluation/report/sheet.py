"""A table that is written three times: Markdown for people, CSV for programs, LaTeX (booktabs) for papers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.escape import csv_text, latex, markdown
from evaluation.files import write_atomically
from tasks.names import printable


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
        return [[_text_cell(entry) for entry in row] for row in self.rows]

    def markdown(self) -> str:
        """Return caption, table and notes."""
        notes = "\n".join(["", *map(markdown_item, self.notes), ""]) if self.notes else ""
        return f"**{markdown(self.caption)}**\n\n{markdown_table([self.header, *self.text_rows()])}{notes}"

    def csv(self) -> str:
        """Return header and rows: X, X_ci and X_mark for every column X with half widths and marks."""
        columns = [self._csv_column(index) for index in range(len(self.header))]
        return csv_text(
            [value for column in columns for value in column[row]] for row in range(len(self.rows) + 1)
        )

    def _csv_column(self, index: int) -> list[list[str | float]]:
        name, entries = self.header[index], [row[index] for row in self.rows]
        cells = [entry for entry in entries if isinstance(entry, Cell)]
        intervals = any(not math.isnan(cell.half_width) for cell in cells)
        marks = any(cell.mark for cell in cells)
        found: list[list[str | float]] = [
            [name, *([f"{name}_ci"] if intervals else []), *([f"{name}_mark"] if marks else [])]
        ]
        for entry in entries:
            if not isinstance(entry, Cell):
                found.append([entry or "", *[""] * (intervals + marks)])
                continue
            half = "" if math.isnan(entry.half_width) else round(entry.half_width, 6)
            found.append([round(entry.mean, 6), *([half] if intervals else []), *([entry.mark] * marks)])
        return found

    def latex(self) -> str:
        """Return a table environment, shrunk to the text's width; it needs booktabs and graphicx.

        Names that no LaTeX font has are shown by their codes.
        """
        alignment = "".join("l" if self._is_text(index) else "r" for index in range(len(self.header)))
        caption = re.sub(r"^Table \d+: ", "", self.caption)  # LaTeX counts for itself
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex(caption)}}}"]
        lines += [r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{"]
        lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
        lines += [" & ".join(map(latex, self.header)) + r" \\", r"\midrule"]
        for index, row in enumerate(self.rows):
            lines += [r"\midrule"] if index in self.rules and index else []
            lines.append(" & ".join(map(_latex_cell, row)) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}}"]
        lines += [rf"\par\raggedright\footnotesize {latex(note)}" for note in self.notes]
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


def markdown_item(text: str) -> str:
    """Return a sentence of ours, backticks and all, as an item of a Markdown list."""
    return f"- {markdown(text, code=True, block=True)}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is the header."""
    return aligned([[markdown(cell) for cell in row] for row in rows])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal, drawn as Markdown draws it; the first row is the header."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _text_cell(entry: Entry) -> str:
    return entry.text if isinstance(entry, Cell) else entry or ""


def _latex_cell(entry: Entry) -> str:
    return latex(_text_cell(entry))
