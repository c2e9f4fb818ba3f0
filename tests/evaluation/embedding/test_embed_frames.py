"""Timestamp embeddings of tasks of events: every frame with its time, whatever the module bears."""

import json
from pathlib import Path

import numpy as np
import pytest
from event_task import make_event_task
from tiny_task import write_wav

from evaluation.embedding.embed import embed_task, is_embedded, store_entry
from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from tasks import Task, read_clip, read_task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return read_task(make_event_task(tmp_path / "tones-v1-full", clips=4, seconds=1.0))


def embed(task: Task, cache: Path, fault: str = "none") -> tuple[StoreEntry, list[str], int]:
    """Embed and return the entry, what was warned of and the number of clips reported."""
    model = HearModel(ModelSpec("frame_energy", options={"fault": fault}), "cpu")
    warnings: list[str] = []
    clips: list[int] = []
    entry = store_entry(model, task, cache)
    embed_task(model, task, [entry], cache, advance=clips.append, warn=warnings.append)
    return entry, warnings, sum(clips)


def test_every_frame_is_stored_with_its_time_clip_after_clip(task: Task, tmp_path: Path) -> None:
    entry, warnings, clips = embed(task, tmp_path)
    assert (warnings, clips) == ([], 12)
    assert is_embedded(entry, task)
    model = HearModel(ModelSpec("frame_energy"), "cpu")
    for split, named in task.clips.items():
        frames = entry.read_frames(split)
        assert frames.embeddings.dtype == np.float32
        assert frames.timestamps.dtype == np.float64
        np.testing.assert_array_equal(frames.boundaries, 41 * np.arange(5))
        for i, clip in enumerate(named):
            rows = slice(frames.boundaries[i], frames.boundaries[i + 1])
            alone, times = model.timestamp_embeddings(
                read_clip(task.audio_path(split, clip.file, 16000), 16000)[None]
            )
            np.testing.assert_allclose(frames.embeddings[rows], alone[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(frames.timestamps[rows], times[0])


def test_clips_of_many_lengths_keep_their_frames_apart(task: Task, tmp_path: Path) -> None:
    lengths = (100, 16000, 16000, 900)
    for i, length in enumerate(lengths):
        audio = np.random.default_rng(i).uniform(-0.5, 0.5, length)
        write_wav(task.audio_path("train", f"train-{i}.wav", 16000), audio, 16000)
    entry, _, _ = embed(task, tmp_path)
    frames = entry.read_frames("train")
    np.testing.assert_array_equal(np.diff(frames.boundaries), [1 + length // 400 for length in lengths])
    assert frames.embeddings.shape == (frames.boundaries[-1], 32)
    assert (frames.timestamps[frames.boundaries[:-1]] == 0).all()


def test_long_clips_go_one_by_one(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = embed(task, tmp_path / "a")
    monkeypatch.setattr("evaluation.embedding.embed.BATCH_SECONDS", 1.5)
    single, warnings, _ = embed(task, tmp_path / "b", fault="one by one")
    assert warnings == []
    for split in task.clips:
        a, b = whole.read_frames(split), single.read_frames(split)
        np.testing.assert_allclose(a.embeddings, b.embeddings, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(a.timestamps, b.timestamps)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("one by one", "get_timestamp_embeddings failed on train-0.wav and 1 more (16000 samples)"),
        ("neighbours", "embeds a clip differently beside others; going clip by clip"),
        ("shifted times", "embeds a clip differently beside others; going clip by clip"),
        ("large batch", "out of memory; going on with batches of 2"),
    ],
)
def test_a_module_gets_the_batches_it_bears(task: Task, tmp_path: Path, fault: str, sentence: str) -> None:
    entry, warnings, clips = embed(task, tmp_path, fault)
    assert clips == 12
    assert len(warnings) == 1
    assert sentence in warnings[0]
    assert is_embedded(entry, task)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("crash", r"get_timestamp_embeddings failed on train-0.wav \(16000 samples\): RuntimeError: kernel"),
        ("nan", "the embedding of train-0.wav has NaN or infinite values"),
        ("size", r"shape \(1, 41, 2\) and their times \(1, 41\) where the HEAR API wants \(1, t, 32\)"),
        ("flat", r"shape \(1, 32\) and their times \(1, 41\)"),
        ("times", r"shape \(1, 41, 32\) and their times \(1, 40\)"),
        ("order", "of train-0.wav the timestamps .* do not ascend"),
        ("infinite times", "of train-0.wav the timestamps .* do not ascend"),
        ("no size", "timestamp_embedding_size = None; HEAR wants a positive integer"),
    ],
)
def test_bad_timestamp_embeddings_are_named_with_their_clip(
    task: Task, tmp_path: Path, fault: str, sentence: str
) -> None:
    with pytest.raises(EvaluationError, match=sentence) as caught:
        embed(task, tmp_path, fault)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.np[yz]"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_module_without_timestamps_is_refused_for_tasks_of_events_only(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("band_energy"), "cpu")
    with pytest.raises(EvaluationError, match="band_energy has no function get_timestamp_embeddings"):
        store_entry(model, task, tmp_path)


def test_the_key_follows_the_events_and_is_not_that_of_scenes(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("frame_energy"), "cpu")
    keys = {store_entry(model, task, tmp_path).key}
    labels = json.loads((task.path / "train.json").read_text())
    next(events for events in labels.values() if events)[0]["end"] += 1.0
    (task.path / "train.json").write_text(json.dumps(labels))
    keys.add(store_entry(model, read_task(task.path), tmp_path).key)
    metadata = json.loads((task.path / "task_metadata.json").read_text())
    (task.path / "task_metadata.json").write_text(json.dumps({**metadata, "embedding_type": "scene"}))
    entries = {
        s: {name: [] for name in json.loads((task.path / f"{s}.json").read_text())} for s in task.clips
    }
    for split, content in entries.items():
        (task.path / f"{split}.json").write_text(json.dumps(content))
    entry = store_entry(model, read_task(task.path), tmp_path)
    assert (entry.identity["embedding"], entry.identity["dim"]) == ("scene", 32)
    assert len({*keys, entry.key}) == 3


@pytest.mark.parametrize("damage", ["frames cut", "frames gone", "rows cut", "other clips", "other rows"])
def test_damaged_frames_are_made_again(task: Task, tmp_path: Path, damage: str) -> None:
    entry, _, _ = embed(task, tmp_path)
    rows, frames = entry.path / "valid.npy", entry.path / "valid.frames.npz"
    before = entry.read_frames("valid")
    values, times, boundaries = np.array(before.embeddings), before.timestamps, before.boundaries
    if damage == "frames cut":
        frames.write_bytes(frames.read_bytes()[:300])
    elif damage == "frames gone":
        frames.unlink()
    elif damage == "rows cut":
        rows.write_bytes(rows.read_bytes()[:-4])
    elif damage == "other clips":
        np.savez(frames, timestamps=times, boundaries=boundaries[[0, 2, 3, 4]])
    else:
        np.save(rows, values[:-1])
    assert not is_embedded(entry, task)
    embed(task, tmp_path)
    again = entry.read_frames("valid")
    np.testing.assert_array_equal(again.embeddings, values)
    np.testing.assert_array_equal(again.timestamps, times)


@pytest.mark.parametrize("fault", ["none", "seconds", "samples", "half", "late"])
def test_times_that_do_not_cover_a_clip_are_told_once(task: Task, tmp_path: Path, fault: str) -> None:
    _, warnings, _ = embed(task, tmp_path, fault=fault)
    if fault == "none":
        assert warnings == []
        return
    (sentence,) = warnings
    assert sentence.startswith("warning: frame_energy: the timestamps of train-0.wav go from ")
    assert " ms, but the clip is 1000 ms long" in sentence
