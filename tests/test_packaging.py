"""What is installed, from a wheel and editable: complete, and found from every working directory."""

import os
import shutil
import site
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy
import pytest
from paths import ROOT

import evaluation.__main__
import hear_mwmae.__main__
import tasks.__main__

PACKAGES = ("tasks", "evaluation", "hear_mwmae")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
[BUILDS_WITH] = PROJECT["build-system"]["requires"]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") or path.name == "__main__.py"
)
PROGRAMS = {
    "hear-eval": evaluation.__main__.COMMANDS,
    "hear-tasks": tasks.__main__.COMMANDS,
    "hear-mwmae": hear_mwmae.__main__.COMMANDS,
}
STARTED = [
    *(("python", "-m", module) for module in MODULES),
    *((program, command) for program, commands in PROGRAMS.items() for command in commands),
]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with this project in it, and where its packages lie."""

    environment: Path
    packages: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs."""
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
        program, *arguments = command
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=cwd,
            env={**inherited, "PYTHONUTF8": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """A copy of what the packages are built from, its wheel and its editable wheel."""
    if f"setuptools=={version('setuptools')}" != BUILDS_WITH:
        pytest.skip(f"this environment has no {BUILDS_WITH}; install it with -c constraints.txt")
    folder = tmp_path_factory.mktemp("built")
    checkout = folder / "checkout"
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / package, checkout / package, ignore=ignored)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout)
    for kind in ("wheel", "editable"):
        code = f"from setuptools.build_meta import *; build_{kind}({str(folder / kind)!r})"
        subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True)
    return {"checkout": checkout, **{k: next((folder / k).glob("*.whl")) for k in ("wheel", "editable")}}


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request, built, tmp_path_factory) -> Installed:
    """The project in a fresh environment, beside the packages that it needs."""
    environment = tmp_path_factory.mktemp(request.param)
    venv.create(environment, with_pip=False)
    [packages] = environment.glob("lib/python*/site-packages")
    needed = {*site.getsitepackages(), str(Path(numpy.__file__).parents[1])}
    (packages / "needed.pth").write_text("\n".join(needed))
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    install = ["install", "--no-deps", "--no-index", "--disable-pip-version-check", built[request.param]]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    return Installed(environment, built["checkout"] if request.param == "editable" else packages)


@pytest.fixture
def crowded(tmp_path) -> Path:
    """A working directory with folders called as the packages are; `tasks.fetch --dir .` makes one."""
    for name in (*PACKAGES, "results", "tests"):
        (tmp_path / name / "esc50").mkdir(parents=True)
        (tmp_path / name / "esc50" / "task_metadata.json").write_text("{}")
    return tmp_path


def test_builds_are_made_with_one_version_of_the_build_tool():
    assert BUILDS_WITH.startswith("setuptools==")
    assert BUILDS_WITH in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_every_module_and_table_is_found_beside_folders_of_the_same_names(installed, built, crowded):
    checkout = built["checkout"]
    files = [file.relative_to(checkout) for name in PACKAGES for file in (checkout / name).rglob("*.py")]
    modules = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    code = (
        "import sys; from importlib.util import find_spec\nfor m in sys.argv[1:]: print(find_spec(m).origin)"
    )
    found = installed.run("python", "-c", code, *modules, cwd=crowded)
    assert found.stdout.split("\n")[:-1] == [str(installed.packages / file) for file in files], found.stderr
    code = "from evaluation.statistics.published import *\n"
    code += "print(len(read_published(published_directory(), 1).rows))"
    assert installed.run("python", "-c", code, cwd=crowded).stdout.strip() == "17"
    assert (installed.packages / "evaluation" / "report" / "html" / "report.html").is_file()


@pytest.mark.parametrize("file", ["tasks.py", "tasks/__init__.py"])
def test_a_program_of_the_same_name_is_named_and_not_run(installed, tmp_path, file):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("open('ran', 'w')")
    refused = installed.run("python", "-m", "evaluation", "status", "x", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {path} hides the package `tasks` of this program; rename it, or start from another folder.\n"
    )
    imported = installed.run("python", "-c", "import evaluation", cwd=tmp_path)
    assert imported.stderr.splitlines()[-1].startswith(f"ImportError: {path} hides")
    assert not (tmp_path / "ran").exists()


def test_a_command_works_beside_folders_of_the_same_names(installed, crowded):
    listed = installed.run("python", "-m", "tasks.list", "--tasks-dir", "tasks", cwd=crowded)
    assert (listed.returncode, listed.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("command", STARTED, ids=" ".join)
def test_every_command_starts_beside_folders_of_the_same_names(installed, crowded, command):
    shown = installed.run(*command, "--help", cwd=crowded)
    assert shown.returncode == 0, shown.stderr
    assert "usage:" in shown.stdout


@pytest.mark.slow
def test_the_papers_tables_and_our_script_need_no_checkout(installed, crowded):
    (crowded / "tasks.py").write_text("raise SystemExit('not ours')")
    shown = installed.run("hear-mwmae", "models", cwd=crowded)
    assert shown.returncode == 0, shown.stderr
    (crowded / "tasks.py").unlink()
    paper = installed.run("python", "-m", "evaluation", "report", "--paper", "--out", "paper", cwd=crowded)
    assert paper.returncode == 0, paper.stderr
    assert "MW-MAE" in (crowded / "paper" / "table1.md").read_text(encoding="utf-8")


def test_the_checkout_shows_the_published_tables_where_results_are():
    assert (ROOT / "results" / "published").resolve() == ROOT / "evaluation" / "published_tables"
