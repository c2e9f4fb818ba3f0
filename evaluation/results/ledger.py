"""The ledger: one line of JSON for every finished fit, appended and synced, so that nothing done is lost.

What is long (per-class scores, the confusion matrix) stands beside it in `details.jsonl`, one line per fit.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError
from evaluation.files import Lines, append, ends_whole, read_lines, set_aside, write_atomically
from evaluation.results.details import details_misfit
from evaluation.shapes import ANY_NUMBER, json_misfit
from tasks import TaskError
from tasks.json_files import parse_json
from tasks.names import printable


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
class FitOrigin:
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
    `test_loss` is what training minimises, on the test part; `train_score` and `train_chance` are those of
    `FitResult`. They and what stands last, see `Origin`, are missing in older ledgers.
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
    train_score: float | None = None
    train_chance: float | None = None
    git_revision: str | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)


_START = b'{"key": {"embedding": '
"""How every line of a ledger and of its details begins."""


class Ledger:
    """The fits of one run directory. Reading it changes nothing; one process at a time may write."""

    def __init__(self, path: Path):
        self.path = path
        self.records: dict[FitKey, FitRecord] = {}
        self._load(self._read()[1])

    def open_for_writing(self) -> None:
        """Read again what is there by now, and cut off what was torn when a process died.

        That is a torn last line, and a last stack of which not all fits were written: it is trained again
        as a whole, so that its scores do not depend on where the process died. A file that is not as it was
        written, in line ends or encoding, say, is kept beside and written anew with all that can be read.
        """
        lines, records = self._read()
        if records:
            last = records[-1]
            size = sum(record.stack == last.stack for record in records[-last.stack_size :])
            if size < last.stack_size:
                records = records[:-size]
        details = read_lines(self.details_path, _START)
        _mend_ledger(self.path, lines, len(records))
        _mend_ledger(self.details_path, details, len(details.whole))
        self._load(records)

    def _read(self) -> tuple[Lines, list[FitRecord]]:
        lines = read_lines(self.path, _START)
        numbered = zip(lines.whole, lines.numbers, strict=True)
        return lines, [_parsed_line(line, number, self.path) for line, number in numbered]

    def _load(self, records: Iterable[FitRecord]) -> None:
        self.records = {}
        for record in records:
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

        Details go first: a record always has them, and details without a record are written over. Raises
        OSError when the disk refuses; the file has then no part of the records.
        """
        if not ends_whole(self.path):
            self.open_for_writing()
        fresh = [record for record in records if record.key not in self.records]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if details:
            lines = ({"key": asdict(r.key), **details[r.key]} for r in fresh if r.key in details)
            append(self.details_path, "".join(map(_line_of_record, lines)))
        append(self.path, "".join(_line_of_record(asdict(record)) for record in fresh))
        self.records.update((record.key, record) for record in fresh)

    def details(self) -> dict[FitKey, dict[str, Any]]:
        """Read the details of the fits that the ledger holds; of a fit trained twice, those of the last.

        What is no JSON was torn when a process died, and its fit is not in the ledger. Raises
        EvaluationError, naming the line, where the details of a fit have another shape than they should.
        """
        found, numbers = {}, {}
        lines = read_lines(self.details_path, _START)
        for line, number in zip(lines.whole, lines.numbers, strict=True):
            with contextlib.suppress(TaskError):
                fields = parse_json(line, str(self.details_path), surrogates=True)
                if json_misfit(fields, {"key": KEY_SHAPE}):
                    continue
                key = _key_of_line(fields.pop("key"))
                if key in self.records:
                    found[key] = fields
                    numbers[key] = number
        for key, fields in found.items():
            if reason := details_misfit(fields):
                raise EvaluationError(
                    f"{self.details_path}, line {numbers[key]} is not what this version writes "
                    f"({printable(reason)}); "
                    "remove that line, or train again with --no-resume"
                )
        return found


def _mend_ledger(path: Path, lines: Lines, kept: int) -> None:
    """Leave the first `kept` lines of a file, as their writer would have them.

    When more changes than that a torn last line goes, the file is kept as it was and that is said.
    """
    content = b"".join(line + b"\n" for line in lines.whole[:kept])
    if not lines.plain:
        aside = set_aside(path)
        write_atomically(path, content)
        warnings.warn(
            f"{path} is not as it was written: another program has changed it, or a failure of the disk or "
            f"of power has; it is kept as {aside.name}, and the {kept} lines of it that can be read are used",
            stacklevel=3,
        )
    elif path.exists() and path.stat().st_size > len(content):
        os.truncate(path, len(content))


KEY_SHAPE = {"embedding": str, "test": str, "config": str, "seed": int, "budget?": float}
RECORD_SHAPE = {
    "key": KEY_SHAPE,
    **dict.fromkeys(("model", "task", "preset", "primary", "monitor", "stack", "finished"), str),
    **dict.fromkeys(("epoch", "epochs", "stack_size"), int),
    **dict.fromkeys(("validation_score", "stack_seconds", "seconds", "flops"), ANY_NUMBER),
    "scores": {str: ANY_NUMBER},
    "versions": {str: str},
    "postprocessing?": {str: float},
    **dict.fromkeys(("test_loss?", "train_score?", "train_chance?"), (*ANY_NUMBER, None)),
    "git_revision?": (str, None),
    "hardware?": {str: object},
}
MOST_SECONDS = 1e9
"""No fit takes 30 years."""


def _parsed_line(line: bytes, number: int, path: Path) -> FitRecord:
    where = f"{path}, line {number}"
    try:
        fields = parse_json(line, where, surrogates=True)
        reason = json_misfit(fields, RECORD_SHAPE) or _nonsense_in_ledger(fields)
    except TaskError as error:
        fields, reason = {}, str(error).removeprefix(f"{where} ").rpartition(";")[0]
    if reason:
        raise EvaluationError(
            f"{where} is not a record of this version ({printable(reason)}); "
            "remove that line, or start another run with --run NAME"
        )
    return _record_of_line(fields)


def _nonsense_in_ledger(fields: Mapping[str, Any]) -> str:
    """Return what is wrong with a record of the right shape, "" when nothing is."""
    if unknown := set(fields) - {field.removesuffix("?") for field in RECORD_SHAPE}:
        return f"{min(unknown)} is unknown"
    if not 1 <= fields["stack_size"] < 10**6:
        return f"stack_size is {fields['stack_size']}"
    if fields["primary"] not in fields["scores"]:
        return f"scores lacks {fields['primary']}"
    times = ("seconds", "stack_seconds")
    return next((f"{t} is {fields[t]}" for t in times if not 0 <= float(fields[t]) < MOST_SECONDS), "")


def _record_of_line(fields: dict[str, Any]) -> FitRecord:
    changed = {
        "key": _key_of_line(fields["key"]),
        **{
            name: float(fields[name])
            for name in ("test_loss", "train_score", "train_chance")
            if fields.get(name) is not None
        },
        **{name: float(fields[name]) for name in ("validation_score", "seconds", "stack_seconds", "flops")},
        "scores": {name: float(score) for name, score in fields["scores"].items()},
    }
    return FitRecord(**{**fields, **changed})


def _key_of_line(fields: Mapping[str, Any]) -> FitKey:
    names = [name.removesuffix("?") for name in KEY_SHAPE]
    return FitKey(**{name: fields[name] for name in names if name in fields})


def _line_of_record(fields: Mapping[str, Any]) -> str:
    return json.dumps(strict_json(fields), allow_nan=False) + "\n"


def strict_json(value: Any) -> Any:
    """Return the value with infinities and NaN as strings: strict JSON has neither (float() reads them)."""
    if isinstance(value, dict):
        return {name: strict_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
