"""The borders between the rooms, and what an import may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "tasks": {"hear_mwmae", "evaluation"},
    "hear_mwmae": {"tasks", "evaluation"},
    "evaluation": {"hear_mwmae"},
}


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_reaches_where_it_must_not(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & FORBIDDEN[room], f"{path.relative_to(ROOT)} crosses a border"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hear_mwmae", {"jax", "flax", "tensorflow"}),
        ("hear_mwmae.mw_mae_b", {"jax", "flax", "tensorflow"}),
        ("evaluation.run", {"jax", "flax", "tensorflow", "keras", "hear_mwmae"}),
        ("tasks", {"torch", "jax", "tensorflow"}),
        ("hear_mwmae.pretrain.prepare", {"torch", "jax", "tensorflow"}),
        ("hear_mwmae.pretrain.train", {"torch", "tensorflow"}),
        ("hear_mwmae.pretrain.export", {"torch", "tensorflow"}),
    ],
)
def test_an_import_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    if module.startswith("hear_mwmae.pretrain"):
        pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')
    program = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & unwanted
