"""Data sets in their own layouts that cannot be used as they are: one sentence that names the file."""

import json
from pathlib import Path

import pytest
from labelled import sentence, text
from sounds import tone, write

from hear_mwmae.supervised.data.find import read_labelled_data

SEGMENT = 'abcdefghijk, 0.000, 10.000, "/m/0"'
METADATA = {
    "task_name": "tiny",
    "embedding_type": "scene",
    "prediction_type": "multiclass",
    "split_mode": "trainvaltest",
    "splits": ["train", "test"],
}
TASK = {
    "task_metadata.json": json.dumps(METADATA),
    "labelvocabulary.csv": "idx,label\n0,x\n1,y\n",
    "train.json": '{"a.wav": ["x"], "b.wav": ["y"]}',
    "test.json": '{"c.wav": ["y"]}',
}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("task_metadata.json", "[]", "holds no JSON object"),
        ("task_metadata.json", "{", "is not JSON"),
        ("task_metadata.json", json.dumps(METADATA | {"embedding_type": "event"}), "is a task of events"),
        (
            "task_metadata.json",
            json.dumps(METADATA | {"embedding_type": ["scene"]}),
            "embedding_type is none of",
        ),
        ("task_metadata.json", json.dumps(METADATA | {"prediction_type": "x"}), "prediction_type is none of"),
        ("task_metadata.json", json.dumps(METADATA | {"split_mode": None}), "split_mode is none of"),
        ("task_metadata.json", json.dumps(METADATA | {"task_name": 3}), "has no task_name"),
        ("task_metadata.json", json.dumps(METADATA | {"splits": {}}), "splits is no list"),
        ("task_metadata.json", json.dumps(METADATA | {"splits": ["train", "../test"]}), "'../test'"),
        ("task_metadata.json", json.dumps(METADATA | {"splits": ["train", "test", "test"]}), "there twice"),
        (
            "task_metadata.json",
            json.dumps(METADATA | {"splits": ["train", "dev"]}),
            "not train, valid and test",
        ),
        ("labelvocabulary.csv", "idx,label\n0,x\n2,y\n", "does not count"),
        ("labelvocabulary.csv", "idx,label\n0,x\n0,y\n", "line 3 has an idx"),
        ("labelvocabulary.csv", "idx,label\n0,x\n1,x\n", "line 3 has an idx"),
        ("labelvocabulary.csv", f"idx,label\n0,x\n{'9' * 5000},y\n", "line 3 has an idx"),
        (
            "labelvocabulary.csv",
            "idx,label\n0,x\n1,z\n",
            "train.json: the label 'y' of b.wav is not in labelvoc",
        ),
        ("labelvocabulary.csv", None, "labelvocabulary.csv: there is no such file"),
        ("train.json", None, "train.json cannot be read"),
        ("train.json", "[]", "holds no JSON object"),
        ("train.json", '{"a.wav": "x"}', "'a.wav' has no list"),
        ("train.json", '{"a.wav": [{"label": "x"}]}', "neither text nor number"),
        ("train.json", '{"a.wav": [true]}', "neither text nor number"),
        ("train.json", '{"a.wav": ["x", "y"]}', "train.json: a.wav has 2 labels"),
        ("train.json", '{"a.wav": []}', "train.json: a.wav has 0 labels"),
        ("train.json", '{"../a.wav": ["x"]}', "names the file '../a.wav'"),
        ("train.json", '{"a.wav": ["x"], "a.wav": ["y"]}', "'a.wav' twice"),
        ("test.json", '{"a.wav": ["x"]}', "test.json has 'a.wav' in test, which train.json has in train"),
    ],
)
def test_task_directory(tmp_path: Path, file: str, content: str | None, said: str) -> None:
    for name, right in TASK.items():
        (tmp_path / name).write_text(right)
    for name in ("train/a.wav", "train/b.wav", "test/c.wav"):
        write(tmp_path / "16000" / name, tone(0.01))
    assert len(read_labelled_data(tmp_path).training) == 2
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    assert said in sentence(tmp_path)


def test_task_directory_without_sound(tmp_path: Path) -> None:
    for name, right in TASK.items():
        (tmp_path / name).write_text(right)
    (tmp_path / "16000").mkdir()
    assert sentence(tmp_path).startswith("DATA has no sound")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("abcdefghij, 0, 10, /m/0", "'abcdefghij' is no YouTube id"),
        ("abcdefghijk, 0, 10, /m/0, /m/1", "has 5 fields"),
        ("abcdefghijk, nan, 10, /m/0", "has the start 'nan'"),
        ("abcdefghijk, 1e999, 10, /m/0", "has the start '1e999'"),
        ("abcdefghijk, soon, 10, /m/0", "has the start 'soon'"),
        ('abcdefghijk, 0, 10, ""', "has no label"),
        ('abcdefghijk, 0, 10, "/m/9"', "the label '/m/9' of abcdefghijk is not in class_labels_indices.csv"),
        ('evaluation_, 0, 10, "/m/0"', "eval_segments.csv: line 2 has 'evaluation_' in test, which balanced"),
    ],
)
def test_audioset(tmp_path: Path, row: str, said: str) -> None:
    text(tmp_path / "class_labels_indices.csv", "index,mid,display_name", "0,/m/0,a", "1,/m/1,b")
    text(tmp_path / "balanced_train_segments.csv", "# one", "# two", '# "three', row)
    text(tmp_path / "eval_segments.csv", "# one", 'evaluation_, 0, 10, "/m/0"')
    for stem in ("abcdefghijk", "evaluation_"):
        write(tmp_path / f"{stem}.wav", tone(0.01))
    message = sentence(tmp_path)
    assert said in message
    assert "eval_segments.csv" in said or message.startswith("balanced_train_segments.csv: line 4")


def test_audioset_lists_and_files(tmp_path: Path) -> None:
    text(tmp_path / "balanced_train_segments.csv", SEGMENT)
    assert sentence(tmp_path).startswith("eval_segments.csv: there is no such file")
    text(tmp_path / "eval_segments.csv", SEGMENT.replace("a", "e"))
    assert "unbalanced_train_segments.csv: there is no such file" in sentence(tmp_path, subset="2m")
    for name in ("abcdefghijk.wav", "ebcdefghijk.wav"):
        write(tmp_path / name, tone(0.01))
    assert "has no class_labels_indices.csv" in sentence(tmp_path)
    classes = text(tmp_path / "given.txt", "/m/0")
    assert read_labelled_data(tmp_path, classes=classes).classes == ("/m/0",)
    write(tmp_path / "more/Yabcdefghijk_0_10.flac", tone(0.01))
    assert "has two files of the clip abcdefghijk" in sentence(tmp_path, classes=classes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("4 id1/v/1.wav", "line 3 is not of the kind"),
        ("1 id1/1.wav", "line 3 is not of the kind"),
        ("1", "line 3 is not of the kind"),
        ("1 id1/v/1.wav more", "line 3 is not of the kind"),
        ("1 ../v/1.wav", "line 3 names the file '../v/1.wav'"),
        ("3 id1/v/1.wav", "line 3 has 'id1/v/1.wav' in test, which line 1 has in train"),
        ("3 id3/v/1.wav", "the class 'id3' has clips"),
        ("3 id2/v/1.wav", "has both dev/id2/v/1.wav and wav/id2/v/1.wav"),
    ],
)
def test_voxceleb(tmp_path: Path, line: str, said: str) -> None:
    text(tmp_path / "iden_split.txt", "1 id1/v/1.wav", "3 id1/v/2.wav", line)
    for name in ("id1/v/1.wav", "id1/v/2.wav", "dev/id2/v/1.wav", "wav/id2/v/1.wav", "id3/v/1.wav"):
        write(tmp_path / name, tone(0.01))
    assert said in sentence(tmp_path)


def test_speech_commands(tmp_path: Path) -> None:
    for name in ("yes/a.wav", "yes/b.wav", "no/a.wav", "cat/a.wav"):
        write(tmp_path / name, tone(0.01))
    lists = ("validation_list.txt", "testing_list.txt")
    text(tmp_path / lists[0], "no/a.wav")
    assert sentence(tmp_path).startswith("testing_list.txt: there is no such file")
    text(tmp_path / lists[1], "yes/b.wav", "a.wav")
    assert sentence(tmp_path).startswith("testing_list.txt: line 2 is not of the kind WORD/FILE.wav")
    text(tmp_path / lists[1], "yes/b.wav", "no/a.wav")
    said = "testing_list.txt: line 2 has 'no/a.wav' in test, which line 1 has in valid"
    assert said in sentence(tmp_path).replace("validation_list.txt: ", "")
    text(tmp_path / lists[1], "yes/b.wav")
    assert "the class 'no' has clips in the part 'valid' and none for training" in sentence(tmp_path)


def test_esc50(tmp_path: Path) -> None:
    sound = tmp_path
    for name in "abc":
        write(sound / f"{name}.wav", tone(0.01))
    file = sound / "meta/esc50.csv"
    right = ("a.wav,1,dog,True", "b.wav,1,cow,True", "c.wav,2,dog,True")
    text(file, "filename,fold,category,esc10", *right, "d.wav,2,dog,yes")
    assert "line 5 has no True or False" in sentence(sound)
    text(file, "filename,fold,category,esc10", *right, "d.wav,,dog,True")
    assert "line 5 has no fold" in sentence(sound)
    text(file, "filename,fold,category", *right)
    assert "the column 'esc10' is not there" in sentence(sound)
    text(file, "filename,fold,category,esc10", *right)
    assert "looked for as audio/a.wav" in sentence(sound, fold="2")
    assert read_labelled_data(sound, fold="2", sound=sound).test[0].path == sound / "c.wav"


def test_imagenet(tmp_path: Path) -> None:
    for name in ("train/n1/a.JPEG", "train/n2/a.JPEG", "val/n3/a.JPEG"):
        text(tmp_path / name, "not opened here")
    assert "the class 'n3' has clips in the part 'test' and none for training" in sentence(tmp_path)
    text(tmp_path / "val/a.JPEG", "not opened here")
    assert sentence(tmp_path).startswith("val: the picture a.JPEG is in no folder of a class")
