"""What the tests of the evaluation command share: its arguments, and what it wrote."""

import csv
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(__file__).parent / "models"
TWO = ("band_energy", "one_by_one")


def arguments(tasks_dir: Path, results: Path, *more: str, models: tuple[str, ...] = TWO) -> list[str]:
    """Return a command line without the report at the end, which takes longer than these tests' runs."""
    line = ["--tasks-dir", str(tasks_dir), "--results", str(results), "--models", *models, "--no-report"]
    return [*line, *more]


def ledger_lines(directory: Path) -> list[dict]:
    """Return the lines that are whole; one may be being written."""
    path = directory / "ledger.jsonl"
    content = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in content[: content.rfind("\n") + 1].splitlines()]


def scores(directory: Path) -> dict[tuple[str, str], list[float]]:
    """Read scores.csv: (model, task) -> score per seed."""
    found: dict[tuple[str, str], list[float]] = {}
    with open(directory / "tables" / "scores.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["model"], row["task"]), []).append(float(row["score"]))
    return found
