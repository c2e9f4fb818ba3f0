"""evaluation.runs.verify: an honest run passes to the last bit, and what was altered is found and named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from event_task import make_event_task
from paths import MODELS
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.cli.verify import main
from evaluation.embedding.store import DIGESTS_FILE
from evaluation.run import main as run_main
from evaluation.runs.present import entry_of_job

ALL = ("--fits", "1000")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of tasks of folds, of one split and of events, its tasks and its cache."""
    root = tmp_path_factory.mktemp("made")
    folds = {"split_mode": "new_split_kfold", "splits": ["fold00", "fold01", "fold02"], "nfolds": 3}
    make_task(root / "tasks" / "folds-v1-full", rate=16000, clips=9, task_name="folds", **folds)
    make_task(root / "tasks" / "tiny-v1-full", rate=16000, clips=6)
    make_event_task(root / "tasks" / "tones-v1-full", clips=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MODELS))
        options = [
            "--preset",
            "quick",
            "--seeds",
            "2",
            "--probe",
            "dropout=[0.1,0.4]",
            "--budget",
            "50",
            "100",
        ]
        options += ["--cache", str(root / "cache")]
        assert run_main(arguments(root / "tasks", root, *options, models=("frame_energy",))) == 0
    return root


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that a test may alter."""
    monkeypatch.syspath_prepend(str(MODELS))
    return Path(shutil.copytree(made / "default", tmp_path / "run"))


def alter(run: Path, change: Callable[[dict], None], line: int = 0) -> dict:
    """Change one line of the ledger and return it."""
    lines = ledger_lines(run)
    change(lines[line])
    (run / "ledger.jsonl").write_text("".join(json.dumps(item) + "\n" for item in lines))
    return lines[line]


def test_an_honest_run_is_equal_to_the_last_bit(run: Path, capsys: pytest.CaptureFixture) -> None:
    fits = len(ledger_lines(run))
    assert main([str(run), *ALL]) == 0
    shown = capsys.readouterr().out
    assert "Mode: exact." in shown
    assert "every number must be equal" in shown
    assert f"{fits} of {fits}" in shown
    assert f"To the last bit: {fits + 8} equal, 0 differ, 0 not checked" in shown, (
        "and one model, three tasks, their embeddings, and the scores beside their details"
    )


@pytest.mark.parametrize("head", ["knn", "linear"])
def test_an_honest_run_of_another_head_is_equal(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, head: str
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    options = ["--head", head, "--seeds", "1", "--cache", str(made / "cache"), "--no-report"]
    assert run_main(arguments(made / "tasks", tmp_path, *options, models=("frame_energy",))) == 0
    assert main([str(tmp_path / "default"), *ALL]) == 0
    assert " 0 differ, 0 not checked" in capsys.readouterr().out


@pytest.mark.parametrize("line", [0, 9, -1])
def test_an_altered_score_is_found_and_named(run: Path, capsys: pytest.CaptureFixture, line: int) -> None:
    def better(record: dict) -> None:
        record["scores"][record["primary"]] = float(record["scores"][record["primary"]]) + 1e-9

    altered = alter(run, better, line)
    assert main([str(run), *ALL]) == 1
    shown = capsys.readouterr().out
    event = altered["task"].startswith("tones")
    sentences = [text for text in shown.splitlines() if text.startswith("  differs")]
    assert len(sentences) == (1 if event else 2), "of events no score can be had from their details"
    for word in (altered["model"], altered["task"], altered["primary"], f"seed {altered['key']['seed']}"):
        assert all(word in sentence for sentence in sentences)


@pytest.mark.parametrize("score", ["top1_acc", "mAP"])
def test_an_altered_score_is_found_without_training(
    run: Path, capsys: pytest.CaptureFixture, score: str
) -> None:
    by = {"top1_acc": 1e-9, "mAP": 1e-4}[score]
    alter(run, lambda record: record["scores"].update({score: record["scores"][score] + by}), 3)
    assert main([str(run), "--fits", "0"]) == 1
    assert f"{score} is " in capsys.readouterr().out


def test_an_altered_confusion_matrix_is_found_without_training(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = (run / "details.jsonl").read_text().splitlines()
    fields = json.loads(lines[2])
    fields["confusion"][0][2] += 1
    (run / "details.jsonl").write_text("\n".join([*lines[:2], json.dumps(fields), *lines[3:]]) + "\n")
    assert main([str(run), "--fits", "0"]) == 1
    assert "by its details in details.jsonl" in capsys.readouterr().out


def test_lost_details_are_told_and_are_no_difference(run: Path, capsys: pytest.CaptureFixture) -> None:
    (run / "details.jsonl").unlink()
    assert main([str(run), "--fits", "0"]) == 0
    assert "fits of the ledger have no details" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["test.npy", "valid.frames.npz"])
def test_an_altered_embedding_is_found_without_training(
    made: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    cache = Path(shutil.copytree(made / "cache", tmp_path / "cache"))
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "cache": str(cache)}))
    path = next((cache / "embeddings").rglob(name))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main([str(run), "--fits", "0"]) == 1
    assert f"{path} is not what was stored" in capsys.readouterr().out
    path.write_bytes(whole)
    (path.parent / "sha256.json").unlink()
    assert main([str(run), "--fits", "0"]) == 0
    assert "was stored without a SHA-256" in capsys.readouterr().out


def test_an_altered_number_of_epochs_is_found(run: Path) -> None:
    alter(run, lambda record: record.update(epochs=record["epochs"] + 1))
    assert main([str(run), *ALL]) == 1


def test_the_sample_depends_on_its_seed_alone(run: Path, capsys: pytest.CaptureFixture) -> None:
    shown = []
    for seed in ("1", "1", "2"):
        assert main([str(run), "--fits", "3", "--seed", seed]) == 0
        shown.append([text for text in capsys.readouterr().out.splitlines() if "test part" in text])
    assert shown[0] == shown[1] != shown[2]
    assert [len(lines) for lines in shown] == [3, 3, 3]


def test_elsewhere_a_tolerance_is_stated_and_holds(run: Path, capsys: pytest.CaptureFixture) -> None:
    def shift(record: dict, by: float) -> None:
        record["versions"]["torch"] = "1.0"
        record["validation_score"] = float(record["validation_score"]) + by

    # One that selects nothing: which line comes first depends on what was trained first.
    line = next(i for i, record in enumerate(ledger_lines(run)) if record["key"]["test"] == "fold02")
    alter(run, lambda record: shift(record, 0.2), line)
    assert main([str(run), *ALL]) == 0
    shown = capsys.readouterr().out
    assert "Mode: TOLERANT for 1 fits. Not as it was: torch 1.0 then" in shown
    assert f"Mode: exact for {len(ledger_lines(run)) - 1} fits." in shown
    assert "Within the tolerance: " in shown
    assert "may differ by 1/sqrt(number of clips)" in shown
    assert "within 0.2" in shown
    alter(run, lambda record: shift(record, 0.2), line)
    assert main([str(run), *ALL]) == 1, "9 clips allow 0.33"
    assert "0.33 is allowed" in capsys.readouterr().out


def test_a_fit_from_elsewhere_makes_no_other_tolerant(run: Path, capsys: pytest.CaptureFixture) -> None:
    alter(run, lambda record: record["versions"].update(torch="1.0"))
    alter(run, lambda record: record.update(validation_score=record["validation_score"] + 1e-9), -1)
    assert main([str(run), *ALL]) == 1
    assert ", 1 differ, 0 not checked" in capsys.readouterr().out


def test_threads_are_those_of_the_fit_not_of_the_last_command(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    alter(
        run, lambda record: record["hardware"].update(torch_threads=record["hardware"]["torch_threads"] + 1)
    )
    assert main([str(run), *ALL]) == 0
    shown = capsys.readouterr().out
    assert "Mode: exact." in shown
    assert "TOLERANT" not in shown


@pytest.mark.parametrize(
    ("store", "status", "sentence"),
    [
        ("of today", 0, "and its embeddings are the same"),
        ("empty", 1, "whether it embeds the same is seen when the run's command has embedded again"),
        ("of others", 1, "and so are its embeddings"),
    ],
)
def test_another_model_is_the_same_if_its_embeddings_are(
    made: Path,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    store: str,
    status: int,
    sentence: str,
) -> None:
    content, cache = json.loads((run / "run.json").read_text()), tmp_path / "cache"
    if store != "empty":
        shutil.copytree(made / "cache", cache)
    if store == "of others":
        for digests in (cache / "embeddings").glob(f"*/{DIGESTS_FILE}"):
            digests.write_text(re.sub("[0-9a-f]{64}", "f" * 64, digests.read_text()))
    content["cache"] = str(cache)
    content["models"][0]["fingerprint"] = "0" * 64
    for job in content["jobs"]:
        job["model_fingerprint"] = "0" * 64
        job["entry"] = entry_of_job(content, job).key
    (run / "run.json").write_text(json.dumps(content))
    assert main([str(run), "--fits", "3"]) == status
    (line,) = [text for text in capsys.readouterr().out.splitlines() if " model frame_energy: " in text]
    assert "fingerprint was 000000000000 and is" in line
    assert line.endswith(sentence)


def test_changed_labels_and_weights_are_found(
    made: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    content = json.loads((run / "run.json").read_text())
    copy = shutil.copytree(made / "tasks" / "tiny-v1-full", tmp_path / "tiny-v1-full")
    names = json.loads((copy / "test.json").read_text())
    (copy / "test.json").write_text(json.dumps({name: [2] for name in names}))
    for job in content["jobs"]:
        if job["task"] == "tiny-v1-full":
            job["directory"] = str(copy)
    content["models"][0]["fingerprint"] = "0" * 64
    (run / "run.json").write_text(json.dumps(content))
    assert main([str(run), "--fits", "0"]) == 1
    differing = [text for text in capsys.readouterr().out.splitlines() if text.startswith("  differs")]
    assert len(differing) == 3
    assert "model frame_energy: fingerprint was 000000000000 and is" in differing[0]
    assert "task tiny-v1-full at 16000 Hz: content was" in differing[1]
    assert "embeddings of frame_energy on tiny-v1-full: they, or the labels, are others" in differing[2]


def test_an_altered_identity_of_the_embeddings_is_found(run: Path, capsys: pytest.CaptureFixture) -> None:
    content = json.loads((run / "run.json").read_text())
    content["jobs"][0]["dtype"] = "float16"
    (run / "run.json").write_text(json.dumps(content))
    assert main([str(run), "--fits", "0"]) == 1
    assert "identity of the embeddings has another key" in capsys.readouterr().out


def test_what_is_gone_is_not_checked_and_said(run: Path, capsys: pytest.CaptureFixture) -> None:
    content = json.loads((run / "run.json").read_text())
    content["cache"] = str(run / "gone")
    content["models"][0]["module"] = "gone_module"
    (run / "run.json").write_text(json.dumps(content))
    assert main([str(run), "--fits", "0"]) == 0
    assert main([str(run), "--fits", "4"]) == 1, "a fit of the sample is not what was checked"
    shown = capsys.readouterr().out
    assert "not checked  model gone_module: there is no module" in shown
    assert "are not in" in shown
    assert "0 differ" in shown


def test_a_mistake_is_one_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(run), "--fits", "-1"]) == 2
    (run / "ledger.jsonl").write_text("")
    assert main([str(run)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "no finished fit to verify" in errors[2]
