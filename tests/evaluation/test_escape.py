"""Text from outside is shown as it is in every format and is a command in none."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluation.escape import csv_rows, csv_text, latex, markdown
from evaluation.report.sheet import Cell, Sheet

HOSTILE = (
    "=1+1",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1",
    " =1+1",
    "＝1+1",
    "'=1+1",
    "''=1",
    "'",
    "a;=1+1",
    'a","=1+1',
    "=cmd|' /C calc'!A0",
    "a|b",
    "a\nb",
    "a\r\n| c |",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><!--",
    "&lt;b&gt;",
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "**bold** _emphasis_ __init__ `code` ~~gone~~",
    "\\| \\\\ \\input{/etc/passwd}",
    "\\end{tabular}",
    "$x^2_y$",
    "a_b & 10% # {x} ~ ^",
    "[layer=block1]",
    "*starred",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "a\u2028b\x00c\x7f\x85",
    "\udcff\udc80",
    "--x ''quoted'' \"double\" ``ticks`` ?` !` << >>",
    "Ünïcode ß æ Ł 中文 😀 α → ∞ \ufffd",
    "ending in a backslash \\",
    "# heading",
    "1. item",
    "- item",
    "> quotation",
    "=== ",
    "",
)

PRINTABLE = [text for text in HOSTILE if text.isprintable()]


def hostile_sheet() -> Sheet:
    rows = [[text, Cell(1.25, 0.5, "†"), text] for text in HOSTILE]
    return Sheet("hostile", f"Table 1: {HOSTILE[18]}", ["model", HOSTILE[0], HOSTILE[15]], rows, HOSTILE)


def test_no_cell_of_csv_is_a_formula_and_it_is_read_back_as_it_was() -> None:
    content = csv_text([[text, -1.5, "-1.5", "+2e-3", text] for text in HOSTILE])
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert len(rows) == len(HOSTILE)
    for row, text in zip(rows, HOSTILE, strict=True):
        assert row[0] == row[4]
        assert not re.match(r"[=+\-@\t\r\n]", row[0].strip()), text
        assert row[1:4] == ["-1.5", "-1.5", "+2e-3"], "numbers stay numbers"
        assert all(character.isprintable() for character in row[0])
    again = csv_rows(csv_text([["x", text] for text in PRINTABLE]))
    assert again == [["x", text] for text in PRINTABLE]
    assert '"a;=1+1"' in content, "where semicolons divide cells it stays one cell"


def test_a_markdown_table_keeps_its_cells_and_has_no_html() -> None:
    text = hostile_sheet().markdown()
    lines = text.split("\n")
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) == len(HOSTILE) + 1
    for line in table:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4
    assert not re.search(r"<[A-Za-z/!?]", text)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert sum(line.startswith("- ") for line in lines) == len(HOSTILE)


@pytest.mark.parametrize("text", PRINTABLE)
def test_what_markdown_shows_is_the_text(text: str) -> None:
    """CommonMark: a backslash before ASCII punctuation shows that, two entities stand for < and &."""

    def shown(written: str) -> str:
        return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written).replace("&lt;", "<").replace("&amp;", "&")

    assert shown(markdown(text)) == text
    assert shown(markdown(text, block=True)) == text.lstrip()
    assert markdown("mw_mae_t (top1_acc)") == "mw_mae_t (top1_acc)"
    assert markdown("`--seeds`", code=True) == "`--seeds`"


def test_latex_writes_out_what_would_be_a_command() -> None:
    assert latex("a_b & 10% ± $") == r"a\_b \& 10\% $\pm$ \$"
    assert latex("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert latex("é中\u0301") == "é{[}U+4E2D{]}{[}U+0301{]}"
    assert latex("[a] -- *") == "{[}a] -{}- {*}"


def test_latex_of_hostile_text_compiles(tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no TeX on this machine to compile the tables with")
    (tmp_path / "hostile.tex").write_text(hostile_sheet().latex(), encoding="utf-8")
    accents = "".join(chr(code) for code in range(0x20, 0x250) if code not in (0x7F, 0xAD))
    document = (
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        f"\\input{{hostile}}\n{latex(accents)}\n\\end{{document}}\n"
    )
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
    assert (tmp_path / "all.pdf").stat().st_size > 1000
