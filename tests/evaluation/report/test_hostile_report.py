"""The report of a run whose names are hostile: nothing of them runs, breaks a file or moves a terminal."""

import csv
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hostile_run import MODELS, TASKS, write_hostile_run

from evaluation.cli.status import status_text
from evaluation.results.reading import read_run
from evaluation.runs.status import run_status

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\ud800-\udfff\ufffe]")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """The folder of the report, made in a locale without any letter outside ASCII, and what was printed."""
    run = write_hostile_run(tmp_path_factory.mktemp("hostile") / "run")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "evaluation", "report", str(run), "--score", "minmax"]
    return run, subprocess.run(command, env=environment, capture_output=True, check=False)


def files(run: Path, kind: str) -> list[Path]:
    found = [path for folder in (run, run / "tables", run / "figures") for path in folder.glob(f"*.{kind}")]
    assert found, kind
    return found


def test_the_terminal_gets_text_only(shown: tuple[Path, subprocess.CompletedProcess]) -> None:
    run, done = shown
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode("ascii") + done.stderr.decode("ascii")
    assert not CONTROL.search(text)
    assert "Warning" not in text
    assert "Traceback" not in text
    status = status_text(run_status(run))
    assert not CONTROL.search(status)


def test_every_file_is_utf_8_without_control_characters(
    shown: tuple[Path, subprocess.CompletedProcess],
) -> None:
    for kind in ("md", "csv", "tex", "html", "svg"):
        for path in files(shown[0], kind):
            assert not CONTROL.search(path.read_bytes().decode("utf-8")), path


def test_drawings_are_xml(shown: tuple[Path, subprocess.CompletedProcess]) -> None:
    names = {path.stem for path in files(shown[0], "svg")}
    assert {"bars", "heat_map", "seeds", "task_correlation", "score_parameters"} <= names
    for path in files(shown[0], "svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert "script" not in tags
        assert "image" not in tags


def test_no_cell_is_a_formula(shown: tuple[Path, subprocess.CompletedProcess]) -> None:
    for path in files(shown[0], "csv"):
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1, path
        for cell in (cell for row in rows for cell in row):
            assert not re.match(r"\s*[=+\-@\t\r]", cell) or re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell), (
                path,
                cell,
            )


def test_markdown_has_no_html_and_its_tables_are_whole(
    shown: tuple[Path, subprocess.CompletedProcess],
) -> None:
    for path in files(shown[0], "md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<[A-Za-z/!?]", text), path
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            bars = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table.splitlines()}
            assert len(bars) == 1, (path, table)
            assert len(table.splitlines()) > 2


def test_latex_tables_compile(shown: tuple[Path, subprocess.CompletedProcess], tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no TeX on this machine to compile the tables with")
    tables = files(shown[0], "tex")
    inputs = "".join(f"\\input{{{path.name}}}\n\\clearpage\n" for path in tables)
    for path in tables:
        shutil.copy(path, tmp_path)
    start = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    (tmp_path / "all.tex").write_text(f"{start}{inputs}\\end{{document}}\n", encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]


class _Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))


def test_the_page_runs_its_own_script_only(shown: tuple[Path, subprocess.CompletedProcess]) -> None:
    page = (shown[0] / "report.html").read_text(encoding="utf-8")
    tags = _Tags(page).tags
    assert sum(tag == "script" for tag, _ in tags) == 1
    for tag, attributes in tags:
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "img" or attributes["src"].startswith("data:image/")
    assert "Hardest clips" in page
    assert "Confusion matrices" in page


def test_every_model_and_task_has_a_name_of_its_own(shown: tuple[Path, subprocess.CompletedProcess]) -> None:
    results = read_run(shown[0])
    assert list(results.models) == list(MODELS)
    assert len(set(results.names.values())) == len(MODELS)
    assert len(set(results.titles.values())) == len(TASKS)
    table = (shown[0] / "tables" / "table.md").read_text(encoding="utf-8")
    assert "/data/" not in table.partition("Models:")[0]
