"""The ledger keeps every whole line and nothing else."""

import contextlib
import json
import math
import resource
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.results.ledger import FitKey, FitRecord, Ledger


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


def whole_ledger(path: Path, n: int = 4) -> bytes:
    Ledger(path).append(
        [record(seed) for seed in range(n)], {record(s).key: {"labels": [], "rows": []} for s in range(n)}
    )
    return path.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.replace(b"\n", b"\r"),
        lambda whole: whole.replace(b"\n", b"\r\n"),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole.decode().encode("utf-16"),
        lambda whole: whole.decode().encode("utf-16-be"),
        lambda whole: whole + b"\0" * 4096,
        lambda whole: whole.replace(b"\n", b"\n" + b"\0" * 512),
        lambda whole: whole.replace(b"\n", b"\n\n"),
        lambda whole: whole.replace(b"\n", b""),
        lambda whole: whole[:-100] + whole,
    ],
    ids=["CR", "CRLF", "BOM", "UTF-16", "UTF-16-BE", "zeros", "zeros within", "empty", "one line", "joined"],
)
def test_a_ledger_that_something_has_changed_loses_no_fit(tmp_path: Path, change: Callable) -> None:
    path = tmp_path / "ledger.jsonl"
    changed = change(whole_ledger(path))
    path.write_bytes(changed)
    seeds = [key.seed for key in Ledger(path).records]
    assert seeds[:3] == [0, 1, 2]
    assert path.read_bytes() == changed, "reading must not write"
    ledger = Ledger(path)
    with pytest.warns(UserWarning, match=r"kept as ledger\.jsonl\.damaged-1"):
        ledger.open_for_writing()
    assert (tmp_path / "ledger.jsonl.damaged-1").read_bytes() == changed
    ledger.append([record(9)])
    assert [key.seed for key in Ledger(path).records] == [*seeds, 9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ledger(path).open_for_writing()


def test_changed_details_are_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole_ledger(path)
    details = tmp_path / "details.jsonl"
    before = Ledger(path).details()
    details.write_bytes(details.read_text().encode("utf-16"))
    with pytest.warns(UserWarning, match=r"kept as details\.jsonl\.damaged-1"):
        Ledger(path).open_for_writing()
    assert Ledger(path).details() == before


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond `room` bytes: a write fails in its middle, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_append_that_fails_in_its_middle_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = whole_ledger(path, 2)
    ledger = Ledger(path)
    with full_disk(len(whole) + 100), pytest.raises(OSError, match="too large"):
        ledger.append([record(2)])
    assert path.read_bytes() == whole
    assert record(2).key not in ledger
    ledger.append([record(2), record(3)])
    assert [key.seed for key in Ledger(path).records] == [0, 1, 2, 3]
    with open(path, "ab") as file:
        file.write(whole[:100])  # by a disk that could not even be cut back
    ledger.append([record(4)])
    assert [key.seed for key in Ledger(path).records] == [0, 1, 2, 3, 4]


def test_a_file_that_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_atomically(path, "first")
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        write_atomically(path, "x" * 5000)
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text() == "first"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("key.seed", [1], "key.seed is not an integer"),
        ("key.seed", True, "key.seed is not an integer"),
        ("key.budget", "all", "key.budget is not a number"),
        ("stack_size", "two", "stack_size is not an integer"),
        ("stack_size", 0, "stack_size is 0"),
        ("scores", {"mAP": 0.5}, "scores lacks top1_acc"),
        ("scores", {"top1_acc": "good"}, "scores.top1_acc is not a number"),
        ("seconds", 1e300, "seconds is 1e[+]300"),
        ("seconds", "nan", "seconds is nan"),
        ("model", None, "model is not a text"),
        ("hardware", "two cores", "hardware is not an object"),
        ("epoch", "DIGITS", "integer beyond 64 bits"),
        ("later", 1, "later is unknown"),
        ("flops", math.nan, "holds NaN"),
    ],
)
def test_what_is_no_record_is_named_with_its_line(
    tmp_path: Path, field: str, value: Any, reason: str
) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = whole_ledger(path, 3).splitlines(keepends=True)
    fields = json.loads(lines[1])
    place = fields["key"] if field.startswith("key.") else fields
    place[field.removeprefix("key.")] = value
    lines[1] = json.dumps(fields).replace('"DIGITS"', "1" * 5000).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(EvaluationError, match=rf"ledger\.jsonl, line 2 .*{reason}.*remove that line"):
        Ledger(path)


@pytest.mark.parametrize("line", [b"[" * 100_000, b"{}", b"null", b'"\\ud800"', b"\xff\xfe\xfd", b"{" * 9])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = whole_ledger(path, 2)
    path.write_bytes(whole + line + b"\n" + whole)
    with pytest.raises(EvaluationError, match=r"ledger\.jsonl, line 3 .*remove that line"):
        Ledger(path)


def test_details_that_are_damaged_are_named_or_passed_over(tmp_path: Path) -> None:
    path, details = tmp_path / "ledger.jsonl", tmp_path / "details.jsonl"
    good = {
        "labels": ["a", "b"],
        "rows": [1, 2],
        "recall": [0.5, math.nan],
        "confusion": [[0, 1, 1], [1, 1, 2]],
    }
    Ledger(path).append([record(0)], {record(0).key: good})
    assert Ledger(path).details()[record(0).key]["rows"] == [1, 2]
    for damage in (
        {"rows": [1]},
        {"labels": 2},
        {"confusion": [[0, 5, 1]]},
        {"recall": ["x", 1]},
        {"confusion": [[0]]},
    ):
        details.unlink()
        Ledger(path)
        line = {"key": {"embedding": "abc", "test": "fold00", "config": "{}", "seed": 0}, **good, **damage}
        details.write_text(json.dumps(line).replace("NaN", '"nan"') + "\n")
        with pytest.raises(EvaluationError, match=r"details\.jsonl, line 1 .*remove that line"):
            Ledger(path).details()
    for torn in ("[" * 100_000, '{"key": 1}', "3", '{"key": {"embedding": [], "test": 2}}'):
        details.write_text(torn + "\n")
        assert Ledger(path).details() == {}
