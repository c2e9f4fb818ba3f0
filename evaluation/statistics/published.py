"""The published numbers in `evaluation/published_tables`: the MW-MAE paper's tables as they are printed."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.escape import read_csv
from evaluation.statistics.intervals import Interval

TASKS = ("BO", "CD", "ESC-50", "LC", "Mri-S", "Mri-T", "NS-5h", "SC-5h", "F50K", "VL")
"""The columns of the paper's Table 1 by their short names, in its order."""

SCORED = (1, 7, 8, 9, 10)
"""The tables with a score for every task."""

N_RUNS = 10
"""Runs behind every printed mean (caption of Table 1)."""

NAIVE = "HEAR-Naive"

NAIVE_MODULE = "evaluation.baselines.hear_naive"
"""The baseline that the second formula of the overall score is relative to: its row and its HEAR module."""


@dataclass(frozen=True)
class PublishedRow:
    """One row: what names it and its legible cells; a half width that could not be read is NaN."""

    texts: Mapping[str, str]
    cells: Mapping[str, Interval]

    @property
    def name(self) -> str:
        """The model, in ablations with what was varied: "8x16 MW-MAE"."""
        varied = next(iter(self.texts.values()))
        model = self.texts["model"]
        return model if varied == model else f"{varied} {model}"

    @property
    def whole(self) -> bool:
        """Whether all ten tasks could be read."""
        return set(TASKS) <= set(self.cells)


@dataclass(frozen=True)
class PublishedTable:
    """One table: the names of its text columns and of its columns of numbers, and its rows."""

    number: int
    texts: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[PublishedRow]


def published_directory(given: Path | None = None) -> Path:
    """Return the folder of the published tables: the one given, else that of this package.

    Raises EvaluationError when it is not there.
    """
    directory = given or Path(__file__).resolve().parents[1] / "published_tables"
    if not (directory / "table1.csv").is_file():
        raise EvaluationError(f"there is no table1.csv in {directory}: say where it is with --published DIR")
    return directory


def read_published(directory: Path, number: int) -> PublishedTable:
    """Read `table<number>.csv`; raise EvaluationError, naming the file, when it is missing or damaged."""
    path = directory / f"table{number}.csv"
    try:
        header, *lines = [line for line in read_csv(path) if line]
        if len(set(header)) < len(header) or "model" not in header:
            raise ValueError("its columns need names, each once, and one is model")
        columns = [name for name in header if f"{name}_ci" in header]
        texts = [name for name in header if name not in columns and not name.endswith("_ci")]
        rows = [_published_row(dict(zip(header, line, strict=True)), texts, columns) for line in lines]
    except (OSError, ValueError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read as a published table: {error}") from error
    return PublishedTable(number, texts, columns, rows)


AUDIO_MAE_SCORES: Mapping[int, Sequence[str]] = {2: ("esc50_ft_acc",), 3: ("as20k_map", "as2m_map")}
"""The columns of numbers in the tables of Audio-MAE's supplement, which have no intervals."""


def read_audio_mae(directory: Path, number: int) -> PublishedTable:
    """Read `audiomae_table<number>.csv`; the first column names the rows, whatever it is called.

    Raises EvaluationError, naming the file, when it is missing or damaged.
    """
    path, columns = directory / f"audiomae_table{number}.csv", AUDIO_MAE_SCORES[number]
    try:
        header, *lines = [line for line in read_csv(path) if line]
        header = ["model", *header[1:]]
        if len(set(header)) < len(header) or not set(columns) <= set(header):
            raise ValueError(f"its columns need names, each once, {', '.join(columns)} among them")
        texts = [name for name in header if name not in columns]
        rows = []
        for line in lines:
            named = dict(zip(header, line, strict=True))
            cells = {c: Interval(_published_number(named[c]), math.nan, 1) for c in columns if named[c]}
            rows.append(PublishedRow({name: named[name] for name in texts}, cells))
    except (OSError, ValueError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read as a published table: {error}") from error
    return PublishedTable(number, texts, columns, rows)


def unrecovered_cells(directory: Path, number: int) -> list[str]:
    """Return the cells of a table that could not be read from any source, as "model column"."""
    path = directory / "unrecovered_cells.csv"
    try:
        header, *rows = [line for line in read_csv(path) if line]
        lines = [dict(zip(header, row, strict=True)) for row in rows]
        return [f"{line['model']} {line['column']}" for line in lines if line["table"] == str(number)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from error


def _published_row(line: Mapping[str, str], texts: Sequence[str], columns: Sequence[str]) -> PublishedRow:
    cells = {
        name: Interval(
            _published_number(line[name]),
            _published_number(half) if (half := line[f"{name}_ci"]) else math.nan,
            N_RUNS,
        )
        for name in columns
        if line[name]
    }
    if (parameters := line.get("params_m")) and not _published_number(parameters) > 0:
        raise ValueError(f"{parameters} million parameters")
    return PublishedRow({name: line[name] for name in texts}, cells)


def _published_number(text: str) -> float:
    """Read a finite number; raises ValueError for anything else."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
