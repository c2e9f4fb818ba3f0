"""Tasks of events from the command to the table: frames are learned, events are scored."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from event_task import make_event_task
from run_helpers import arguments, ledger_lines, scores

from evaluation.embedding.embed import embed_task, store_entry
from evaluation.embedding.store import Frames, StoreEntry
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from evaluation.probes.data import EventData, task_data
from evaluation.probes.events import (
    EventPart,
    EventPostprocessing,
    best_postprocessing,
    event_part,
    event_scores,
    postprocessing_grid,
)
from evaluation.probes.presets import preset_named
from evaluation.probes.splits import row_orders
from evaluation.results.ledger import Ledger
from evaluation.run import main
from evaluation.runs.job import Job
from evaluation.runs.missing import bytes_needed
from evaluation.runs.train_job import Resources, run_job
from tasks import Task, read_task

QUICK = ("--preset", "quick", "--probe", "max_epochs=40", "batch_size=256", "--seeds", "2")


def test_tones_are_found_and_the_ledger_says_how(tmp_path: Path) -> None:
    make_event_task(tmp_path / "tasks" / "tones-v1-full", clips=8)
    line = arguments(tmp_path / "tasks", tmp_path, *QUICK, "--save-predictions", models=("frame_energy",))
    assert main(line) == 0
    found = scores(tmp_path / "default")["frame_energy", "tones-v1-full"]
    assert min(found) > 60, "three clear tones in little noise"
    task = read_task(tmp_path / "tasks" / "tones-v1-full")
    for seed, record in enumerate(ledger_lines(tmp_path / "default")):
        assert record["monitor"] == "event_onset_200ms_fms"
        assert record["postprocessing"]["min_duration"] in (125.0, 250.0)
        (path,) = (tmp_path / "default" / "predictions").rglob(f"test-seed{seed}-*.npz")
        saved = np.load(path)
        part = part_of(task, saved)
        np.testing.assert_array_equal(part.targets(), saved["target"])
        chosen = EventPostprocessing(**record["postprocessing"])
        again = event_scores(saved["scores"], part, chosen, task.metadata.evaluation)
        assert record["scores"] == {name: pytest.approx(value) for name, value in again.items()}
        assert 100 * again["event_onset_200ms_fms"] == pytest.approx(found[seed])
    (_, line) = (tmp_path / "default" / "details.jsonl").read_text().splitlines()
    details = json.loads(line)
    assert details["labels"] == ["high", "low", "middle"]
    events = [event.label for clip in task.clips["test"] for event in clip.events]
    assert details["events"] == [events.count(label) for label in details["labels"]]
    assert len(details["event_onset_200ms_fms"]) == 3


def part_of(task: Task, saved: dict) -> EventPart:
    """Rebuild the test part from the saved file alone."""
    order = row_orders({split: len(clips) for split, clips in task.clips.items()})["test"]
    clips = [task.clips["test"][i] for i in order]
    assert saved["files"].tolist() == [clip.file for clip in clips]
    frames = Frames(np.zeros((len(saved["timestamps"]), 1)), saved["timestamps"], saved["boundaries"])
    return event_part(clips, frames, range(len(clips)), task.vocabulary)


def stored_events(directory: Path, **changes: object) -> tuple[Task, StoreEntry]:
    """The task of tones with noisy copies of its frames' targets for embeddings: no sound is embedded."""
    task = read_task(make_event_task(directory / "tones-v1-full", **changes))
    entry = StoreEntry(directory / "store", {"embedding": "event", "dim": 3})
    generator = np.random.default_rng(0)
    times = np.arange(0, 4000, 50.0)
    with entry.writing():
        for split, clips in task.clips.items():
            with entry.frame_writer(split, 3) as writer:
                for clip in clips:
                    hot = [
                        [
                            any(e.label == label and e.start <= t <= e.end for e in clip.events)
                            for label in task.vocabulary
                        ]
                        for t in times
                    ]
                    rows = np.array(hot, np.float32) + generator.normal(0, 0.25, (len(times), 3))
                    writer.append_clips(rows[None], times[None])
    return task, entry


def test_the_validation_score_is_the_best_postprocessings(tmp_path: Path) -> None:
    task, entry = stored_events(tmp_path)
    data = task_data(task, entry, 100.0, torch.device("cpu"))
    assert isinstance(data, EventData)
    logits = 4 * (data.part_rows("valid").x.numpy() - 0.5)
    values = [
        event_scores(data.probabilities(logits), data._parts["valid"], point, ["event_onset_200ms_fms"])
        for point in postprocessing_grid(task.metadata)
    ]
    best = max(value["event_onset_200ms_fms"] for value in values)
    assert data.validation_score("valid")(logits) == best > 0.3
    nothing = np.full_like(logits, -9)
    assert data.validation_score("valid")(nothing) == 0, "undefined counts as 0"


def test_a_task_that_selects_on_the_loss_like_maestro(tmp_path: Path) -> None:
    own = {
        "task_specific_param_grid": {"max_epochs": [20], "check_val_every_n_epoch": [1]},
        "event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50]},
    }
    changes = {"use_scoring_for_early_stopping": False, "evaluation_params": own}
    task, entry = stored_events(
        tmp_path, split_mode="new_split_kfold", splits=("fold00", "fold01", "fold02"), nfolds=3, **changes
    )
    preset = preset_named("mwmae").changed({"hidden_dim": 32, "lr": 1e-2}).for_task(task.metadata)
    job, ledger = Job("m", task, entry, preset, range(2)), Ledger(tmp_path / "ledger.jsonl")
    run_job(job, ledger, Resources(torch.device("cpu"), 1e9), lambda fits, what: None)
    records = list(ledger.records.values())
    assert len(records) == 2 * (2 + 2)
    assert {(r.monitor, r.epochs) for r in records} == {("loss", 20)}
    assert all(0 < r.validation_score < 0.7 for r in records)
    assert {tuple(r.postprocessing.values()) for r in records} == {(150.0, 50.0, 0.5)}
    assert min(job.seed_scores(ledger)) > 0.3


def test_a_budget_keeps_whole_clips(tmp_path: Path) -> None:
    task, entry = stored_events(tmp_path, clips=12)
    job = Job("m", task, entry, preset_named("quick"), range(1))
    (split,) = job.splits
    whole = task_data(job.task, job.entry, job.budget, torch.device("cpu"))
    part = task_data(job.task, job.entry, 10.0, torch.device("cpu"))
    assert whole.counts(split) == {"train": 12 * 80, "valid": 12 * 80, "test": 12 * 80}
    rows = part.counts(split)["train"]
    assert 80 <= rows < 12 * 80
    assert rows % 80 == 0
    assert (part.train_rows(split).target.sum(0) > 0).all(), "every class keeps a clip"


def test_a_check_at_which_nothing_is_detected_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, entry = stored_events(tmp_path)
    checks: list[float] = []

    def first_undefined(*arguments: object) -> tuple[EventPostprocessing, float]:
        point, score = best_postprocessing(*arguments)
        checks.append(score if checks else math.nan)
        return point, checks[-1]

    monkeypatch.setattr("evaluation.probes.data.best_postprocessing", first_undefined)
    numbers = {"max_epochs": 10, "check_val_every_n_epoch": 1, "batch_size": 64, "lr": 3e-4}
    job = Job("m", task, entry, preset_named("quick").changed(numbers), range(1))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    run_job(job, ledger, Resources(torch.device("cpu"), 1e9), lambda fits, what: None)
    (record,) = ledger.records.values()
    assert record.epochs == 10
    assert record.validation_score == pytest.approx(max(checks[1:10]))
    assert record.validation_score > 0.3
    data, (split,) = task_data(job.task, job.entry, job.budget, torch.device("cpu")), job.splits
    logits = torch.zeros(len(data.part_rows(split.test).x), 3)
    assert data.loss(split.test, logits.numpy()) == pytest.approx(math.log(2))
    assert 0 < record.test_loss < math.log(2)


def test_the_room_that_frames_need_is_known_before_they_are_made(tmp_path: Path) -> None:
    task = read_task(make_event_task(tmp_path / "tones-v1-full", clips=2, seconds=7.0, sample_duration=None))
    model = HearModel(ModelSpec("hear_mwmae.mw_mae_t"), "cpu")
    entry = store_entry(model, task, tmp_path)
    job = Job("m", task, entry, preset_named("quick"), range(1))
    expected = bytes_needed([job], tmp_path)
    embed_task(model, task, [entry], tmp_path, advance=lambda n: None, warn=pytest.fail)
    written = sum(path.stat().st_size for path in entry.path.glob("*.npy"))
    # Every clip has one more frame than seconds would have, and every file a header.
    assert written == pytest.approx(expected, rel=0.02)
    assert bytes_needed([job], tmp_path) == 0
