"""Records of supervised runs: what is read, and what is refused in one sentence that names the file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from score_records import changed, content, write

from evaluation.errors import EvaluationError
from evaluation.results.supervised import Clips, ProbeHead, read_record, read_supervised


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, mode="probe", seed=3, fold="fold01", later_field=[1]))
    assert (record.data, record.fold, record.seed, record.mode) == ("esc50", "fold01", 3, "probe")
    assert record.clips == Clips(320, 0, 80, 0)
    assert record.clips.found == 400
    assert record.last == {"mAP": 0.5, "accuracy": 0.6, "d_prime": None}
    assert (record.best["accuracy"], record.best_epoch, record.chosen_on) == (0.7, 12.0, "test")
    assert record.heads == (ProbeHead(0.1, True, None, 0.6),)
    assert record.predictions == "predictions.npz"


def test_records_are_found_at_any_depth_and_copies_count_once(tmp_path: Path) -> None:
    write(tmp_path / "b" / "c" / "d", seed=1)
    write(tmp_path / "a")
    write(tmp_path / "z")
    (tmp_path / "empty").mkdir()
    found = read_supervised(tmp_path)
    assert [record.path.parent.name for record in found] == ["a", "d"]


def test_runs_that_differ_and_names_of_two_data_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", last=0.61)
    with pytest.raises(
        EvaluationError, match=r"a.scores\.json and .*b.scores\.json are of one run .* differ"
    ):
        read_supervised(tmp_path)
    write(tmp_path / "b", seed=1, classes=10)
    with pytest.raises(EvaluationError, match=r"esc50 means two data sets: classes is 50 in .* and 10 in"):
        read_supervised(tmp_path)


def test_a_folder_without_records_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"holds no scores\.json"):
        read_supervised(tmp_path)
    with pytest.raises(EvaluationError, match="is no folder"):
        read_supervised(tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match="is no folder"):
        read_supervised(write(tmp_path))


BROKEN: dict[str, tuple[Any, str]] = {
    "a list": ([], "it is not an object"),
    "null": (None, "it is not an object"),
    "foreign": ({"accuracy": 1}, "format is missing"),
    "newer": (content(format=2), "format is 2, which a newer version wrote, and this version reads 1"),
    "older": (content(format=0), "format is 0, and this version reads 1"),
    "format a text": (content(format="1"), "format is not an integer"),
    "format true": (content(format=True), "format is not an integer"),
    "no data": (changed(("data",), ...), "data is missing"),
    "empty data": (content(data=" "), "data is empty"),
    "data a number": (content(data=3), "data is not a text"),
    "long model": (content(model="m" * 300), "model has more than 255 characters"),
    "mode": (content(mode="both"), "mode is 'both', not finetune or probe"),
    "init": (content(init=""), "init is '', not pretrained or random"),
    "metric": (content(metric="x" * 500), "not mAP or accuracy"),
    "seed a share": (content(seed=0.5), "seed is not an integer"),
    "seed negative": (content(seed=-1), "seed is -1"),
    "seed true": (content(seed=True), "seed is not an integer"),
    "no classes": (content(classes=0), "classes is 0"),
    "multilabel 0": (content(multilabel=0), "multilabel is not true or false"),
    "clips a list": (content(clips=[1, 2]), "clips is not an object"),
    "clips negative": (changed(("clips", "missing"), -3), "clips.missing is -3"),
    "no test clips": (changed(("clips", "test"), 0), "clips.test is 0"),
    "no missing": (changed(("clips", "missing"), ...), "clips.missing is missing"),
    "epochs negative": (content(epochs=-1), "epochs is -1"),
    "epoch beyond": (changed(("test", "best", "epoch"), 31), "test.best.epoch is 31 of 30 epochs"),
    "score a text": (changed(("test", "last", "mAP"), "0.5"), "test.last.mAP is not a number"),
    "score in per cent": (changed(("test", "last", "accuracy"), 61), "61, not a share between 0 and 1"),
    "score negative": (changed(("test", "best", "mAP"), -0.1), "test.best.mAP is -0.1, not a share"),
    "reported score null": (changed(("test", "best", "accuracy"), None), "is null, and is the metric"),
    "no d'": (changed(("test", "last", "d_prime"), ...), "test.last.d_prime is missing"),
    "d' nan": (changed(("test", "last", "d_prime"), "nan"), "test.last.d_prime is not a number"),
    "no last": (changed(("test", "last"), ...), "test.last is missing"),
    "chosen on": (changed(("test", "best", "chosen_on"), "training"), "not validation or test"),
    "probe without heads": (changed(("heads",), ...), "heads is empty"),
    "head without rate": (changed(("heads", 0, "learning_rate"), 0), "heads[0].learning_rate is 0"),
    "head's score": (changed(("heads", 0, "test"), 2), "heads[0].test is 2, not a share"),
    "head no object": (content(mode="probe", heads=[3]), "heads[0] is not an object"),
    "control characters": (content(mode="\x1b[31m"), r"mode is '\x1b[31m'"),
}


@pytest.mark.parametrize(("value", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_record_is_one_sentence(value: Any, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "good", seed=9)
    path = write(tmp_path / "bad")
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        read_supervised(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path} is no record of a supervised run (")
    assert reason in said
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) < 400 + len(str(path))


BROKEN_BYTES = {
    "empty": (b"", "is not JSON"),
    "cut off": (b'{"format": 1', "is not JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "is not UTF-8"),
    "NUL": (b"\0" * 100, "is not JSON"),
    "deep": (b"[" * 100_000, "levels deep"),
    "NaN": (b'{"format": NaN}', "no finite number"),
    "huge": (b'{"format": 1, "seed": 1e999}', "no finite number"),
    "many digits": (b"1" * 5000, "64 bits"),
    "key twice": (b'{"format": 1, "format": 1}', "twice"),
    "half a pair": (b'{"format": 1, "data": "\\ud800"}', "surrogate"),
}


@pytest.mark.parametrize(("value", "reason"), BROKEN_BYTES.values(), ids=BROKEN_BYTES)
def test_what_is_no_json_is_one_sentence(value: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad")
    path.write_bytes(value)
    with pytest.raises(EvaluationError, match=reason) as caught:
        read_supervised(tmp_path)
    assert str(caught.value).startswith(f"{path} is no record of a supervised run (")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b", ", b",\r\n"))
    assert read_record(path).seed == 0


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder" / "scores.json").mkdir(parents=True)
    with pytest.raises(EvaluationError, match="it is no file"):
        read_supervised(tmp_path)
    (tmp_path / "folder" / "scores.json").rmdir()
    (tmp_path / "scores.json").symlink_to("nowhere")
    with pytest.raises(EvaluationError, match="it is no file"):
        read_supervised(tmp_path)
    (tmp_path / "scores.json").unlink()
    os.mkfifo(tmp_path / "scores.json")
    with pytest.raises(EvaluationError, match="it is no file"):
        read_supervised(tmp_path)


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("evaluation.results.supervised.read_json", refuse)
    with pytest.raises(EvaluationError, match=r"scores\.json .*it cannot be read: Permission denied"):
        read_supervised(tmp_path)
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(EvaluationError, match=r"cannot be read \(Permission denied\)"):
        read_supervised(tmp_path)
