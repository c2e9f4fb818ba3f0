"""What the tests of the evaluation command share: its arguments, and what it wrote."""

import csv
import json
from pathlib import Path

from evaluation.files import read_lines
from evaluation.results.ledger import _START as LINE_START
from evaluation.results.run_file import LEDGER_FILE

TWO = ("band_energy", "one_by_one")


def arguments(tasks_dir: Path, results: Path, *more: str, models: tuple[str, ...] = TWO) -> list[str]:
    """Return a command line without the report at the end, which takes longer than these tests' runs."""
    line = ["--tasks-dir", str(tasks_dir), "--results", str(results), "--models", *models, "--no-report"]
    return [*line, *more]


def ledger_lines(directory: Path) -> list[dict]:
    """Return the lines that are whole, as the ledger reads them; another process may be writing one."""
    return [json.loads(line) for line in read_lines(directory / LEDGER_FILE, LINE_START).whole]


def scores(directory: Path) -> dict[tuple[str, str], list[float]]:
    """Read scores.csv: (model, task) -> score per seed."""
    found: dict[tuple[str, str], list[float]] = {}
    with open(directory / "tables" / "scores.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["model"], row["task"]), []).append(float(row["score"]))
    return found
