"""`tasks.check` names every fault of a task directory, and finds none in a good one."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import ROOT
from tiny_task import make_task

from evaluation.metrics.table import metrics_of
from tasks import read_task
from tasks.check.__main__ import main
from tasks.check.task import check_task
from tasks.hear.info import SCORES

MINI = ROOT.parent / "shared" / "data" / "hear_mini"
ARCHIVE = MINI / "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"


def edit(file: Path, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def good(tmp_path):
    return make_task(tmp_path / "mine")


def told(path: Path, **options) -> list[str]:
    return [f"{f.where}: {f.what}" for f in check_task(path, **options) if not f.remark]


def test_nothing_is_wrong_with_a_good_task_and_the_sample_tasks(good, sample_tasks):
    assert told(good) == []
    for path in sample_tasks.iterdir():
        if (path / "task_metadata.json").is_file():
            assert told(path) == [], path


def metadata(**values):
    return lambda root: edit(root / "task_metadata.json", lambda m: m.update(values))


def drop(*fields):
    return lambda root: edit(root / "task_metadata.json", lambda m: [m.pop(name) for name in fields])


def entries(split, **values):
    return lambda root: edit(root / f"{split}.json", lambda e: e.update(values))


def sound(place, audio, rate=48000, **options):
    return lambda root: soundfile.write(root / place, audio, rate, **options)


def append(file: Path, key: str, value: list) -> None:
    """Add an entry to a JSON object as a person does who does not see that it is there."""
    file.write_text(f"{file.read_text()[:-1]}, {json.dumps(key)}: {json.dumps(value)}}}")


def cut(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])


RNG = np.random.default_rng(5)
NOISE = RNG.uniform(-0.5, 0.5, 12000)
SPOILED = {
    "task_metadata.json: it lacks version, split_mode (trainvaltest, new_split_kfold, presplit_kfold);": drop(
        "version", "split_mode"
    ),
    "task_metadata.json: embedding_type is 'frame'": metadata(embedding_type="frame"),
    "task_metadata.json: sample_duration is 'x'": metadata(sample_duration="x"),
    "task_metadata.json: splits are ['train', 'valid']; trainvaltest": metadata(splits=["train", "valid"]),
    "task_metadata.json: nfolds is 5 but splits names 3": metadata(split_mode="new_split_kfold", nfolds=5),
    ".: nothing else was looked at": drop("splits"),
    "task_metadata.json: is not JSON (": lambda r: (r / "task_metadata.json").write_text("{"),
    "task_metadata.json: splits do not name what is there: extra.json": lambda r: (
        r / "extra.json"
    ).write_text("{}"),
    "labelvocabulary.csv: the labels are not sorted": lambda r: (r / "labelvocabulary.csv").write_text(
        "idx,label\n0,10\n1,2\n"
    ),
    "labelvocabulary.csv: idx must count": lambda r: (r / "labelvocabulary.csv").write_text(
        "idx,label\n0,2\n2,10\n"
    ),
    ".: nothing else was looked at: repair labelvocabulary.csv": lambda r: (
        r / "labelvocabulary.csv"
    ).write_text("number;name\n"),
    "task_metadata.json: evaluation names 'accuracy', which is no score of scene tasks": metadata(
        evaluation=["accuracy"]
    ),
    "train.json: is nested more than 64 levels deep": lambda r: (r / "train.json").write_text("[" * 100_000),
    "labelvocabulary.csv: no clip has the labels 11": lambda r: (r / "labelvocabulary.csv").write_text(
        "idx,label\n0,2\n1,10\n2,11\n"
    ),
    "valid.json: valid-0.wav has the label '3'": entries("valid", **{"valid-0.wav": [3]}),
    "valid.json: valid-1.wav has 2 labels": entries("valid", **{"valid-1.wav": [2, 10]}),
    "valid.json: no clip has the labels 10": entries("valid", **{"valid-1.wav": [2], "valid-3.wav": [2]}),
    "test.json: cannot be read": lambda r: (r / "test.json").unlink(),
    "test.json: names no clip": lambda r: (r / "test.json").write_text("{}"),
    ".: train-0.wav is in train and test": entries("test", **{"train-0.wav": [2]}),
    "48000/test: lacks what test.json names: more.wav": entries("test", **{"more.wav": [2]}),
    "48000/test: has what test.json does not name: more.wav": sound("48000/test/more.wav", NOISE),
    "48000/fold00: is no split": lambda r: (r / "48000" / "fold00").mkdir(),
    "16000/valid: is missing": lambda r: (r / "16000" / "train").mkdir(parents=True),
    "48000/train: 1 clips have another rate than their folder: train-0.wav (44100 Hz)": sound(
        "48000/train/train-0.wav", NOISE[:11025], 44100
    ),
    "48000/train: 1 clips are not mono: train-0.wav (2 channels)": sound(
        "48000/train/train-0.wav", np.stack([NOISE, NOISE], axis=1)
    ),
    "48000/train: 1 clips are not 16-bit PCM: train-0.wav (PCM_24)": sound(
        "48000/train/train-0.wav", NOISE, subtype="PCM_24"
    ),
    "48000/train: 1 clips are not 0.25 s long: train-0.wav (0.248 s)": sound(
        "48000/train/train-0.wav", NOISE[:-96]
    ),
    "48000/train: 1 clips cannot be read: train-0.wav (no sound)": lambda r: (
        r / "48000/train/train-0.wav"
    ).write_bytes(b"x"),
    "48000/train: 1 clips cannot be read: train-0.wav (empty)": sound("48000/train/train-0.wav", NOISE[:0]),
    "48000/train: 1 of 4 clips are silent (at most 3 of 32768): train-0.wav": sound(
        "48000/train/train-0.wav", np.full(12000, 3 / 32768)
    ),
    "48000: the same sound is in several splits: train/train-0.wav, valid/valid-1.wav": lambda r: (
        r / "48000/valid/valid-1.wav"
    ).write_bytes((r / "48000/train/train-0.wav").read_bytes()),
    ".: there is no sample-rate folder": lambda r: (r / "48000").rename(r / "sound"),
    "1: is no sample rate of 1000 to 192000 Hz": lambda r: (r / "1").mkdir(),
    "train.json: names 'train-0.wav' twice": lambda r: append(r / "train.json", "train-0.wav", [10]),
    "train.json: 'a\\b.wav' is not a plain file name": entries("train", **{"a\\b.wav": [2]}),
    "train.json: '.a.wav' begins with a dot": entries("train", **{".a.wav": [2]}),
    "train.json: 'a\\x07.wav' has control characters": entries("train", **{"a\a.wav": [2]}),
    "train.json: the names of 2 clips look alike: 'train-0.wav' and 'Train-0.wav'; rename": entries(
        "train", **{"Train-0.wav": [2]}
    ),
    "labelvocabulary.csv: the names of 2 labels look alike: 'Ten' and 'ten'; rename": lambda r: (
        r / "labelvocabulary.csv"
    ).write_text("idx,label\n0,10\n1,2\n2,Ten\n3,ten\n"),
    "labelvocabulary.csv: lines 2 and 4 have labels of which only the encoding": lambda r: (
        r / "labelvocabulary.csv"
    ).write_text("idx,label\n0,2\n1,10\n2,2\u200b\n", encoding="utf-8"),
    "labelvocabulary.csv: line 3 has 3 fields where the header has 2": lambda r: (
        r / "labelvocabulary.csv"
    ).write_text("idx,label\n0,2\n1,10, b\n"),
    "valid.json: valid-0.wav has the label '1O', which is not in labelvocabulary.csv.": entries(
        "valid", **{"valid-0.wav": ["1O"]}
    ),
    "valid.json: valid-0.wav has the label '1\\u200b0', which is not in labelvocabulary.csv, where": entries(
        "valid", **{"valid-0.wav": ["1\u200b0"]}
    ),
    "valid.json: valid-0.wav has the label \"{'a': 'bbb": entries(
        "valid", **{"valid-0.wav": [{"a": "b" * 999}]}
    ),
    "valid.json: holds an integer beyond 64 bits": entries("valid", **{"valid-0.wav": [10**4000]}),
    "valid.json: is not UTF-8": lambda r: (r / "valid.json").write_bytes(b'{"a": "\xe9"}'),
    "task_metadata.json: nfolds is '3' but splits names 3": metadata(
        split_mode="new_split_kfold", nfolds="3"
    ),
    "task_metadata.json: sample_duration is 1e+300": metadata(sample_duration=1e300),
    "task_metadata.json: mode is [1]": metadata(mode=[1]),
    "task_metadata.json: synthetic is 'no'": metadata(synthetic="no"),
    "task_metadata.json: use_scoring_for_early_stopping is 1": metadata(use_scoring_for_early_stopping=1),
    "task_metadata.json: part_of is 3": metadata(part_of=3),
    "48000/train: 1 clips are cut off: train-0.wav (ends early: 0.2 s of the 0.25 s": lambda r: cut(
        r / "48000/train/train-0.wav", 44 + 19200
    ),
    "48000/train: 1 clips cannot be read: train-0.wav (NaN or infinite samples)": sound(
        "48000/train/train-0.wav", NOISE * np.nan, subtype="FLOAT"
    ),
    "48000/train: 1 clips have samples outside [-1, 1]: train-0.wav (1.5)": sound(
        "48000/train/train-0.wav", np.full(12000, 1.5), subtype="FLOAT"
    ),
    "48000/train: 1 of these only look alike: make train.json name them": lambda r: (
        r / "48000/train/train-0.wav"
    ).rename(r / "48000/train/train-0\u200b.wav"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_each_fault_is_told_where_it_is(good, what):
    SPOILED[what](good)
    found = told(good)
    assert any(line.startswith(what) for line in found), found
    assert str(good) not in "".join(found)


def test_a_vocabulary_that_a_spreadsheet_saved_is_good(good):
    (good / "labelvocabulary.csv").write_text("idx,label\r\n0,2\r\n1,10\r\n", encoding="utf-8-sig")
    assert told(good) == []
    assert read_task(good).vocabulary == ("2", "10")


def test_scores_are_those_that_an_evaluation_knows():
    assert set(SCORES["scene"]) <= set(metrics_of("scene"))
    assert set(SCORES["event"]) <= set(metrics_of("event"))


def test_float_clips_are_not_called_silent_and_repeats_among_them_are_found(good):
    for file in good.glob("48000/*/*.wav"):
        audio, rate = soundfile.read(file, dtype="float32")
        soundfile.write(file, audio, rate, subtype="FLOAT")
    audio, rate = soundfile.read(good / "48000/train/train-0.wav", dtype="float32")
    sound("48000/valid/valid-1.wav", audio, rate)(good)
    found = told(good)
    assert not [line for line in found if "silent" in line]
    assert [line for line in found if "same sound" in line] == [
        "48000: the same sound is in several splits: train/train-0.wav, valid/valid-1.wav"
    ]
    assert any(
        line.startswith("48000/test: 4 clips are not 16-bit PCM: test-0.wav (FLOAT)") for line in found
    )


def test_files_of_systems_are_passed_over_and_a_split_that_cannot_be_read_brings_no_other_finding(good):
    for name in ("._train.json", ".Trash-1000/x.json", "48000/.Trash-1000/a.wav", "48000/train/Thumbs.db"):
        (good / name).parent.mkdir(exist_ok=True)
        (good / name).write_bytes(bytes([0, 5, 22, 7]))
    (good / "48000" / "__MACOSX").mkdir()
    assert told(good) == []
    append(good / "train.json", "train-0.wav", [10])
    assert told(good) == ["train.json: names 'train-0.wav' twice; keep one of them."]


def test_a_wrong_entry_is_told_once(good):
    SPOILED["valid.json: valid-1.wav has 2 labels"](good)
    assert [line.split(":")[0] for line in told(good)] == ["valid.json"]


def test_all_faults_are_told_at_once(good):
    chosen = [
        "task_metadata.json: sample_duration is 'x'",
        "labelvocabulary.csv: no clip has the labels 11",
        "valid.json: valid-0.wav has the label '3'",
        "valid.json: valid-1.wav has 2 labels",
        ".: train-0.wav is in train and test",
        "48000/test: has what test.json does not name: more.wav",
        "48000/fold00: is no split",
        "16000/valid: is missing",
        "48000/train: 1 clips are not 16-bit PCM: train-0.wav (PCM_24)",
    ]
    for what in chosen:
        SPOILED[what](good)
    found = told(good)
    for what in chosen:
        assert any(line.startswith(what) for line in found), what


def test_one_sample_off_is_no_fault_and_a_rate_can_be_chosen(good):
    sound("48000/train/train-0.wav", NOISE[:-1])(good)
    assert told(good) == []
    (good / "16000" / "train").mkdir(parents=True)
    assert told(good)
    assert told(good, rate=48000) == []
    assert told(good, rate=32000) == [
        ".: there is no folder 32000; make it, or unpack the task again if it was downloaded"
    ]


def test_what_a_data_set_brings_is_a_remark_in_hears_tasks_unless_most_are_silent(tmp_path):
    root = make_task(tmp_path / "esc50-v2.0.0-full", task_name="esc50")
    silent = np.zeros(12000)
    sound("48000/train/train-0.wav", silent)(root)
    SPOILED["valid.json: no clip has the labels 10"](root)
    sound("48000/valid/valid-0.wav", NOISE)(root)
    sound("48000/test/test-0.wav", NOISE)(root)
    remarks = [f"{f.where}: {f.what}" for f in check_task(root) if f.remark]
    assert told(root) == []
    assert [r.split(":")[0] for r in remarks] == ["valid.json", ".", "48000/train", "48000"]
    assert remarks[1] == ".: 12 clips, where HEAR states 2000 for esc50-v2.0.0-full"
    for i in range(3):
        sound(f"48000/train/train-{i}.wav", silent)(root)
    assert [line.split(" (")[0] for line in told(root)] == ["48000/train: 3 of 4 clips are silent"]


@pytest.mark.skipif(not ARCHIVE.exists(), reason="HEAR's own prepared archive is not here")
def test_hears_own_archive_of_spoken_digits_is_silent_and_else_right(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    found = told(tmp_path / "hear-2021.0.6" / "tasks" / "spoken_digit-1.0.9-small")
    silent = [line for line in found if "20 of 20 clips are silent" in line]
    assert [line.split(":")[0] for line in silent] == [f"44100/fold0{i}" for i in range(5)]
    others = [line for line in found if line not in silent]
    assert [line.split(" labels ")[0] for line in others] == [
        f"fold0{i}.json: no clip has the" for i in range(5)
    ]


def test_long_lists_are_cut_and_counted(tmp_path):
    root = make_task(tmp_path / "mine", clips=30)
    edit(root / "test.json", lambda e: e.update({f"test-{i}.wav": [3] for i in range(25)}))
    for file in (root / "48000" / "valid").glob("*"):
        file.unlink()
    found = told(root)
    assert "48000/valid: lacks what valid.json names: valid-0.wav, valid-1.wav, valid-10.wav, " in " ".join(
        found
    )
    assert any("and 25 more" in line for line in found)
    assert "test.json: 15 more entries are wrong." in found
    assert sum(line.startswith("test.json: test-") for line in found) == 10


def run_cli(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tasks.check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_line_over_one_task_and_over_a_folder(good, tmp_path):
    other = make_task(tmp_path / "other")
    (other / "48000/test/test-2.wav").unlink()
    checked = run_cli(tmp_path)
    assert checked.returncode == 1
    assert f"{good}: good" in checked.stdout
    assert f"{other}: 1 problems" in checked.stdout
    assert "problem  48000/test: lacks what test.json names: test-2.wav" in checked.stdout
    assert checked.stderr == ""
    assert run_cli(good, "--rate", 48000).returncode == 0
    (tmp_path / "empty").mkdir()
    for directory, message in (("nowhere", "does not exist"), ("empty", "holds no task_metadata.json")):
        failed = run_cli(tmp_path / directory)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert failed.stderr.count("\n") == 1


def test_what_is_checked_stays_as_it_is(good, capsys):
    before = {p: p.stat().st_mtime_ns for p in good.rglob("*")}
    assert main([str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: good\n"
    assert {p: p.stat().st_mtime_ns for p in good.rglob("*")} == before
