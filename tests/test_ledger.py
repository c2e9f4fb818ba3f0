"""The ledger keeps every whole line and nothing else."""

import json
import math
from pathlib import Path

import pytest

from evaluation.errors import EvaluationError
from evaluation.ledger import FitKey, FitRecord, Ledger


def record(seed: int, **changes: object) -> FitRecord:
    fields = {
        "key": FitKey("abc", "fold00", "{}", seed),
        "model": "m",
        "task": "t",
        "preset": "quick",
        "primary": "top1_acc",
        "monitor": "top1_acc",
        "validation_score": 0.5,
        "scores": {"top1_acc": 0.25, "d_prime": math.inf},
        "epoch": 2,
        "epochs": 3,
        "stack": f"stack {seed}",
        "stack_size": 1,
        "stack_seconds": 0.1,
        "seconds": 0.1,
        "flops": 1e9,
        "versions": {"torch": "2"},
        "finished": "2026-01-01T00:00:00+00:00",
        "test_loss": math.inf,
    }
    return FitRecord(**{**fields, **changes})


def test_what_was_appended_is_read_again_infinities_too(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ledger.jsonl"
    Ledger(path).append([record(0), record(1)])
    again = Ledger(path)
    assert set(again.records) == {record(0).key, record(1).key}
    assert again[record(0).key] == record(0)


def test_lines_are_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([record(0, scores={"aucroc": math.nan, "d_prime": math.inf})])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([record(0)])
    whole = path.read_bytes()
    torn = whole + whole.replace(b'"seed": 0', b'"seed": 1')[: kept if kept >= 0 else len(whole) - 1]
    path.write_bytes(torn)
    ledger = Ledger(path)
    assert list(ledger.records) == [record(0).key]
    assert path.read_bytes() == torn, "reading must not write: another process may be appending"
    ledger.open_for_writing()
    ledger.append([record(2)])
    assert list(Ledger(path).records) == [record(0).key, record(2).key]


def test_a_last_stack_that_is_not_whole_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([record(seed, stack="first", stack_size=2) for seed in (0, 1)])
    Ledger(path).append([record(seed, stack="second", stack_size=3) for seed in (2, 3)])
    ledger = Ledger(path)
    ledger.open_for_writing()
    assert [key.seed for key in ledger.records] == [0, 1]
    ledger.append([record(seed, stack="second", stack_size=3) for seed in (2, 3, 4)])
    ledger.open_for_writing()
    assert [key.seed for key in Ledger(path).records] == [0, 1, 2, 3, 4]


def test_no_fit_is_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append([record(0)])
    ledger.append([record(0, validation_score=0.9), record(1)])
    assert len(path.read_text().splitlines()) == 2
    assert Ledger(path)[record(0).key].validation_score == 0.5


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append([record(0), record(1)])
    whole = path.read_text()
    for damage in (('"seed": 0', '"sead": 0'), ('{"key"', '["key"'), ('"scores": {', '"scores": [], "x": {')):
        path.write_text(whole.replace(*damage, 1))
        with pytest.raises(EvaluationError, match=r"ledger.jsonl, line 1 .*remove that line"):
            Ledger(path)
