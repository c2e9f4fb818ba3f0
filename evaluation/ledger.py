"""The ledger: one line of JSON for every finished fit, appended and synced, so that nothing done is lost.

What is long (per-class scores, the confusion matrix) stands beside it in `details.jsonl`, one line per fit.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError


@dataclass(frozen=True)
class FitKey:
    """What makes a fit this fit: the embeddings, the part tested on, the grid point, the seed, the budget.

    `embedding` is the store's key and so covers weights, module, front end, task and sample rate; `budget`
    is the share of the training clips that was used, in per cent.
    """

    embedding: str
    test: str
    config: str
    seed: int
    budget: float = 100.0


@dataclass(frozen=True)
class Origin:
    """What a fit was trained with: versions of packages, revision of the checkout, hardware and threads."""

    versions: Mapping[str, str] = field(default_factory=dict)
    git_revision: str | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FitRecord:
    """One line of the ledger.

    `validation_score` and `scores` are on the metric's own scale (accuracy in 0..1); `primary` names the
    score that is reported and `monitor` the one on the validation part that stops and selects: the primary
    one or "loss". `epoch` is the 0-based epoch of the best check, `epochs` how many ran; `stack` names the
    `stack_size` networks that trained together, `stack_seconds` is their wall time, divided by the number of
    stacks that trained beside each other; `seconds` is this fit's share of it by arithmetic, `flops`.
    `postprocessing` is what was chosen for events, else empty.
    `test_loss` is what training minimises, on the test part. It and what stands last, see `Origin`, is
    missing in older ledgers.
    """

    key: FitKey
    model: str
    task: str
    preset: str
    primary: str
    monitor: str
    validation_score: float
    scores: dict[str, float]
    epoch: int
    epochs: int
    stack: str
    stack_size: int
    stack_seconds: float
    seconds: float
    flops: float
    versions: Mapping[str, str]
    finished: str
    postprocessing: dict[str, float] = field(default_factory=dict)
    test_loss: float | None = None
    git_revision: str | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)


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

    @property
    def details_path(self) -> Path:
        """The file beside the ledger that holds what is too long for its lines."""
        return self.path.with_name("details.jsonl")

    def append(
        self, records: Iterable[FitRecord], details: Mapping[FitKey, Mapping[str, Any]] | None = None
    ) -> None:
        """Write the records that are not there yet, and return only when they are on the disk.

        Details go first: a record always has them, and details without a record are written over.
        """
        fresh = [record for record in records if record.key not in self.records]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if details:
            lines = ({"key": asdict(r.key), **details[r.key]} for r in fresh if r.key in details)
            _append(self.details_path, "".join(map(_line, lines)), mend=True)
        _append(self.path, "".join(_line(asdict(record)) for record in fresh))
        self.records.update((record.key, record) for record in fresh)

    def details(self) -> dict[FitKey, dict[str, Any]]:
        """Read the details of the fits that the ledger holds; of a fit trained twice, those of the last."""
        found = {}
        content = self.details_path.read_bytes() if self.details_path.exists() else b""
        for line in content.splitlines():
            try:
                fields = json.loads(line)
                key = FitKey(**fields.pop("key"))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # torn when a process died; its fit is not in the ledger
            if key in self.records:
                found[key] = fields
        return found


def _append(path: Path, text: str, *, mend: bool = False) -> None:
    """Append and return when it is on the disk; `mend` ends a line that was torn when a process died."""
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if mend and end:
            file.seek(end - 1)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


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
    loss = fields.get("test_loss")
    numbers = {"validation_score": validation_score, "test_loss": None if loss is None else float(loss)}
    return FitRecord(**{**fields, **numbers, "key": FitKey(**fields["key"]), "scores": scores})


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(_strict(fields), allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    """Return the value with infinities and NaN as strings: strict JSON has neither (float() reads them)."""
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
