"""The borders between the rooms, and what an import may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

FORBIDDEN = {
    "tasks": {"hear_mwmae", "evaluation"},
    "hear_mwmae": {"tasks", "evaluation"},
    "evaluation": {"hear_mwmae"},
}

LAYERS = {
    "tasks": [
        {"errors", "names"},
        {"json_files", "work"},
        {"format"},
        {"hear"},
        {"find"},
        {"command"},
        {"build", "fetch", "check", "sample"},
        {"list"},
        {"__main__"},
    ],
    "hear_mwmae.pretrain": [
        {"hosts", "needed", "settings"},
        {"options"},
        {"data", "model"},
        {"training"},
        {"configs"},
        {"prepare", "__main__"},
    ],
    "hear_mwmae.supervised": [
        {"settings"},
        {"data", "model"},
        {"training"},
        {"configs"},
        {"series"},
        {"__main__"},
        {"finetune", "probe"},
    ],
    "hear_mwmae.analysis": [
        {"front_ends", "masking", "measures", "page"},
        {"inversion", "trained", "folder"},
        {"pieces"},
        {"inputs", "reconstruction", "concealment"},
        {"pictures"},
        {"reports"},
    ],
    "evaluation": [
        {"errors", "files", "environment", "shapes", "escape", "progress"},
        {"metrics", "baselines", "statistics"},
        {"models"},
        {"embedding"},
        {"probes"},
        {"results"},
        {"runs"},
        {"heareval", "report"},
        {"cli", "api"},
        {"run", "plan", "__main__"},
    ],
}
"""The rooms of each package, lowest first: a room imports only rooms before it."""


def modules_imported(path: Path) -> set[str]:
    """Return every module that a file names in an import, anywhere; `from a import b` is also a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute here"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def dotted(path: Path) -> str:
    """Return the name under which a file of the checkout is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(package: str) -> dict[str, set[str]]:
    """Return, for each module of a package, the modules of the same package that it imports."""
    files = {dotted(path): path for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py"))}
    assert files
    return {name: (modules_imported(path) & files.keys()) - {name} for name, path in files.items()}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_reaches_where_it_must_not(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        tops = {name.split(".")[0] for name in modules_imported(path)}
        baseline = path.is_relative_to(ROOT / "evaluation" / "baselines")  # a HEAR module, as any other
        assert not tops & FORBIDDEN[package] or baseline, f"{path.relative_to(ROOT)} crosses a border"


@pytest.mark.parametrize("package", LAYERS)
def test_a_room_imports_only_rooms_below_it(package: str) -> None:
    height = {room: level for level, rooms in enumerate(LAYERS[package]) for room in rooms}
    depth = len(package.split("."))
    for name, imports in arrows(package).items():
        if name == package:
            continue  # what the package gives by its own name
        room = name.split(".")[depth]
        assert room in height, f"{name}: {room} has no place in LAYERS"
        for other in imports - {package}:
            target = other.split(".")[depth]
            assert target == room or height[target] < height[room], f"{name} reaches up to {other}"


def test_only_commands_reach_the_analysis_of_models() -> None:
    for name, imports in arrows("hear_mwmae").items():
        if not name.startswith(("hear_mwmae.analysis", "hear_mwmae.cli.")):
            assert not any(other.startswith("hear_mwmae.analysis") for other in imports), name


@pytest.mark.parametrize("package", ["tasks", "hear_mwmae", "evaluation"])
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    # `from a import b` names a module b as well as its package a, whose own file need not import it
    left = {
        name: {other for other in imports if not any(deeper.startswith(f"{other}.") for deeper in imports)}
        for name, imports in arrows(package).items()
        if name != package
    }
    while free := {name for name, imports in left.items() if not imports & left.keys()}:
        left = {name: imports for name, imports in left.items() if name not in free}
    assert not left, f"in or above a circle: {sorted(left)}"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hear_mwmae", {"jax", "flax", "tensorflow"}),
        ("hear_mwmae.mw_mae_b", {"jax", "flax", "tensorflow"}),
        ("evaluation.run", {"jax", "flax", "tensorflow", "keras", "hear_mwmae"}),
        ("tasks", {"torch", "jax", "tensorflow"}),
        ("hear_mwmae.pretrain.data.prepare", {"torch", "jax", "tensorflow"}),
        ("hear_mwmae.pretrain.training.train", {"torch", "tensorflow"}),
        ("hear_mwmae.pretrain.training.export", {"torch", "tensorflow"}),
        ("hear_mwmae.analysis.reports", {"torch", "tensorflow", "librosa", "matplotlib", "jinja2"}),
    ],
)
def test_an_import_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    if module.startswith(("hear_mwmae.pretrain", "hear_mwmae.analysis")):
        pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')
    program = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & unwanted
