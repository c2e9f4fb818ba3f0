"""The three programs and their commands: each name leads to its module, and `--help` costs nothing."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from paths import ROOT

import evaluation.__main__
import hear_mwmae.__main__
import tasks.__main__

PROGRAMS = {
    "hear-eval": evaluation.__main__,
    "hear-tasks": tasks.__main__,
    "hear-mwmae": hear_mwmae.__main__,
}
programs = pytest.mark.parametrize(("program", "package"), PROGRAMS.items(), ids=PROGRAMS)


@programs
def test_help_names_every_command(program, package, capsys):
    assert package.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert f"usage: {program} COMMAND" in printed
    for name, command in package.COMMANDS.items():
        assert f"  {name} " in printed
        assert find_spec(command.module) is not None


@programs
def test_an_unknown_command_is_a_sentence(program, package, capsys):
    assert package.main(["no\x1bsuch"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {program} has no command 'no\\x1bsuch'; it has ")


@pytest.mark.parametrize(
    ("program", "command"),
    [(program, name) for program, package in PROGRAMS.items() for name in package.COMMANDS],
)
def test_a_command_calls_itself_by_its_name(program, command, capsys, monkeypatch):
    if program == "hear-mwmae" and command in ("prepare", "pretrain", "export", "configs", "overlap"):
        pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program].main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {program} {command} ")


@pytest.mark.parametrize("package", ["evaluation", "tasks", "hear_mwmae"])
def test_the_list_of_commands_loads_no_framework(package):
    program = (
        f"import sys; from {package}.__main__ import main; main([]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "jax", "tensorflow"} & set(done.stderr.split())


HEAVY = {"torch", "jax", "tensorflow", "transformers", "scipy.stats", "sklearn", "pandas", "matplotlib"}


@programs
def test_help_of_no_command_waits_for_a_framework(program, package):
    lines = (
        "import contextlib, sys",
        f"from {package.__name__} import COMMANDS, main",
        "for command in COMMANDS:",
        "    with contextlib.suppress(SystemExit):",
        "        main([command, '--help'])",
        "    print(command, *sys.modules, file=sys.stderr)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {command: HEAVY & set(modules) for command, *modules in map(str.split, done.stderr.splitlines())}
    assert loaded == {command: set() for command in package.COMMANDS}


def test_the_state_of_a_run_waits_for_no_framework():
    program = "import sys; from evaluation.cli.status import main; print(main(sys.argv[1:]), *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "results" / "bundled")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    status, *modules = done.stdout.splitlines()[-1].split()
    assert status == "0"
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("module", ["evaluation.plan", "hear_mwmae.pretrain.prepare"])
def test_older_spellings_of_a_command_still_lead_to_it(module):
    if module.startswith("hear_mwmae"):
        pytest.importorskip("grain", reason='pre-training is not installed: pip install -e ".[pretrain]"')
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: hear-")
