"""The whole way by the command line: recordings, prepared data, a trained model, its file, its scores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sounds
from paths import ROOT

RUN = ["--config", "table7:mw_mae_8x16", "--tiny"]


def command(module: str, *arguments: object) -> str:
    """Run `python -m module`, which must succeed; return its standard output."""
    # Compiled as for a user, not as for other tests.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def real_recordings(shared: Path) -> list[Path]:
    """Every fortieth file of the pre-training mix: all its kinds of sound."""
    return sorted((shared / "data" / "pretrain_mix").rglob("*.opus"))[::40]


@pytest.mark.slow
def test_from_recordings_to_scores(
    tmp_path: Path, sample_tasks: Path, request: pytest.FixtureRequest
) -> None:
    """On real recordings where they are at hand, else on synthetic tones."""
    try:
        files = real_recordings(request.getfixturevalue("shared"))
    except pytest.skip.Exception:
        files = sorted(sounds.write_tones(tmp_path / "tones", [2.5] * 160).iterdir())
    data, workdir, file = tmp_path / "data", tmp_path / "run", tmp_path / "model.safetensors"
    command("hear_mwmae", "prepare", *files, "--out", data)
    assert "steps" in command("hear_mwmae.pretrain", *RUN, "--data", data, "--plan")
    options = ["--epochs", 8, "--log-every", 1, "--workers", 0]
    command("hear_mwmae.pretrain", *RUN, "--data", data, "--workdir", workdir, *options)
    losses = [json.loads(line)["loss"] for line in (workdir / "log.jsonl").read_text().splitlines()]
    assert len(losses) >= 70
    # Measured on real recordings: 0.47.
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert list((workdir / "pictures").glob("*.png"))
    command("hear_mwmae", "export", workdir, "--out", file)
    results = tmp_path / "results"
    model = f"hear_mwmae.from_checkpoint@{file}"
    command("evaluation.run", "--tasks-dir", sample_tasks, "--tasks", "BO", "--models", model,
            "--preset", "quick", "--seeds", 2, "--results", results, "--run", "tiny")  # fmt: skip
    table = (results / "tiny" / "tables" / "table.md").read_text()
    assert "random init" not in table
    assert "hear_mwmae.from_checkpoint" in table
