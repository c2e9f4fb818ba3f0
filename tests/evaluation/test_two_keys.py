"""What an edit costs: words nothing, other code for the same numbers a pass of the encoder, others all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import MODELS
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.cli.status import main as status
from evaluation.run import main

MODEL = '''
"""A model of somebody who edits it."""

import torch


class Model(torch.nn.Module):
    sample_rate, scene_embedding_size = 16000, 8


def load_model(path=""):
    return Model()


def get_scene_embeddings(audio, model):
    """Peaks of eight parts."""
    parts = audio[:, : audio.shape[1] // 8 * 8].unflatten(1, (8, -1))
    return parts.abs().amax(-1)
'''


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=12).parent


def run(tasks: Path, source: str) -> tuple[int, int]:
    """Evaluate this source in a new process; return how many entries store and ledger have then."""
    folder = tasks.parent
    (folder / "edited_model.py").write_text(source)
    line = arguments(tasks, folder, "--preset", "quick", "--seeds", "2", models=("edited_model",))
    command = [sys.executable, "-m", "evaluation.run", *line, "--cache", str(folder / "cache")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entries = len(list((folder / "cache" / "embeddings").iterdir()))
    return entries, len(ledger_lines(folder / "default"))


def test_what_an_edit_costs(tasks: Path) -> None:
    assert run(tasks, MODEL) == (1, 2)
    reworded = MODEL.replace("Peaks of eight parts.", "The largest value of each part.")
    reworded = reworded.replace("    parts =", "    # Rounded down.\n\n    parts =").replace(
        "(8, -1)", "(\n8, -1\n)"
    )
    assert run(tasks, reworded) == (1, 2), "words and line breaks cost nothing"
    other_way = MODEL.replace("parts.abs().amax(-1)", "torch.maximum(parts.amax(-1), -parts.amin(-1))")
    assert run(tasks, other_way) == (2, 2), "the same numbers by other code: embedded again, nothing trained"
    assert run(tasks, MODEL.replace("amax", "mean")) == (3, 4), "other numbers: trained again"
    assert run(tasks, MODEL) == (3, 4), "and the first are still known"


def test_other_labels_on_the_same_sound_are_other_fits(tasks: Path) -> None:
    assert run(tasks, MODEL) == (1, 2)
    labels = tasks / "tiny-v1-full" / "train.json"
    names = json.loads(labels.read_text())
    first, second, *_ = names
    names[first], names[second] = names[second], names[first]
    labels.write_text(json.dumps(names))
    assert run(tasks, MODEL) == (2, 4)


def test_the_state_of_a_run_that_ends_after_embedding_names_its_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    make_task(tmp_path / "tasks" / "tiny-v1-full", rate=16000, clips=12)

    def killed(*_: object) -> None:
        raise SystemExit(137)

    monkeypatch.setattr("evaluation.run._text_of_finished_run", killed)
    line = arguments(
        tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "2", models=("band_energy",)
    )
    with pytest.raises(SystemExit):
        main(line)
    capsys.readouterr()
    assert status([str(tmp_path / "default")]) == 0
    assert "Fits: 2 of 2 done" in capsys.readouterr().out
