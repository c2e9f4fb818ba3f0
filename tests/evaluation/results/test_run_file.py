"""A run.json of another shape, and details beside it, are one sentence that names the file."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile_run import write_hostile_run

from evaluation.cli.report import main as report
from evaluation.cli.status import main as status
from evaluation.cli.status import status_text
from evaluation.errors import EvaluationError
from evaluation.report.html.page import write_html
from evaluation.results.reading import read_run
from evaluation.runs.status import run_status


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hostile_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    for name in ("run.json", "ledger.jsonl", "details.jsonl"):
        shutil.copy(whole / name, tmp_path)
    return tmp_path


def changed(content: Any, place: tuple, value: Any) -> Any:
    content = copy.deepcopy(content)
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return content


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"results": {}}',
        "[" * 100_000,
        '{"a": ' * 50_000,
        "1" * 5000,
        '{"n_seeds": ' + "1" * 5000 + "}",
        '{"n_seeds": NaN}',
        '{"preset": "a", "preset": "b"}',
        "\ufeff",
        "not JSON",
    ],
)
@pytest.mark.parametrize("command", [report, status])
def test_what_is_no_run_is_one_sentence(
    run: Path, command: Any, content: str, capsys: pytest.CaptureFixture
) -> None:
    (run / "run.json").write_text(content, encoding="utf-8")
    assert command([str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {run / 'run.json'} is not what this version writes (")
    assert said.count("\n") == 1


def test_a_run_json_in_no_encoding_is_one_sentence(run: Path) -> None:
    (run / "run.json").write_bytes(b"\xff\xfe{\0}\0")
    with pytest.raises(EvaluationError, match=r"run\.json is not what this version writes \(is not UTF-8"):
        read_run(run)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("models",), {}),
        (("models", 0, "dim"), "8"),
        (("models", 0, "label"), None),
        (("models", 0, "parameters"), 1e6),
        (("jobs", 1, "directory"), 3),
        (("jobs", 0, "embedding_time"), {"seconds": "long"}),
        (("command",), "python"),
        (("hardware",), []),
        (("failures",), "all"),
        (("results", "models"), "abc"),
        (("results", "models"), []),
        (("results", "marks"), ["random init"]),
        (("results", "digests"), [["a", 1]]),
        (("results", "notes"), [None]),
        (("results", "jobs"), []),
        (("results", "jobs", 0, "orders"), [["a"]]),
        (("results", "jobs", 0, "orders"), [[0], [7], [0]]),
        (("results", "jobs", 0, "orders"), []),
        (("results", "jobs", 0, "seeds"), [0, 0, 1]),
        (("results", "jobs", 0, "tests"), []),
        (("results", "jobs", 0, "column", "budget"), "all"),
        (("results", "jobs", 0, "column", "later"), 1),
        (("results", "jobs", 0, "later"), 1),
        (("results", "later"), 1),
    ],
)
def test_a_field_of_another_shape_is_named(run: Path, place: tuple, value: Any) -> None:
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(changed(content, place, value)))
    with pytest.raises(EvaluationError, match=r"run\.json is not what this version writes .*trains nothing"):
        status_text(run_status(run))


def test_details_that_do_not_go_together_are_named(run: Path) -> None:
    lines = (run / "details.jsonl").read_text().splitlines()
    fields = json.loads(lines[0])
    other = {**fields, "labels": ["a", "b"], "rows": [1, 2], "confusion": [[0, 1, 1]]}
    other |= {name: [0.5, 0.5] for name in ("average_precision", "roc_auc", "recall")}
    (run / "details.jsonl").write_text("\n".join([json.dumps(other), *lines[1:]]) + "\n")
    with pytest.raises(EvaluationError, match=r"details\.jsonl.* other classes"):
        write_html(read_run(run), [run], run)


def test_a_name_that_is_no_text_comes_back(run: Path) -> None:
    assert any("\udcff" in model for model in read_run(run).models)
