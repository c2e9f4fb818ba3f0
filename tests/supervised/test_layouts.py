"""Every layout of labelled data, on miniatures as the data sets lay them out."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled import text
from PIL import Image
from sounds import tone, write

from hear_mwmae.supervised.data.find import folds_of, read_labelled_data, write_missing
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.layouts.audioset import clip_of
from hear_mwmae.supervised.data.layouts.listing import names_below


def sounds(folder: Path, *names: str) -> Path:
    """Write short wav files."""
    for name in names:
        write(folder / name, tone(0.01))
    return folder


def named(data: LabelledData, clips: tuple[LabelledClip, ...]) -> dict[str, list[str]]:
    """Return the labels of each clip by its id, once its file is seen to be there."""
    assert all(clip.path.is_file() for clip in clips)
    return {clip.id: [data.classes[i] for i in clip.labels] for clip in clips}


def write_task(
    folder: Path, splits: dict[str, dict[str, list]], labels: list[str], **metadata: object
) -> Path:
    """Write a HEAR task directory without its sound."""
    given = {"task_name": "tiny", "embedding_type": "scene", "prediction_type": "multiclass"}
    given |= {"split_mode": "trainvaltest", "splits": list(splits), **metadata}
    text(folder / "task_metadata.json", json.dumps(given))
    text(folder / "labelvocabulary.csv", "idx,label", *(f"{i},{label}" for i, label in enumerate(labels)))
    for split, clips in splits.items():
        text(folder / f"{split}.json", json.dumps(clips))
    return folder


def test_task_directory(tmp_path: Path) -> None:
    splits = {"train": {"a.wav": [1], "b.wav": ["2"]}, "valid": {"c.wav": [1]}, "test": {"d.wav": [2]}}
    write_task(tmp_path, splits, ["2", "1"])
    for rate in ("44100", "48000", "16000"):
        sounds(tmp_path / rate, "train/a.wav", "train/b.wav", "valid/c.wav", "test/d.wav")
        data = read_labelled_data(tmp_path)
        assert data.training[0].path == tmp_path / rate / "train/a.wav"  # each is preferred to those before
    assert (data.name, data.classes, data.multilabel) == ("tiny", ("2", "1"), False)
    assert named(data, data.training) == {"a.wav": ["1"], "b.wav": ["2"]}
    assert named(data, data.validation) == {"c.wav": ["1"]}
    assert named(data, data.test) == {"d.wav": ["2"]}
    assert (data.missing, data.fold, folds_of(tmp_path)) == ((), "", ())


def test_task_directory_with_several_labels_or_none(tmp_path: Path) -> None:
    splits = {"train": {"a.wav": ["x", "y"], "b.wav": []}, "valid": {}, "test": {"d.wav": ["y"]}}
    write_task(tmp_path, splits, ["x", "y"], prediction_type="multilabel")
    sounds(tmp_path / "32000", "train/a.wav", "train/b.wav", "test/d.wav")
    data = read_labelled_data(tmp_path)
    assert [clip.labels for clip in data.training] == [(0, 1), ()]
    assert data.multilabel
    assert data.validation == ()


def test_folds_of_a_task_are_divided_as_heareval_divides_them(tmp_path: Path) -> None:
    folds = {f"fold{i:02}": {f"{i}{x}.wav": [x] for x in "xy"} for i in range(4)}
    write_task(tmp_path, folds, ["x", "y"], split_mode="new_split_kfold")
    sounds(tmp_path / "16000", *(f"{fold}/{clip}" for fold in folds for clip in folds[fold]))
    assert folds_of(tmp_path) == tuple(folds)
    for tested, validates, trained in ((0, 1, "23"), (3, 0, "12")):
        data = read_labelled_data(tmp_path, fold=f"fold{tested:02}")
        assert {clip.id[0] for clip in data.test} == {str(tested)}
        assert {clip.id[0] for clip in data.validation} == {str(validates)}
        assert {clip.id[0] for clip in data.training} == set(trained)
        assert data.fold == f"fold{tested:02}"


def test_table_with_splits(tmp_path: Path) -> None:
    sounds(tmp_path / "audio", "in/a.wav", "b.wav", "c.wav", "d.wav")
    lines = [
        "filename,note,label,split",
        './in//a.wav,"x, y",10,train',
        "b.wav,,9,train",
        "",
        "c.wav,,9,test",
    ]
    file = text(tmp_path / "mine.csv", *lines, " d.wav ,,10 ,validation")
    for given in (tmp_path, file):
        data = read_labelled_data(given)
        assert (data.name, data.classes, data.multilabel) == ("mine", ("9", "10"), False)
        assert named(data, data.training) == {"in/a.wav": ["10"], "b.wav": ["9"]}
        assert named(data, data.validation) == {"d.wav": ["10"]}
        assert named(data, data.test) == {"c.wav": ["9"]}


def test_table_beside_its_sound_or_elsewhere(tmp_path: Path) -> None:
    rows = ("filename,label,split", "a.wav,x,train", "b.wav,y,train", "c.wav,y,test")
    text(tmp_path / "lists/mine.csv", *rows)
    (tmp_path / "lists/audio").mkdir()
    for folder in ("elsewhere", "lists"):
        sounds(tmp_path / folder, "a.wav", "b.wav", "c.wav")
        sound = None if folder == "lists" else tmp_path / folder
        data = read_labelled_data(tmp_path / "lists", sound=sound)
        assert {clip.path.parent for clip in data.training} == {tmp_path / folder}


@pytest.mark.parametrize(
    ("column", "first", "multilabel"),
    [("label", "y;x;y", True), ("labels", "x", True), ("labels", "", True), ("label", "x", False)],
)
def test_table_is_multi_label_by_its_rows_or_its_column(
    tmp_path: Path, column: str, first: str, multilabel: bool
) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    rows = (f"a.wav,{first},train", "b.wav,x,train", "c.wav,y,train", "d.wav,y,test")
    text(tmp_path / "mine.csv", f"filename,{column},split", *rows)
    data = read_labelled_data(tmp_path)
    assert data.multilabel is multilabel
    assert data.training[0].labels == tuple(sorted({"xy".index(x) for x in first if x != ";"}))


def test_folds_of_a_table_in_the_order_of_numbers(tmp_path: Path) -> None:
    names = [f"{fold}{x}.wav" for fold in (2, 10, 9) for x in "xy"]
    sounds(tmp_path, *names)
    text(tmp_path / "mine.csv", "filename,label,fold", *(f"{n},{n[-5]},{n[:-5]}" for n in names))
    assert folds_of(tmp_path / "mine.csv") == ("2", "9", "10")
    data = read_labelled_data(tmp_path, fold="10")
    assert [[clip.id for clip in part] for part in (data.training, data.validation, data.test)] == [
        ["9x.wav", "9y.wav"],
        ["2x.wav", "2y.wav"],
        ["10x.wav", "10y.wav"],
    ]


def test_two_folds_leave_none_for_validation(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    text(tmp_path / "mine.csv", "filename,label,fold", "a.wav,x,1", "b.wav,y,1", "c.wav,x,2")
    data = read_labelled_data(tmp_path, fold="2")
    assert (len(data.training), data.validation, len(data.test)) == (2, (), 1)


SEGMENTS = ("# Segments csv created", "# num_ytids=2", "# YTID, start_seconds, end_seconds, positive_labels")


def write_audioset(folder: Path) -> Path:
    """Write AudioSet's lists, of three classes."""
    text(folder / "class_labels_indices.csv", *CLASS_LINES)
    text(
        folder / "balanced_train_segments.csv",
        *SEGMENTS,
        '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"',
        '_bcdefghij-, 0.000, 10.000, "/m/05zppz"',
        'gone0000000, 0.000, 10.000, "/m/05zppz"',
    )
    text(folder / "unbalanced_train_segments.csv", *SEGMENTS, 'Yunbalanced, 7.500, 17.500, "/m/09x0r"')
    text(folder / "eval_segments.csv", *SEGMENTS, 'evaluation_, 1.000, 2.000, "/m/05zppz,/m/09x0r"')
    return folder


CLASS_LINES = (
    "index,mid,display_name",
    "0,/m/09x0r,Speech",
    '1,/m/05zppz,"Male speech, man speaking"',
    "2,/t/dd00088,Gargling",
)


def test_audioset(tmp_path: Path) -> None:
    write_audioset(tmp_path)
    files = ["0/--PJHxphWEs_30000_40000.wav", "Y_bcdefghij-.flac", "x/Yunbalanced_7.wav", "evaluation_.wav"]
    sounds(tmp_path / "clips", *files, "notes.wav")
    data = read_labelled_data(tmp_path)
    assert (data.name, data.multilabel) == ("audioset_20k", True)
    assert data.classes == ("Speech", "Male speech, man speaking", "Gargling")
    assert named(data, data.training) == {
        "--PJHxphWEs": ["Speech", "Gargling"],
        "_bcdefghij-": ["Male speech, man speaking"],
    }
    assert named(data, data.test) == {"evaluation_": ["Speech", "Male speech, man speaking"]}
    assert (data.validation, data.missing, folds_of(tmp_path)) == ((), ("gone0000000",), ())
    large = read_labelled_data(tmp_path, subset="2m", sound=tmp_path / "clips")
    assert large.name == "audioset_2m"
    assert [clip.id for clip in large.training] == ["--PJHxphWEs", "_bcdefghij-", "Yunbalanced"]


def test_audioset_clip_of_another_start_is_another_clip(tmp_path: Path) -> None:
    write_audioset(tmp_path)
    sounds(tmp_path, "--PJHxphWEs_0.wav", "--PJHxphWEs_30.wav", "_bcdefghij-_60.wav", "evaluation_.wav")
    text(tmp_path / "balanced_train_segments.csv", *SEGMENTS, '--PJHxphWEs, 30, 40, "/m/09x0r,/m/05zppz"')
    data = read_labelled_data(tmp_path)
    assert [clip.path.name for clip in data.training] == ["--PJHxphWEs_30.wav"]


@pytest.mark.parametrize("id_", ["--PJHxphWEs", "Y_a-b_c-d_e", "YYYYYYYYYYY", "_________12", "12345678901"])
def test_audioset_names_are_read_in_one_way(id_: str) -> None:
    for before in ("", "Y"):
        for behind, start in (
            ("", None),
            ("_0", 0),
            ("_30_40", 30),
            ("_30.000_40.000", 30),
            ("_30000", 30000),
        ):
            assert clip_of(before + id_ + behind) == (id_, start)
    assert clip_of(f"Z{id_}") is None
    assert clip_of(f"{id_}_copy") is None


def write_speech_commands(folder: Path, *words: str) -> Path:
    """Write three clips of each word, one for each part."""
    sounds(folder, *(f"{word}/{part}.wav" for word in words for part in ("train", "valid", "test")))
    text(folder / "validation_list.txt", *(f"{word}/valid.wav" for word in words))
    text(folder / "testing_list.txt", *(f"{word}/test.wav" for word in words), "cat/gone.wav")
    sounds(folder / "_background_noise_", "white.wav")
    return folder


def test_speech_commands_2(tmp_path: Path) -> None:
    write_speech_commands(tmp_path, "yes", "cat", "visual")
    data = read_labelled_data(tmp_path)
    assert (data.name, data.classes) == ("speech_commands_v2", ("cat", "visual", "yes"))
    for part, name in ((data.training, "train"), (data.validation, "valid"), (data.test, "test")):
        assert named(data, part) == {f"{word}/{name}.wav": [word] for word in data.classes}
    assert data.missing == ("cat/gone.wav",)


def test_speech_commands_1_has_twelve_classes(tmp_path: Path) -> None:
    write_speech_commands(tmp_path, "yes", "cat", "bed")
    data = read_labelled_data(tmp_path)
    assert data.name == "speech_commands_v1"
    assert len(data.classes) == 12
    expected = {"bed/train.wav": ["unknown"], "cat/train.wav": ["unknown"], "yes/train.wav": ["yes"]}
    assert named(data, data.training) == expected
    assert data.missing == ("cat/gone.wav", "_silence_")
    sounds(tmp_path, "_silence_/s.wav", "_unknown_/u.wav")
    data = read_labelled_data(tmp_path)
    expected |= {"_silence_/s.wav": ["silence"], "_unknown_/u.wav": ["unknown"]}
    assert named(data, data.training) == expected
    assert data.missing == ("cat/gone.wav",)
    assert read_labelled_data(tmp_path, subset="v2").classes == ("bed", "cat", "yes")


@pytest.mark.parametrize("above", ["", "wav/", "dev/wav/"])
def test_voxceleb(tmp_path: Path, above: str) -> None:
    clips = [f"id{s}/v_-{v}/0000{v}.wav" for s in (10001, 10002) for v in (1, 2, 3)]
    sounds(tmp_path, *(above + clip for clip in clips))
    lines = [f"{clip[-5]} {clip}" for clip in clips]
    text(tmp_path / "iden_split.txt", *lines, "3 id10002/v/00004.wav")
    data = read_labelled_data(tmp_path)
    assert (data.name, data.classes) == ("voxceleb1", ("id10001", "id10002"))
    for part, number in ((data.training, 1), (data.validation, 2), (data.test, 3)):
        assert named(data, part) == {f"{s}/v_-{number}/0000{number}.wav": [s] for s in data.classes}
    assert data.missing == ("id10002/v/00004.wav",)


def test_esc50(tmp_path: Path) -> None:
    names = [f"{fold}-{x}.wav" for fold in (1, 2, 3) for x in ("dog", "cow", "rain")]
    sounds(tmp_path / "audio", *names)
    header = "filename,fold,target,category,esc10,src_file,take"
    rows = [f"{n},{n[0]},0,{n[2:-4]},{n[2:-4] != 'cow'},1,A" for n in names]
    text(tmp_path / "meta/esc50.csv", header, *rows)
    data = read_labelled_data(tmp_path, fold="3")
    assert (data.name, data.classes, data.validation) == ("esc50", ("cow", "dog", "rain"), ())
    assert named(data, data.test) == {f"3-{x}.wav": [x] for x in ("dog", "cow", "rain")}
    assert {clip.id[0] for clip in data.training} == {"1", "2"}
    assert folds_of(tmp_path) == ("1", "2", "3")
    for given in (tmp_path, tmp_path / "meta/esc50.csv"):
        ten = read_labelled_data(given, fold="1", subset="esc10")
        assert (ten.name, ten.classes, len(ten.training), len(ten.test)) == ("esc10", ("dog", "rain"), 4, 2)


def test_imagenet(tmp_path: Path) -> None:
    for name in ("train/n02/a.JPEG", "train/n01/b.JPEG", "val/n02/c.JPEG", "train/n03/._d.JPEG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    data = read_labelled_data(tmp_path)
    assert (data.name, data.classes, data.validation) == ("imagenet", ("n01", "n02", "n03"), ())
    assert named(data, data.training) == {"train/n01/b.JPEG": ["n01"], "train/n02/a.JPEG": ["n02"]}
    assert named(data, data.test) == {"val/n02/c.JPEG": ["n02"]}


def test_a_table_beside_folders_called_train_and_val_is_read(tmp_path: Path) -> None:
    sounds(tmp_path, "train/a.wav", "train/b.wav", "val/c.wav")
    rows = ("train/a.wav,x,train", "train/b.wav,y,train", "val/c.wav,x,test")
    text(tmp_path / "mine.csv", "filename,label,split", *rows)
    assert len(read_labelled_data(tmp_path).training) == 2


def test_a_list_gives_the_order_of_classes_and_those_that_have_no_clip(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    text(tmp_path / "mine.csv", "filename,label,split", "a.wav,x,train", "b.wav,y,train", "c.wav,x,test")
    data = read_labelled_data(tmp_path, classes=text(tmp_path / "classes.txt", "y", "", "not, here", " x "))
    assert data.classes == ("y", "not, here", "x")
    assert [clip.labels for clip in data.training] == [(2,), (0,)]


def test_audioset_classes_for_a_table_by_mid_or_name(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = ("a.wav,Speech,train", 'b.wav,"Male speech, man speaking;/m/09x0r",train', "c.wav,/m/05zppz,test")
    table = text(tmp_path / "mine.csv", "filename,label,split", *rows)
    data = read_labelled_data(table, classes=text(tmp_path / "classes.csv", *CLASS_LINES))
    assert [clip.labels for clip in data.training + data.test] == [(0,), (0, 1), (1,)]
    assert len(data.classes) == 3


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "folder.wav").mkdir()
    names = ("a.wav", "b.wav", "d.wav", "empty.wav", "link.wav", "folder.wav", "a.wav/in.wav", "n" * 300)
    rows = [f"{name},{'y' if name == 'b.wav' else 'x'},train" for name in names]
    text(tmp_path / "mine.csv", "filename,label,split", *rows, "c.wav,x,test", "e.wav,y,test")
    out = text(tmp_path / "out.txt", "d.wav", "unrelated")
    data = read_labelled_data(tmp_path, leave_out=out)
    assert [clip.id for clip in data.training] == ["a.wav", "b.wav"]
    assert data.missing == ("d.wav", *names[3:], "e.wav")
    file = tmp_path / "missing.txt"
    write_missing(data, file)
    assert file.read_text().splitlines() == list(data.missing)


def test_a_file_name_leaves_out_the_clip_of_an_id(tmp_path: Path) -> None:
    write_audioset(tmp_path)
    sounds(tmp_path, "--PJHxphWEs_30.wav", "_bcdefghij-.wav", "gone0000000.wav", "evaluation_.wav")
    out = text(tmp_path / "out.txt", "gone0000000.wav")
    assert read_labelled_data(tmp_path, leave_out=out).missing == ("gone0000000",)


def test_no_file_where_nothing_is_missing(tmp_path: Path) -> None:
    data = LabelledData("a", ("x", "y"), False, (), (), ())
    (tmp_path / "missing.txt").write_text("of an earlier run")
    write_missing(data, tmp_path / "missing.txt")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_walked_once_and_hidden_files_passed_over(tmp_path: Path) -> None:
    sounds(tmp_path / "root", "a.wav", "in/b.WAV", ".hidden.wav", "__MACOSX/._a.wav", ".trash/c.wav")
    sounds(tmp_path / "other", "d.wav")
    text(tmp_path / "root/notes.txt", "no sound")
    (tmp_path / "root/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/link").symlink_to(tmp_path / "other")
    (tmp_path / "root/link2").symlink_to(tmp_path / "other")
    assert sorted(names_below(tmp_path / "root", {".wav"})) == ["a.wav", "in/b.WAV", "link/d.wav"]
