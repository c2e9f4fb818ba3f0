"""Every builder on its data set's true layout: HEAR's own small raw archives, and miniatures made here."""

import collections
import dataclasses
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from paths import SHARED
from tiny_task import write_wav

import tasks
from tasks.build.builders import BUILDERS, build_task
from tasks.build.pipeline import Builder, build_plan, make_plan

MINI = SHARED / "data" / "hear_mini"
needs_mini = pytest.mark.skipif(not MINI.is_dir(), reason="HEAR's small raw archives are not here")
ORACLE = "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
SHUFFLE_ALL, SUBSAMPLE_TRAIN, SUBSAMPLE_VALID = 2558623514, 3488948419, 3511819133


def unpack(folder: Path, *archives: str, apart: bool = False) -> Path:
    """Unzip HEAR's small archives into `folder`, each into its own sub-folder if `apart`."""
    for name in archives:
        with zipfile.ZipFile(MINI / f"{name}.zip") as archive:
            archive.extractall(folder / name if apart else folder)
    return folder


def builder(name: str, **changes: object) -> Builder:
    """A builder of which some metadata are changed."""
    found = next(b for b in BUILDERS if b.info.metadata.task_name == name)
    metadata = dataclasses.replace(found.info.metadata, **changes)
    return dataclasses.replace(found, info=dataclasses.replace(found.info, metadata=metadata))


def labels_of(task: tasks.Task) -> dict[str, tuple[str, ...]]:
    return {clip.file: clip.labels for clips in task.clips.values() for clip in clips}


SMALL = {
    "beijing_opera": ("beijing_opera-train-small", 4.77, lambda p: p.name.split("__")[-1].split("-")[-2]),
    "libricount": ("libricount-train-small", 5.0, lambda p: p.name.split("_")[0]),
    "mridangam_tonic": ("mridangam-train-small", 0.81, lambda p: p.name.split("-")[-2]),
}


@needs_mini
@pytest.mark.parametrize("name", SMALL)
def test_labels_lengths_and_rates_of_tasks_labelled_by_file_name(tmp_path, name):
    archive, seconds, label = SMALL[name]
    raw = unpack(tmp_path / "raw", archive)
    sounds = [p for p in raw.rglob("*.wav") if "__MACOSX" not in p.parts]
    path = build_task(name, raw, tmp_path / "out", sample_rates=[16000, 22050])
    assert path.name == f"{name}-part"
    task = tasks.read_task(path)
    assert labels_of(task) == {p.name: (label(p),) for p in sounds}
    assert len(sounds) == 20
    numeric = {"key": int} if name == "libricount" else {}
    assert list(task.vocabulary) == sorted({label(p) for p in sounds}, **numeric)
    for file in path.rglob("*.wav"):
        sound = soundfile.info(file)
        rate = int(file.parts[-3])
        assert (sound.samplerate, sound.channels, sound.subtype) == (rate, 1, "PCM_16")
        assert abs(sound.frames - seconds * rate) <= 1


@needs_mini
def test_mridangam_strokes_and_tonics_share_their_folds(tmp_path):
    raw = unpack(tmp_path / "raw", "mridangam-train-small")
    both = [make_plan(builder(f"mridangam_{kind}"), raw) for kind in ("stroke", "tonic")]
    strokes, tonics = ({s: [c.file for c in cs] for s, cs in plan.clips.items()} for plan in both)
    assert strokes == tonics
    labels = {c.file: c.labels for clips in both[0].clips.values() for c in clips}
    assert labels["225827__akshaylaya__tha-c-022.wav"] == ("tha",)
    strokes = {"bheem", "cha", "dheem", "dhin", "num", "ta", "tha", "tham", "thi", "thom"}
    assert {label for (label,) in labels.values()} <= strokes


@needs_mini
def test_esc50_keeps_its_folds_when_no_class_is_in_all_of_them(tmp_path):
    raw, said = unpack(tmp_path / "raw", "esc50-all_folds-small"), []
    path = build_task("esc50", raw, tmp_path / "out", sample_rates=[16000], say=said.append)
    assert "kept all clips although no class occurs in all folds" in said
    task = tasks.read_task(path)
    table = pd.read_csv(raw / "ESC-50-master" / "meta" / "esc50.csv").set_index("filename")
    assert len(labels_of(task)) == 20
    for fold, clips in task.clips.items():
        for clip in clips:
            assert fold == f"fold0{table.fold[clip.file] - 1}"
            assert clip.labels == (table.category[clip.file],)


@needs_mini
def test_vox_lingua_keeps_the_ten_languages_with_most_clips(tmp_path):
    raw, said = unpack(tmp_path / "raw", "vox_lingua-train-small"), []
    path = build_task("vox_lingua_top10", raw, tmp_path / "out", sample_rates=[16000], say=said.append)
    counts = collections.Counter(p.parent.name for p in raw.rglob("*.wav"))
    assert len(counts) == 15
    task = tasks.read_task(path)
    kept = collections.Counter(label for (label,) in labels_of(task).values())
    assert len(task.vocabulary) == 10
    assert kept == {language: counts[language] for language in task.vocabulary}
    assert min(kept.values()) >= max(counts[language] for language in counts if language not in kept)
    assert "the tenth language could as well be mk as lv: both have 1 clips" in said
    assert "kvqbH3DNWlk__U__S102---1313.180-1327.820.wav" in labels_of(task)


@needs_mini
def test_crema_d_as_tfds_gives_it(tmp_path):
    parts = ("crema_d-train-small", "crema_d-valid-small", "crema_d-test-small")
    raw, said = unpack(tmp_path / "raw", *parts, apart=True), []
    path = build_task("tfds_crema_d", raw, tmp_path / "out", sample_rates=[16000], say=said.append)
    table = pd.concat(pd.read_csv(file) for file in raw.rglob("*_labels.csv")).set_index("filename").label
    assert len(table) == 7438
    labels = labels_of(tasks.read_task(path))
    assert labels == {p.name: (table[p.name],) for p in raw.rglob("*.wav")}
    assert len(labels) == 60
    assert "left out 7378 of 7438 recordings whose sound is missing" in said
    assert any(line.startswith("60 of 60 clips are silent") for line in said)


def test_crema_d_as_its_makers_publish_it(tmp_path):
    raw, said = tmp_path / "raw", []
    emotions = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    names = [f"{1001 + i}_DFA_{emotion}_XX" for i in range(10) for emotion in emotions]
    for name in [*names, "1006_TIE_NEU_XX"]:
        write_wav(raw / "AudioWAV" / f"{name}.wav", np.full(1600, 0.5), 16000)
    path = build_task("tfds_crema_d", raw, tmp_path / "out", sample_rates=[16000], say=said.append)
    task = tasks.read_task(path)
    assert labels_of(task) == {f"{name}.wav": (name.split("_")[2],) for name in names}
    assert any("the folds are not those of HEAR's archive" in note for note in said)
    assert any("not those of HEAR's" in note for note in task.metadata.extra["build_notes"])


@needs_mini
def test_fsd50k_has_the_splits_and_labels_of_its_tables_in_hears_order(tmp_path):
    raw = unpack(tmp_path / "raw", "fsd50k-train-small", "fsd50k-test-small", "fsd50k-ground_truth-small")
    path = build_task("fsd50k", raw, tmp_path / "out", sample_rates=[16000])
    truth = raw / "FSD50K.ground_truth"
    dev, test = (pd.read_csv(truth / f"{part}.csv", dtype=str) for part in ("dev", "eval"))
    table = pd.concat([dev, test.assign(split="test")]).replace({"split": {"val": "valid"}})
    too_long = [83299, 83298, 121426, 121351, 121472, 121471, 124796, 397150, 124797, 124800, 124834, 124858]
    table = table[~table.fname.isin(map(str, too_long))]
    assert len(table) == 51185
    rows = table.assign(label=table.labels.str.split(",")).explode("label")
    rows = rows.sort_values(["fname", "label"], kind="stable").sample(frac=1, random_state=SHUFFLE_ALL)
    lists = rows.groupby("fname").label.apply(list)
    splits = table.set_index("fname").split
    task = tasks.read_task(path)
    assert sum(map(len, task.clips.values())) == 80
    frames = {file.stem: soundfile.info(file).frames for file in raw.rglob("*.wav")}
    for split, clips in task.clips.items():
        entries = json.loads((path / f"{split}.json").read_text())
        assert list(entries) == sorted(entries)
        for clip in clips:
            stem = clip.file.removesuffix(".wav")
            assert splits[stem] == split
            assert list(clip.labels) == entries[clip.file] == lists[stem]
            built = tasks.read_clip(task.audio_path(split, clip.file, 16000), 16000)
            assert abs(len(built) - frames[stem] * 16000 / 44100) <= 1


def make_nsynth(raw: Path, counts: dict[str, int]) -> dict[str, dict[str, int]]:
    """NSynth's layout with notes of 4 pitches, one below a piano; returns split -> note -> pitch."""
    rng = np.random.default_rng(3)
    pitches = {}
    for split, count in counts.items():
        names = [f"bass_synthetic_{i:03d}-{pitch:03d}-050" for i in range(count) for pitch in range(20, 24)]
        pitches[split] = {f"{split}_{name}": int(name.split("-")[1]) for name in rng.permutation(names)}
        for name in pitches[split]:
            write_wav(raw / f"nsynth-{split}" / "audio" / f"{name}.wav", rng.uniform(-1, 1, 1600), 16000)
        notes = {name: {"note_str": name, "pitch": p, "velocity": 50} for name, p in pitches[split].items()}
        (raw / f"nsynth-{split}" / "examples.json").write_text(json.dumps(notes))
    return pitches


def test_nsynth_keeps_a_pianos_pitches_and_draws_as_hear_does(tmp_path):
    raw, said = tmp_path / "raw", []
    pitches = make_nsynth(raw, {"train": 6, "valid": 4, "test": 2})
    limits = {"max_task_duration_by_split": {"train": 31, "valid": 20, "test": 2000}}
    small = builder("nsynth_pitch", extra=limits)
    path = build_plan(make_plan(small, raw), tmp_path / "out", sample_rates=[16000], say=said.append)
    task = tasks.read_task(path)
    for split, count, seed in (("train", 7, SUBSAMPLE_TRAIN), ("valid", 5, SUBSAMPLE_VALID)):
        stems = pd.Series(sorted(s for s, pitch in pitches[split].items() if 21 <= pitch <= 108))
        drawn = stems.sample(frac=1, random_state=seed)[:count]
        assert [c.file for c in task.clips[split]] == sorted(f"{stem}.wav" for stem in drawn)
    assert len(task.clips["test"]) == 6
    assert task.vocabulary == ("21", "22", "23")
    file = task.clips["train"][0].file
    assert task.clips["train"][0].labels == (str(pitches["train"][file.removesuffix(".wav")]),)
    assert len(tasks.read_clip(task.audio_path("train", file, 16000), 16000)) == 64000
    assert task.metadata.part_of == "18 of 5000 clips, 3 of 88 classes"


def test_nsynths_limits_are_4000_500_and_500_clips_and_a_missing_note_makes_a_part(tmp_path, monkeypatch):
    pitches = make_nsynth(tmp_path, {"train": 2, "valid": 2, "test": 2})
    names = {
        split: {f"{s}_{i}": p for s, p in ps.items() for i in range(1500)} for split, ps in pitches.items()
    }
    for split, notes in names.items():
        table = {name: {"pitch": pitch} for name, pitch in notes.items()}
        (tmp_path / f"nsynth-{split}" / "examples.json").write_text(json.dumps(table))
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    plan = make_plan(builder("nsynth_pitch"), tmp_path)
    assert {split: len(clips) for split, clips in plan.clips.items()} == {
        "train": 4000,
        "valid": 500,
        "test": 500,
    }
    assert not plan.is_part
    gone = next(iter(names["train"]))
    monkeypatch.setattr(Path, "is_file", lambda path: path.stem != gone)
    assert make_plan(builder("nsynth_pitch"), tmp_path).is_part


def make_speech_test_archive(train: Path, test: Path) -> None:
    """The layout of the test archive, with words of the training archive and two cuts of its noise."""
    for word, folder in (("yes", "yes"), ("no", "no"), ("bed", "_unknown_")):
        for path in train.glob(f"{word}/*.wav"):
            (test / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, test / folder / f"test{path.name}")
    for i in range(2):
        write_wav(test / "_silence_" / f"{i}.wav", np.full(16000, 0.01), 16000)


def test_faults_of_tables_are_sentences_that_name_the_file(tmp_path):
    raw = tmp_path / "raw"
    make_nsynth(raw, {"train": 1, "valid": 1, "test": 1})
    (raw / "nsynth-valid" / "examples.json").write_text('{"a": {}}')
    with pytest.raises(tasks.TaskError, match=r"nsynth-valid/examples.json is not NSynth's table"):
        build_task("NS-5h", raw, tmp_path / "out")
    for split in ("train", "valid", "test"):
        (raw / f"nsynth-{split}" / "examples.json").write_text("{}")
    with pytest.raises(tasks.TaskError, match="none of 0 listed recordings is there; unpack them"):
        build_task("NS-5h", raw, tmp_path / "out")
    for part in ("dev", "eval"):
        (raw / f"FSD50K.{part}_audio").mkdir()
        (raw / "FSD50K.ground_truth").mkdir(exist_ok=True)
        (raw / "FSD50K.ground_truth" / f"{part}.csv").write_text("fname,labels,split\n1,Dog,other\n")
    with pytest.raises(tasks.TaskError, match=r"dev.csv: the split of 1 must be train or val"):
        build_task("fsd50k", raw, tmp_path / "out")
    (raw / "FSD50K.ground_truth" / "dev.csv").write_text("fname,labels,split\n1,,train\n")
    with pytest.raises(tasks.TaskError, match=r"dev.csv: line 2 has no labels"):
        build_task("fsd50k", raw, tmp_path / "out")


@needs_mini
def test_speech_commands_lists_silences_and_stems(tmp_path):
    raw, said = unpack(tmp_path / "raw" / "train", "speech_commands_v0.02-small").parent, []
    train = next(raw.rglob("validation_list.txt")).parent
    make_speech_test_archive(train, raw / "test")
    path = build_task("speech_commands", raw, tmp_path / "out", sample_rates=[16000], say=said.append)
    task = tasks.read_task(path)
    lists = {n: set((train / f"{n}_list.txt").read_text().split()) for n in ("validation", "testing")}
    words = [p.relative_to(train).as_posix() for p in train.glob("[!_]*/*.wav")]
    expected = {
        "train": {w for w in words if w not in lists["validation"] | lists["testing"]},
        "valid": {w for w in words if w in lists["validation"]},
        "test": {p.relative_to(raw / "test").as_posix() for p in (raw / "test").glob("*/*.wav")},
    }
    tap, _ = soundfile.read(train / "_background_noise_" / "running_tap.wav", dtype="int16")
    starts = range(0, len(tap) - 16000, 8000)
    for split, clips in task.clips.items():
        silences = {c.file for c in clips if c.file.startswith("_silence__running_tap")}
        assert {c.file for c in clips} - silences == {w.replace("/", "_") for w in expected[split]}
        assert silences == ({f"_silence__running_tap-{i}.wav" for i in starts} if split == "valid" else set())
    ten = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_"]
    for file, (label,) in labels_of(task).items():
        word = "_silence_" if file.startswith("_silence_") else file.removeprefix("_unknown_").split("_")[0]
        assert label == (word if word in ten else "_unknown_")
    cut, _ = soundfile.read(task.audio_path("valid", "_silence__running_tap-8000.wav", 16000), dtype="int16")
    np.testing.assert_array_equal(cut, tap[8000:24000])


def test_speech_commands_needs_both_archives_in_two_folders(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "train").mkdir()
    with pytest.raises(tasks.TaskError, match=r"no validation_list.txt of the training archive"):
        build_task("speech_commands", raw, tmp_path / "out")
    (raw / "train" / "validation_list.txt").write_text("")
    with pytest.raises(tasks.TaskError, match=r"no test archive \(with a folder _unknown_\)"):
        build_task("speech_commands", raw, tmp_path / "out")
    (raw / "train" / "_unknown_").mkdir()
    with pytest.raises(tasks.TaskError, match=r"both archives are in .*train, which mixes them"):
        build_task("speech_commands", raw, tmp_path / "out")


@needs_mini
def test_the_spoken_digits_that_hear_prepared_come_out_again_file_by_file(tmp_path):
    raw = unpack(tmp_path / "raw", "spoken_digit-small")
    with tarfile.open(MINI / ORACLE) as archive:
        archive.extractall(tmp_path, filter="data")
    theirs = tmp_path / "hear-2021.0.6" / "tasks" / "spoken_digit-1.0.9-small"
    small = builder("spoken_digit", sample_duration=1.0)
    ours = build_plan(make_plan(small, raw), tmp_path / "out", sample_rates=[44100])
    assert (ours / "labelvocabulary.csv").read_bytes() == (theirs / "labelvocabulary.csv").read_bytes()
    for fold in (f"fold0{i}" for i in range(5)):
        mine, original = (json.loads((root / f"{fold}.json").read_text()) for root in (ours, theirs))
        assert list(mine) == list(original)
        assert mine == {file: [str(label) for label in labels] for file, labels in original.items()}
        assert {p.name for p in (ours / "44100" / fold).iterdir()} == set(original)
        for file in original:
            sounds = [soundfile.read(root / "44100" / fold / file, dtype="int16") for root in (ours, theirs)]
            assert sounds[0][1] == sounds[1][1] == 44100
            assert len(sounds[0][0]) == len(sounds[1][0]) == 44100
            assert np.abs(sounds[0][0].astype(int) - sounds[1][0]).max() <= 3, "both are silent"
