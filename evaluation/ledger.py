"""The ledger: one line of JSON for every finished fit, appended and synced, so that nothing done is lost."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError


@dataclass(frozen=True)
class FitKey:
    """What makes a fit this fit: the embeddings, the part tested on, the grid point and the seed.

    `embedding` is the store's key and so covers weights, module, front end, task and sample rate.
    """

    embedding: str
    test: str
    config: str
    seed: int


@dataclass(frozen=True)
class FitRecord:
    """One line of the ledger.

    `validation_score` and `scores` are on the metric's own scale (accuracy in 0..1); `primary` names the
    score that selects and is reported; `epoch` is the 0-based epoch of the best check, `epochs` how many ran;
    `stack` names the `stack_size` networks that trained together, `stack_seconds` is their wall time.
    """

    key: FitKey
    model: str
    task: str
    preset: str
    primary: str
    validation_score: float
    scores: dict[str, float]
    epoch: int
    epochs: int
    stack: str
    stack_size: int
    stack_seconds: float
    versions: dict[str, str]
    finished: str


class Ledger:
    """The fits of one run directory. Reading it changes nothing; one process at a time may write."""

    def __init__(self, path: Path):
        self.path = path
        self.records: dict[FitKey, FitRecord] = {}
        self._load(self._whole_lines())

    def open_for_writing(self) -> None:
        """Read again what is there by now, and cut off what was torn when a process died.

        That is a torn last line, and a last stack of which not all fits were written: it is trained again
        as a whole, so that its scores do not depend on where the process died.
        """
        lines = self._whole_lines()
        if lines:
            last = _parsed(lines[-1], len(lines), self.path)
            size = sum(_parsed(line, 0, self.path).stack == last.stack for line in lines[-last.stack_size :])
            if size < last.stack_size:
                lines = lines[:-size]
        length = sum(map(len, lines))
        if self.path.exists() and self.path.stat().st_size > length:
            os.truncate(self.path, length)
        self._load(lines)

    def _whole_lines(self) -> list[bytes]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)

    def _load(self, lines: Iterable[bytes]) -> None:
        self.records = {}
        for number, line in enumerate(lines, 1):
            record = _parsed(line, number, self.path)
            self.records.setdefault(record.key, record)

    def __contains__(self, key: FitKey) -> bool:
        return key in self.records

    def __getitem__(self, key: FitKey) -> FitRecord:
        return self.records[key]

    def append(self, records: Iterable[FitRecord]) -> None:
        """Write the records that are not there yet, and return only when they are on the disk."""
        fresh = [record for record in records if record.key not in self.records]
        lines = "".join(_line(record) for record in fresh)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self.records.update((record.key, record) for record in fresh)


def _parsed(line: bytes, number: int, path: Path) -> FitRecord:
    try:
        return _record(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvaluationError(
            f"{path}, line {number} is not a record of this version; "
            "remove that line, or start another run with --run NAME"
        ) from error


def _record(fields: dict[str, Any]) -> FitRecord:
    scores = {name: float(score) for name, score in fields["scores"].items()}
    validation_score = float(fields["validation_score"])
    key = FitKey(**fields["key"])
    return FitRecord(**{**fields, "key": key, "scores": scores, "validation_score": validation_score})


def _line(record: FitRecord) -> str:
    return json.dumps(_strict(asdict(record)), allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    """Return the value with infinities and NaN as strings: strict JSON has neither (float() reads them)."""
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
