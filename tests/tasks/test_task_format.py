"""The HEAR task directory: what is read, what is refused, what is written, and how it is found and hashed."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import SHARED
from tiny_task import make_task, write_wav

import tasks
from tasks.format import digest
from tasks.format.labels import sort_labels
from tasks.list import main as list_main

ARCHIVE = SHARED / "data" / "hear_mini" / "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
needs_archive = pytest.mark.skipif(not ARCHIVE.exists(), reason="HEAR's own prepared archive is not here")


def edit(file: Path, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def tiny(tmp_path):
    return make_task(tmp_path / "tiny-v1-full")


def test_reads_every_part_of_a_task(tiny):
    task = tasks.read_task(tiny)
    assert task.name == "tiny-v1-full"
    assert task.vocabulary == ("2", "10")
    assert task.sample_rates == (48000,)
    assert [c.file for c in task.clips["valid"]] == [f"valid-{i}.wav" for i in range(4)]
    assert [c.labels for c in task.clips["test"]] == [("2",), ("10",)] * 2
    assert task.metadata.extra == {
        "tmp_dir": "_workdir",
        "download_urls": [{"split": "train", "url": "https://example.org/a.zip"}],
    }
    assert task.metadata.evaluation[0] == "top1_acc"
    assert task.metadata.use_scoring_for_early_stopping


def test_writing_back_keeps_every_key_and_entry(tiny, tmp_path):
    task = tasks.read_task(tiny)
    tasks.write_task(tmp_path / "again", task.metadata, task.clips)
    before = json.loads((tiny / "task_metadata.json").read_text())
    after = json.loads((tmp_path / "again" / "task_metadata.json").read_text())
    assert before.items() <= after.items()
    assert set(after) - set(before) == {"use_scoring_for_early_stopping"}
    assert (tmp_path / "again" / "labelvocabulary.csv").read_text() == "idx,label\n0,2\n1,10\n"
    entries = json.loads((tmp_path / "again" / "train.json").read_text())
    assert entries == {
        "train-0.wav": ["2"],
        "train-1.wav": ["10"],
        "train-2.wav": ["2"],
        "train-3.wav": ["10"],
    }


def test_json_order_of_clips_is_kept_on_reading_and_sorted_on_writing(tiny, tmp_path):
    names = {f"valid-{i}.wav": [2] for i in (2, 0, 3, 1)}
    (tiny / "valid.json").write_text(json.dumps(names))
    task = tasks.read_task(tiny)
    assert [c.file for c in task.clips["valid"]] == list(names)
    tasks.write_task(tmp_path / "again", task.metadata, task.clips)
    assert list(json.loads((tmp_path / "again" / "valid.json").read_text())) == sorted(names)


def test_event_task_round_trip(tmp_path):
    root = make_task(tmp_path / "a", embedding_type="event", prediction_type="multilabel")
    events = [{"label": 10, "start": 0.0, "end": 120.5}, {"label": 2, "start": 50.0, "end": 60.0}]
    for split in ("train", "valid", "test"):
        edit(root / f"{split}.json", lambda entries: entries.update({name: events for name in entries}))
    task = tasks.read_task(root)
    clip = task.clips["train"][0]
    assert clip.labels == ("10", "2")
    assert clip.events == (tasks.Event("10", 0.0, 120.5), tasks.Event("2", 50.0, 60.0))
    tasks.write_task(tmp_path / "again", task.metadata, task.clips)
    assert json.loads((tmp_path / "again" / "train.json").read_text())["train-0.wav"] == [
        {"label": "10", "start": 0.0, "end": 120.5},
        {"label": "2", "start": 50.0, "end": 60.0},
    ]


BAD_EVENTS = {
    "end before start": ({"label": 2, "start": 5, "end": 4}, "0 <= start <= end"),
    "negative start": ({"label": 2, "start": -1, "end": 4}, "0 <= start <= end"),
    "no number": ({"label": 2, "start": float("nan"), "end": 4}, "NaN, which is no finite number"),
    "without end": ({"label": 2, "start": 0, "end": float("inf")}, "Infinity, which is no finite number"),
    "a text": ({"label": 2, "start": "0", "end": 4}, "needs label, start, end"),
    "a truth": ({"label": 2, "start": True, "end": 4}, "needs label, start, end"),
    "too long": ({"label": 2, "start": 0, "end": 10**400}, "an integer beyond 64 bits"),
    "unknown label": ({"label": 3, "start": 0, "end": 4}, "has the label '3'"),
    "no label": ({"start": 0, "end": 4}, "needs label, start, end"),
    "only a label": ("2", "needs label, start, end"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_a_bad_event_is_named_with_its_clip(tmp_path, case):
    event, message = BAD_EVENTS[case]
    root = make_task(tmp_path / "a", embedding_type="event", prediction_type="multilabel")
    good = {"label": 2, "start": 0, "end": 0}
    for split in ("train", "valid", "test"):
        edit(root / f"{split}.json", lambda entries: entries.update({name: [good] for name in entries}))
    assert tasks.read_task(root).clips["test"][1].events == (tasks.Event("2", 0.0, 0.0),)
    edit(root / "test.json", lambda entries: entries.update({"test-1.wav": [good, event]}))
    with pytest.raises(tasks.TaskError, match=message) as caught:
        tasks.read_task(root)
    assert f"{root / 'test.json'}" in str(caught.value)
    assert "test-1.wav" in str(caught.value) or "finite" in message or "integer" in message


def test_the_vocabulary_is_that_of_the_events(tmp_path):
    root = make_task(tmp_path / "a", embedding_type="event", prediction_type="multilabel")
    clips = {s: [tasks.Clip("x.wav", (), (tasks.Event(s, 0.0, 1.0),))] for s in ("train", "valid", "test")}
    assert tasks.write_task(tmp_path / "b", tasks.read_metadata(root), clips) == ("test", "train", "valid")


def test_multilabel_clips_may_have_any_number_of_labels(tmp_path):
    root = make_task(tmp_path / "a", prediction_type="multilabel", sample_duration=None)
    edit(root / "train.json", lambda entries: entries.update({"train-0.wav": [], "train-1.wav": [2, 10]}))
    task = tasks.read_task(root)
    assert [c.labels for c in task.clips["train"][:2]] == [(), ("2", "10")]
    assert task.metadata.sample_duration is None


def test_labels_are_sorted_as_numbers_only_when_all_are_numbers():
    assert sort_labels(["10", "9", "-1", "0"]) == ("-1", "0", "9", "10")
    assert sort_labels(["10", "9", "a"]) == ("10", "9", "a")


def metadata_change(**values):
    return lambda root: edit(root / "task_metadata.json", lambda m: m.update(values))


BAD_TASKS = {
    "no such directory": (shutil.rmtree, "task_metadata.json"),
    "broken json": (lambda r: (r / "train.json").write_text("{"), "train.json"),
    "list instead of object": (lambda r: (r / "train.json").write_text("[]"), "train.json"),
    "empty split": (lambda r: (r / "valid.json").write_text("{}"), "valid.json"),
    "split file missing": (lambda r: (r / "test.json").unlink(), "test.json"),
    "vocabulary missing": (lambda r: (r / "labelvocabulary.csv").unlink(), "labelvocabulary.csv"),
    "vocabulary gap": (
        lambda r: (r / "labelvocabulary.csv").write_text("idx,label\n0,2\n2,10\n"),
        "labelvocabulary.csv",
    ),
    "vocabulary repeats": (
        lambda r: (r / "labelvocabulary.csv").write_text("idx,label\n0,2\n1,10\n2,10\n"),
        "labelvocabulary.csv",
    ),
    "vocabulary without header": (
        lambda r: (r / "labelvocabulary.csv").write_text("0,2\n1,10\n"),
        "labelvocabulary.csv",
    ),
    "unknown label": (
        lambda r: edit(r / "test.json", lambda e: e.update({"test-0.wav": ["3"]})),
        r"test.json: test-0.wav has the label '3'",
    ),
    "two labels for one class": (
        lambda r: edit(r / "test.json", lambda e: e.update({"test-0.wav": [2, 10]})),
        "test-0.wav has 2 labels",
    ),
    "entry is no list": (
        lambda r: edit(r / "test.json", lambda e: e.update({"test-0.wav": 2})),
        "test-0.wav",
    ),
    "clip outside the folder": (
        lambda r: edit(r / "test.json", lambda e: e.update({"../x.wav": [2]})),
        r"\.\./x\.wav",
    ),
    "clip missing": (
        lambda r: (r / "48000/valid/valid-1.wav").unlink(),
        "48000/valid/valid-1.wav is missing",
    ),
    "no audio at all": (lambda r: shutil.rmtree(r / "48000"), "sample-rate folder"),
    "unknown embedding type": (metadata_change(embedding_type="frame"), "embedding_type"),
    "one class at a time": (metadata_change(embedding_type="event"), "prediction_type multilabel"),
    "unknown prediction type": (metadata_change(prediction_type="regression"), "prediction_type"),
    "unknown split mode": (metadata_change(split_mode="random"), "split_mode"),
    "splits of another mode": (metadata_change(splits=["train", "test"]), "splits"),
    "too few folds": (metadata_change(split_mode="new_split_kfold", splits=["a", "b"]), "3 folds"),
    "nfolds disagrees": (
        metadata_change(split_mode="new_split_kfold", splits=["train", "valid", "test"], nfolds=5),
        "nfolds",
    ),
    "split outside the folder": (metadata_change(splits=["../train", "valid", "test"]), "splits"),
    "no score": (metadata_change(evaluation=[]), "evaluation"),
    "parameters that are none": (metadata_change(evaluation_params=None), "evaluation_params is None"),
    "a grid that is none": (
        metadata_change(evaluation_params={"task_specific_param_grid": [1]}),
        "task_specific_param_grid",
    ),
    "negative duration": (metadata_change(sample_duration=-1), "sample_duration"),
    "field missing": (
        lambda r: edit(r / "task_metadata.json", lambda m: m.pop("evaluation")),
        "lacks evaluation",
    ),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_bad_task_is_refused_in_one_sentence_that_names_the_file(tiny, case):
    spoil, message = BAD_TASKS[case]
    spoil(tiny)
    with pytest.raises(tasks.TaskError, match=message) as caught:
        tasks.read_task(tiny)
    assert str(tiny) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_rate_folder_that_lacks_a_split_is_not_a_rate_of_the_task(tiny):
    write_wav(tiny / "16000" / "train" / "train-0.wav", np.zeros(100), 16000)
    assert tasks.read_task(tiny).sample_rates == (48000,)


def test_clip_round_trip_is_exact_on_the_16_bit_grid(tmp_path):
    audio = np.array([-32768, -1, 0, 1, 12345, 32767], dtype=np.float32) / 32768
    tasks.write_clip(tmp_path / "a.wav", audio, 16000)
    read = tasks.read_clip(tmp_path / "a.wav", 16000)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, audio)
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert (file.samplerate, file.channels, file.subtype, file.format) == (16000, 1, "PCM_16", "WAV")


def test_write_clip_clips_what_is_too_loud(tmp_path):
    tasks.write_clip(tmp_path / "a.wav", np.array([2.0, -2.0], dtype=np.float32), 16000)
    np.testing.assert_array_equal(tasks.read_clip(tmp_path / "a.wav", 16000), np.float32([32767 / 32768, -1]))


def float_wav(values, rate=16000):
    return lambda path: soundfile.write(path, np.array(values), rate, subtype="FLOAT")


BAD_CLIPS = {
    "is missing": lambda path: None,
    "not readable as sound": lambda path: path.write_text("this is no sound"),
    "is empty": lambda path: write_wav(path, np.zeros(0), 16000),
    "NaN": float_wav([0.0, np.nan]),
    "infinite": float_wav([0.0, np.inf]),
    r"outside \[-1, 1\]": float_wav([0.0, 1.5]),
    "has 8000 Hz": lambda path: write_wav(path, np.zeros(10), 8000),
    "has 2 channels": lambda path: write_wav(path, np.zeros((10, 2)), 16000),
}


@pytest.mark.parametrize("message", BAD_CLIPS)
def test_a_bad_clip_is_refused_by_name(tmp_path, message):
    path = tmp_path / "clip.wav"
    BAD_CLIPS[message](path)
    with pytest.raises(tasks.TaskError, match=message) as caught:
        tasks.read_clip(path, 16000)
    assert str(path) in str(caught.value)


def test_decode_takes_the_mean_of_the_channels_of_other_formats(tmp_path):
    stereo = np.random.default_rng(0).integers(-1000, 1000, (500, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", stereo, 22050)
    audio, rate = tasks.decode(tmp_path / "a.flac")
    assert rate == 22050
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, stereo.mean(axis=1) / 32768, atol=1e-8)


def test_tasks_are_found_in_the_papers_order_and_by_every_name(tmp_path):
    for name, task_name in [
        ("zebra-v1-full", "zebra"),
        ("vox_lingua_top10-sample", "vox_lingua_top10-sample"),
        ("nsynth_pitch-v2.2.3-50h", "nsynth_pitch"),
        ("nsynth_pitch-v2.2.3-5h", "nsynth_pitch"),
        ("esc50-part", "esc50-part"),
        ("beijing_opera-v1.0-hear2021-full", "beijing_opera"),
    ]:
        make_task(tmp_path / name, task_name=task_name, clips=2)
    (tmp_path / "notes.txt").write_text("not a task")
    found = [path.name for path in tasks.find_tasks(tmp_path)]
    assert found == [
        "beijing_opera-v1.0-hear2021-full",
        "esc50-part",
        "nsynth_pitch-v2.2.3-50h",
        "nsynth_pitch-v2.2.3-5h",
        "vox_lingua_top10-sample",
        "zebra-v1-full",
    ]

    def resolved(*names):
        return [path.name for path in tasks.resolve(names, tmp_path)]

    assert resolved("all") == found
    assert resolved("ESC-50", "esc50", "esc50-part") == ["esc50-part"]
    assert resolved("NS-5h", "BO") == ["nsynth_pitch-v2.2.3-5h", "beijing_opera-v1.0-hear2021-full"]
    assert resolved("VL") == ["vox_lingua_top10-sample"]
    assert resolved("zebra", "all")[0] == "zebra-v1-full"
    assert tasks.resolve([str(tmp_path / "zebra-v1-full")], "/nowhere") == [tmp_path / "zebra-v1-full"]
    with pytest.raises(tasks.TaskError, match=r"may mean nsynth_pitch-v2.2.3-50h, nsynth_pitch-v2.2.3-5h"):
        resolved("nsynth_pitch")
    with pytest.raises(tasks.TaskError, match=r"no task 'esc51' in .* holds: beijing_opera.*zebra"):
        resolved("esc51")
    with pytest.raises(tasks.TaskError, match=r"/nowhere does not exist"):
        tasks.resolve(["all"], "/nowhere")


def make_groups(directory, infos):
    for info in infos:
        metadata = info.metadata
        make_task(
            directory / info.directory,
            task_name=metadata.task_name,
            mode=metadata.mode,
            version=metadata.version,
            clips=2,
        )


def test_paper_and_hear19_are_all_their_tasks_or_a_sentence_that_names_every_missing_one(tmp_path):
    ten = [info.directory for info in tasks.PAPER_TASKS]
    twenty = [info.directory for info in tasks.HEAR19_TASKS]
    assert len(twenty) == len(set(twenty)) == 20
    assert twenty[:10] == ten
    assert len({info.short_name for info in tasks.HEAR19_TASKS}) == 20
    make_groups(tmp_path, [i for i in tasks.HEAR19_TASKS if i.short_name not in ("DCASE", "NS-5h", "GTZAN")])
    with pytest.raises(tasks.TaskError) as caught:
        tasks.resolve(["hear19"], tmp_path)
    missing = "nsynth_pitch-v2.2.3-5h, dcase2016_task2-hear2021-full, tfds_gtzan-1.0.0-full"
    assert f"lacks 3 of the tasks of 'hear19': {missing};" in str(caught.value)
    with pytest.raises(tasks.TaskError, match=r"lacks 1 of the tasks of 'paper': nsynth_pitch-v2.2.3-5h;"):
        tasks.resolve(["paper"], tmp_path)
    with pytest.raises(tasks.TaskError, match=r"no task 'NS-5h'"):
        tasks.resolve(["NS-5h"], tmp_path)
    make_groups(tmp_path, [i for i in tasks.HEAR19_TASKS if i.short_name in ("DCASE", "NS-5h", "GTZAN")])
    make_task(tmp_path / "zebra", task_name="zebra", clips=2)
    assert [path.name for path in tasks.resolve(["hear19"], tmp_path)] == twenty
    assert [path.name for path in tasks.resolve(["paper", "all"], tmp_path)][:10] == ten
    assert [path.name for path in tasks.resolve(["NS-50h"], tmp_path)] == ["nsynth_pitch-v2.2.3-50h"]


def test_a_part_stands_for_the_papers_task_in_a_group(tmp_path):
    make_groups(tmp_path, [i for i in tasks.PAPER_TASKS if i.short_name != "NS-5h"])
    make_task(tmp_path / "nsynth_pitch-part", task_name="nsynth_pitch-part", mode="part", clips=2)
    assert tasks.resolve(["paper"], tmp_path)[6].name == "nsynth_pitch-part"
    with pytest.raises(tasks.TaskError, match=r"lacks 10 .*nsynth_pitch-v2.2.3-50h"):
        tasks.resolve(["hear19"], tmp_path)


def test_metadata_of_the_other_nine_tasks_are_those_of_the_protocol():
    known = {info.directory: info.metadata for info in tasks.HEAR19_TASKS[10:]}
    folds = {name: len(m.splits) for name, m in known.items() if m.split_mode == "new_split_kfold"}
    assert folds == {
        "maestro-v3.0.0-5h": 5,
        "gunshot_triangulation-v1.0-full": 7,
        "tfds_gtzan-1.0.0-full": 10,
        "tfds_gtzan_music_speech-1.0.0-full": 10,
        "vocal_imitation-v1.1.3-full": 3,
    }
    assert {n for n, m in known.items() if m.embedding_type == "event"} == {
        "maestro-v3.0.0-5h",
        "dcase2016_task2-hear2021-full",
    }
    assert not known["maestro-v3.0.0-5h"].use_scoring_for_early_stopping
    assert known["beehive_states_fold1-v2-full"].evaluation[0] == "aucroc"
    assert known["vocal_imitation-v1.1.3-full"].evaluation == ("mAP", "d_prime", "aucroc", "top1_acc")
    assert {n: m.sample_duration for n, m in known.items() if m.sample_duration > 60} == {
        "maestro-v3.0.0-5h": 120.0,
        "dcase2016_task2-hear2021-full": 120.0,
        "beehive_states_fold0-v2-full": 600.0,
        "beehive_states_fold1-v2-full": 600.0,
    }


@pytest.mark.parametrize("info", tasks.HEAR19_TASKS, ids=lambda info: info.directory)
def test_metadata_of_every_task_are_written_and_read_back(tmp_path, info):
    label = ("1",) if info.metadata.embedding_type == "scene" else ()
    events = () if label else (tasks.Event("1", 0.0, 10.0),)
    clips = {split: [tasks.Clip(f"{split}.wav", label, events)] for split in info.metadata.splits}
    tasks.write_task(tmp_path, info.metadata, clips)
    assert tasks.read_metadata(tmp_path) == info.metadata


def test_digest_depends_on_content_and_on_nothing_else(tiny, tmp_path):
    first = tasks.task_digest(tasks.read_task(tiny), 48000)
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tiny, copy)
    assert tasks.task_digest(tasks.read_task(copy), 48000) == first
    write_wav(copy / "16000" / "train" / "x.wav", np.zeros(5), 16000)
    assert tasks.task_digest(tasks.read_task(copy), 48000) == first
    clip = copy / "48000" / "valid" / "valid-0.wav"
    clip.write_bytes(clip.read_bytes()[:-1] + b"\x01")
    second = tasks.task_digest(tasks.read_task(copy), 48000)
    edit(copy / "task_metadata.json", lambda m: m.update(version="v2"))
    assert len({first, second, tasks.task_digest(tasks.read_task(copy), 48000)}) == 3


def test_digest_memo_saves_reading_but_never_hides_a_change(tiny, tmp_path, monkeypatch):
    task, memo, read = tasks.read_task(tiny), tmp_path / "memo" / "digests.json", []
    original = digest.file_sha256
    monkeypatch.setattr(digest, "file_sha256", lambda path: (read.append(path), original(path))[1])
    monkeypatch.setattr(digest, "_SETTLED_NS", -1)
    first = tasks.task_digest(task, 48000, memo)
    assert len(read) == 17
    assert tasks.task_digest(task, 48000, memo) == first == tasks.task_digest(task, 48000)
    assert len(read) == 17 + 17
    clip = tiny / "48000" / "test" / "test-3.wav"
    clip.write_bytes(clip.read_bytes()[:-1] + b"\x01")
    changed = tasks.task_digest(task, 48000, memo)
    assert changed != first
    assert len(read) == 17 + 17 + 1
    memo.write_text("damaged")
    assert tasks.task_digest(task, 48000, memo) == changed


def test_a_file_changed_under_its_old_size_and_time_is_read_again(tiny, tmp_path, monkeypatch):
    task, memo = tasks.read_task(tiny), tmp_path / "digests.json"
    monkeypatch.setattr(digest, "_SETTLED_NS", -1)
    first = tasks.task_digest(task, 48000, memo)
    clip = tiny / "48000" / "test" / "test-3.wav"
    times = clip.stat()
    clip.write_bytes(clip.read_bytes()[:-1] + b"\x01")
    os.utime(clip, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tasks.task_digest(task, 48000, memo) != first
    for content in ("[" * 100_000, "[]", '{"a": 1, "a": 2}', '{"a": [1, 2, 3, 4, "x"]}', "\udce9"):
        memo.write_bytes(content.encode("utf-8", "surrogateescape"))
        assert tasks.task_digest(task, 48000, memo) == tasks.task_digest(task, 48000)


def test_files_changed_a_moment_ago_are_not_remembered(tiny, tmp_path):
    memo = tmp_path / "digests.json"
    tasks.task_digest(tasks.read_task(tiny), 48000, memo)
    assert json.loads(memo.read_text()) == {}


def test_the_papers_ten_tasks():
    assert [t.short_name for t in tasks.PAPER_TASKS] == (
        ["BO", "CD", "ESC-50", "LC", "Mri-S", "Mri-T", "NS-5h", "SC-5h", "F50K", "VL"]
    )
    assert [t.directory for t in tasks.PAPER_TASKS] == [
        "beijing_opera-v1.0-hear2021-full",
        "tfds_crema_d-1.0.0-full",
        "esc50-v2.0.0-full",
        "libricount-v1.0.0-hear2021-full",
        "mridangam_stroke-v1.5-full",
        "mridangam_tonic-v1.5-full",
        "nsynth_pitch-v2.2.3-5h",
        "speech_commands-v0.0.2-5h",
        "fsd50k-v1.0-full",
        "vox_lingua_top10-hear2021-full",
    ]
    primary = {t.short_name: t.metadata.evaluation[0] for t in tasks.PAPER_TASKS}
    assert primary.pop("NS-5h") == "pitch_acc"
    assert primary.pop("F50K") == "mAP"
    assert set(primary.values()) == {"top1_acc"}


@needs_archive
def test_hears_own_archive_is_read_and_written_back_alike(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "hear-2021.0.6" / "tasks" / "spoken_digit-1.0.9-small"
    task = tasks.read_task(root)
    assert task.vocabulary == tuple("0123456789")
    assert task.sample_rates == (44100,)
    assert sum(map(len, task.clips.values())) == 100
    for split, clips in task.clips.items():
        for clip in clips:
            assert len(tasks.read_clip(task.audio_path(split, clip.file, 44100), 44100)) == 44100
    tasks.write_task(tmp_path / "again", task.metadata, task.clips)
    for split in task.clips:
        ours = json.loads((tmp_path / "again" / f"{split}.json").read_text())
        theirs = json.loads((root / f"{split}.json").read_text())
        assert list(ours) == list(theirs)
        assert ours == {name: [str(label) for label in labels] for name, labels in theirs.items()}
    assert (tmp_path / "again" / "labelvocabulary.csv").read_bytes() == (
        root / "labelvocabulary.csv"
    ).read_bytes()


def test_a_task_in_the_place_of_a_folder_of_tasks_is_told_apart(tmp_path, monkeypatch, capsys):
    make_task(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tasks.TaskError, match=r"^mine is itself a task directory.* --tasks \./mine\.$"):
        tasks.resolve(["all"], "mine")
    assert tasks.resolve(["./mine"], "mine") == [Path("mine")]
    assert list_main(["--tasks-dir", "mine"]) == 2
    assert "mine is itself a task directory" in capsys.readouterr().err
