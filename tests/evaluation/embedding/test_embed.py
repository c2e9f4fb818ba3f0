"""Embeddings: batches or clip by clip, the same values; faults named with the clip; the store's keys."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_task import make_task, write_wav

from evaluation.embedding.embed import embed_task, is_embedded, store_entry
from evaluation.embedding.store import ENTRY_FILE, StoreEntry
from evaluation.environment import hardware
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from tasks import Task, TaskError, read_clip, read_task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return read_task(make_task(tmp_path / "tiny-v1-full", rate=16000))


def embed(model: HearModel, task: Task, cache: Path) -> tuple[StoreEntry, list[str], int]:
    """Embed and return the entry, what was warned of and the number of clips reported."""
    warnings: list[str] = []
    clips: list[int] = []
    entry = store_entry(model, task, cache)
    embed_task(model, task, [entry], cache, advance=clips.append, warn=warnings.append)
    return entry, warnings, sum(clips)


def test_every_split_is_stored_in_json_order(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("band_energy"))
    entry, warnings, clips = embed(model, task, tmp_path)
    assert (warnings, clips) == ([], 12)
    assert is_embedded(entry, task)
    for split, named in task.clips.items():
        for row, clip in enumerate(named):
            audio = read_clip(task.audio_path(split, clip.file, 16000), 16000)
            alone = model.scene_embeddings(audio[None])[0]
            np.testing.assert_allclose(entry.read(split)[row], alone, rtol=1e-6)
    assert json.loads((entry.path / ENTRY_FILE).read_text())["module"] == "band_energy"


def test_operations_and_sound_are_those_of_all_clips(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("one_transformer_layer"))
    entry, _, _ = embed(model, task, tmp_path)
    clips = [
        read_clip(task.audio_path(split, clip.file, 16000), 16000)
        for split, named in task.clips.items()
        for clip in named
    ]
    assert len({len(clip) for clip in clips}) == 1
    found = entry.embedding_time(task.clips)
    assert found.sound == pytest.approx(sum(map(len, clips)) / 16000)
    assert found.flops == pytest.approx(
        sum(model.flops("get_scene_embeddings", clip[None], [""]) for clip in clips)
    )
    assert found.flops_per_second_of_sound == pytest.approx(found.flops / found.sound)


def test_the_time_it_took_stays_with_the_embeddings(task: Task, tmp_path: Path) -> None:
    start = time.perf_counter()
    entry, _, _ = embed(HearModel(ModelSpec("band_energy")), task, tmp_path)
    whole = time.perf_counter() - start
    found = entry.embedding_time(task.clips)
    assert found.clips == 12
    assert 0 < found.seconds < whole
    assert found.hardware == [hardware(torch.device("cpu"))]
    assert found.flops is None, "energies in bands have no product to count"
    embed(HearModel(ModelSpec("band_energy")), task, tmp_path)
    assert entry.embedding_time(task.clips) == found, "what the store has is not timed again"
    assert entry.embedding_time([*task.clips, "other"]) is None
    (entry.path / "times.json").write_text("{")
    assert entry.embedding_time(task.clips) is None


def test_a_module_that_takes_one_clip_at_a_time_is_served_so(task: Task, tmp_path: Path) -> None:
    entry, warnings, _ = embed(HearModel(ModelSpec("one_by_one")), task, tmp_path)
    assert len(warnings) == 1
    assert "one_by_one: get_scene_embeddings failed on train-0.wav and 1 more" in warnings[0]
    assert warnings[0].endswith("going clip by clip")
    assert entry.read("train").shape == (4, 4)


def test_a_module_whose_embedding_depends_on_the_batch_is_served_clip_by_clip(
    task: Task, tmp_path: Path
) -> None:
    model = HearModel(ModelSpec("faulty", options={"fault": "neighbours"}))
    _, warnings, _ = embed(model, task, tmp_path)
    assert "differently beside others" in warnings[0]


def test_a_module_that_answers_at_random_is_told_so(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("faulty", options={"fault": "random"}))
    _, warnings, _ = embed(model, task, tmp_path)
    (sentence,) = warnings
    assert "faulty answers differently when it is given the same clip twice (train-0.wav)" in sentence
    assert "beside others" not in sentence


def test_embeddings_that_never_change_are_warned_of(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("faulty", options={"fault": "constant"}))
    _, warnings, _ = embed(model, task, tmp_path)
    (sentence,) = warnings
    assert sentence.startswith("warning: faulty: the embeddings of all clips of tiny-v1-full are one and the")


def test_a_module_that_runs_out_of_memory_gets_smaller_batches(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("faulty", options={"fault": "large batch"}))
    entry, warnings, clips = embed(model, task, tmp_path)
    assert clips == 12
    assert len(warnings) == 1
    assert "out of memory; going on with batches of 2" in warnings[0]
    plain, _, _ = embed(HearModel(ModelSpec("faulty")), task, tmp_path)
    for split in task.clips:
        np.testing.assert_array_equal(entry.read(split), plain.read(split))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("nan", r"faulty: the embedding of train-0.wav has NaN or infinite values"),
        (
            "size",
            r"faulty: the embeddings of train-0.wav have shape \(1, 2\) where the HEAR API wants \(1, 3\)",
        ),
        (
            "crash",
            r"get_scene_embeddings failed on train-0.wav \(4000 samples\): RuntimeError: kernel too large",
        ),
        ("complex", r"train-0.wav \(4000 samples\): TypeError: its answer has complex numbers"),
        ("quits", r"it asked Python to end \(SystemExit: usage: faulty\)"),
    ],
)
def test_a_bad_embedding_is_named_with_its_clip(
    task: Task, tmp_path: Path, fault: str, sentence: str
) -> None:
    model = HearModel(ModelSpec("faulty", options={"fault": fault}))
    with pytest.raises(EvaluationError, match=sentence):
        embed(model, task, tmp_path)
    entry = store_entry(model, task, tmp_path)
    assert not is_embedded(entry, task)
    assert not list(entry.path.glob("*.npy"))
    assert not list(entry.path.glob(".*.tmp"))


def test_a_bad_clip_keeps_the_splits_before_it(task: Task, tmp_path: Path) -> None:
    task.audio_path("valid", "valid-2.wav", 16000).write_bytes(b"RIFF")
    model = HearModel(ModelSpec("band_energy"))
    with pytest.raises(TaskError, match=r"valid-2.wav"):
        embed(model, task, tmp_path)
    entry = store_entry(model, task, tmp_path)
    assert entry.has("train", 4, 32)
    assert not entry.has("valid", 4, 32)


def test_the_key_follows_everything_that_the_values_depend_on(task: Task, tmp_path: Path) -> None:
    model = HearModel(ModelSpec("band_energy"))
    key = store_entry(model, task, tmp_path).key
    assert store_entry(model, task, tmp_path).key == key
    other = HearModel(ModelSpec("band_energy", options={"offset": 0.5}))
    assert store_entry(other, task, tmp_path).key != key
    write_wav(task.audio_path("test", "test-0.wav", 16000), np.full(4000, 0.125), 16000)
    assert store_entry(model, task, tmp_path).key != key


def test_a_missing_rate_is_made_once_and_part_of_the_key(tmp_path: Path) -> None:
    task = read_task(make_task(tmp_path / "tiny-v1-full", rate=48000))
    model = HearModel(ModelSpec("band_energy"))
    entry, _, _ = embed(model, task, tmp_path / "cache")
    assert entry.identity["source_rate"] == 48000
    assert len(list((tmp_path / "cache" / "audio").glob("tiny-v1-full-16000-*"))) == 1
    assert not (task.path / "16000").exists()


def test_a_damaged_clip_in_the_cache_says_what_to_delete(tmp_path: Path) -> None:
    task = read_task(make_task(tmp_path / "tiny-v1-full", rate=48000))
    model = HearModel(ModelSpec("band_energy"))
    embed(model, task, tmp_path / "cache")
    (folder,) = (tmp_path / "cache" / "audio").glob("tiny-v1-full-16000-*")
    next(folder.rglob("*.wav")).write_bytes(b"RIFF")
    other = HearModel(ModelSpec("band_energy", options={"offset": 0.5}))
    with pytest.raises(
        TaskError, match=r"in the cache is damaged; delete .*tiny-v1-full-16000-\w+, and it is"
    ):
        embed(other, task, tmp_path / "cache")


@pytest.mark.parametrize("damage", ["cut", "other shape", "no array"])
def test_a_damaged_entry_is_made_again(task: Task, tmp_path: Path, damage: str) -> None:
    model = HearModel(ModelSpec("band_energy"))
    entry, _, _ = embed(model, task, tmp_path)
    path, whole = entry.path / "valid.npy", (entry.path / "valid.npy").read_bytes()
    if damage == "other shape":
        np.save(path, np.zeros((4, 31), np.float32))
    else:
        path.write_bytes(whole[:200] if damage == "cut" else b"no array")
    assert not is_embedded(entry, task)
    embed(model, task, tmp_path)
    assert path.read_bytes() == whole


def test_clips_of_many_lengths_each_get_their_own_row(task: Task, tmp_path: Path) -> None:
    for index, length in enumerate((100, 4000, 4000, 900)):
        write_wav(
            task.audio_path("train", f"train-{index}.wav", 16000), np.full(length, 0.1 * (index + 1)), 16000
        )
    ragged = dataclasses.replace(task, metadata=dataclasses.replace(task.metadata, sample_duration=None))
    model = HearModel(ModelSpec("faulty"))
    entry, _, _ = embed(model, ragged, tmp_path)
    np.testing.assert_allclose(entry.read("train")[:, 0], [0.1, 0.2, 0.3, 0.4], atol=1e-4)
