"""Embeddings trees of the original program: what they hold arrives unchanged, what is not one is refused."""

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heareval_trees import DIM, clip_embeddings, make_event_tree, make_tree

from evaluation.embedding.store import Imported
from evaluation.errors import EvaluationError
from evaluation.heareval.exporting import model_folder, write_embeddings
from evaluation.heareval.files import read_label_lists
from evaluation.heareval.importing import _Part, import_tree
from evaluation.probes.presets import preset_named
from evaluation.runs.job import Job
from tasks import TaskError


def stored_embeddings(item: Imported) -> dict[str, np.ndarray]:
    return {
        clip.file: row
        for split, clips in item.task.clips.items()
        for clip, row in zip(clips, item.entry.read(split), strict=True)
    }


def export(item: Imported, folder: Path) -> Path:
    write_embeddings(Job(item.model, item.task, item.entry, preset_named("mwmae"), range(1)), folder)
    return folder


def assert_same_tree(ours: Path, theirs: Path) -> None:
    names = {path.name for path in theirs.iterdir()} - {"profile.embeddings.json"}
    assert {path.name for path in ours.iterdir()} == names
    for name in names:
        if name.endswith(".pkl"):
            assert pickle.loads((ours / name).read_bytes()) == pickle.loads((theirs / name).read_bytes())
        else:
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_golden_tree_there_and_back(shared: Path, tmp_path: Path) -> None:
    tree = shared / "golden_heareval" / "spoken_digit"
    (item,) = import_tree(tree, tmp_path)
    assert (item.model, item.task.name) == ("golden_heareval", "spoken_digit")
    assert [len(clips) for clips in item.task.clips.values()] == [600] * 5
    assert_same_tree(export(item, tmp_path / "out" / "spoken_digit"), tree)


@pytest.mark.parametrize("kind", [{}, {"multilabel": True}, {"folds": 4}])
def test_rows_arrive_at_their_clips_and_go_back(tmp_path: Path, kind: dict) -> None:
    tree = make_tree(tmp_path / "model" / "task", **kind)
    (item,) = import_tree(tree, tmp_path / "cache")
    expected, found = clip_embeddings(tree), stored_embeddings(item)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[file], found[file]) for file in expected)
    assert_same_tree(export(item, tmp_path / "out"), tree)


def test_frames_arrive_at_their_clips_and_go_back(tmp_path: Path) -> None:
    tree = make_event_tree(tmp_path / "m" / "events")
    (item,) = import_tree(tree, tmp_path / "cache")
    for split, clips in item.task.clips.items():
        index = json.loads((tree / f"{split}.filename-timestamps.json").read_text())
        x = np.fromfile(tree / f"{split}.embeddings.npy", "<f4").reshape(len(index), DIM)
        frames = item.entry.read_frames(split)
        for i, clip in enumerate(clips):
            own = [row for row, (path, _) in enumerate(index) if path.endswith(f"/{clip.file}")]
            first, last = frames.boundaries[i : i + 2]
            assert np.array_equal(frames.embeddings[first:last], x[own])
            assert frames.timestamps[first:last].tolist() == [index[row][1] for row in own]
    out = export(item, tmp_path / "embeddings" / "m" / "events")
    for split in item.task.clips:
        for name in (f"{split}.target-labels.pkl", f"{split}.filename-timestamps.json"):
            _sort_and_relocate(tree / name), _sort_and_relocate(out / name)
    assert_same_tree(out, tree)


def _sort_and_relocate(file: Path) -> None:
    """Make comparable what the original leaves open: the order of one frame's labels, and its folder."""
    if file.suffix == ".pkl":
        file.write_bytes(pickle.dumps([sorted(labels) for labels in pickle.loads(file.read_bytes())]))
    else:
        index = json.loads(file.read_text())
        file.write_text(json.dumps([[path.removeprefix("embeddings/"), time] for path, time in index]))


def _swap_frames(tree: Path) -> None:
    file = tree / "train.filename-timestamps.json"
    file.write_text(json.dumps(json.loads(file.read_text())[::-1]))


def _times_descend(tree: Path) -> None:
    file = tree / "train.filename-timestamps.json"
    file.write_text(json.dumps([[path, -time] for path, time in json.loads(file.read_text())]))


def _a_frame_less(tree: Path) -> None:
    file = tree / "train.filename-timestamps.json"
    file.write_text(json.dumps(json.loads(file.read_text())[1:]))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            _swap_frames,
            r"train\.filename-timestamps\.json does not name the clips of train\.json in the order",
        ),
        (_times_descend, r"train\.filename-timestamps\.json: the times of train-\d\.wav do not ascend"),
        (_a_frame_less, r"train has 135 embeddings, 134 times and 135 lists of labels"),
        (lambda tree: _swap_labels(tree), r"valid\.target-labels\.pkl does not list the labels"),
        (lambda tree: _write("test.filename-timestamps.json", "[1]")(tree), r"pairs of file name and ms"),
        (lambda tree: _remove("test.filename-timestamps.json")(tree), r"timestamps\.json cannot be read"),
    ],
)
def test_a_spoiled_event_tree_is_one_sentence(tmp_path: Path, spoil: Any, sentence: str) -> None:
    tree = make_event_tree(tmp_path / "m" / "events")
    spoil(tree)
    with pytest.raises(EvaluationError, match=sentence):
        import_tree(tree, tmp_path / "cache")


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_a_tree_that_changes_while_it_is_imported_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tree = (make_tree if kind == "scene" else make_event_tree)(tmp_path / "m" / "task")
    file = tree / "valid.embeddings.npy"
    rows = _Part.rows

    def rows_of_another_tree(part: _Part, which: Any) -> np.ndarray:
        file.write_bytes(file.read_bytes())
        return rows(part, which)

    monkeypatch.setattr(_Part, "rows", rows_of_another_tree)
    with pytest.raises(EvaluationError, match=r"valid\.embeddings\.npy changed while it was imported"):
        import_tree(tree, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_export_over_an_export_replaces_it(tmp_path: Path) -> None:
    (first,) = import_tree(make_tree(tmp_path / "a" / "task", seed=1), tmp_path / "cache")
    second_tree = make_tree(tmp_path / "b" / "task", seed=2)
    (second,) = import_tree(second_tree, tmp_path / "cache")
    export(first, tmp_path / "out")
    assert_same_tree(export(second, tmp_path / "out"), second_tree)


def test_export_over_the_source_is_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "model" / "task")
    (item,) = import_tree(tree, tmp_path / "cache")
    with pytest.raises(EvaluationError, match="export to another folder"):
        export(item, tree)


def test_trees_are_found_at_three_depths(tmp_path: Path) -> None:
    for model in ("a", "b"):
        for task in ("one", "two"):
            make_tree(tmp_path / "in" / model / task)
    (tmp_path / "in" / "a_r1_00" / "one").mkdir(parents=True)  # scores of a seed, no embeddings
    (tmp_path / "in" / "a" / "notes.txt").touch()

    def found(folder: Path) -> list[tuple[str, str]]:
        return [(item.model, item.task.name) for item in import_tree(folder, tmp_path / "cache")]

    assert found(tmp_path / "in") == [("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")]
    assert found(tmp_path / "in" / "b") == [("b", "one"), ("b", "two")]
    assert found(tmp_path / "in" / "b" / "two") == [("b", "two")]


def test_what_is_in_the_store_is_not_written_again_and_other_content_is_another_entry(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "model" / "task")
    (first,) = import_tree(tree, tmp_path / "cache")
    file = first.entry.path / "train.npy"
    os.utime(file, (1, 1))
    (again,) = import_tree(tree, tmp_path / "cache")
    assert again.entry.key == first.entry.key
    assert file.stat().st_mtime == 1
    x = np.memmap(tree / "test.embeddings.npy", "<f4", "r+")
    x[0] += 1
    x.flush()
    (other,) = import_tree(tree, tmp_path / "cache")
    assert other.entry.key != first.entry.key
    assert not np.array_equal(other.entry.read("test"), first.entry.read("test"))


def _swap_labels(tree: Path) -> None:
    file = tree / "valid.target-labels.pkl"
    file.write_bytes(pickle.dumps(pickle.loads(file.read_bytes())[::-1]))


def _reorder_clips(tree: Path) -> None:
    file = tree / "train.json"
    file.write_text(json.dumps(dict(reversed(json.loads(file.read_text()).items()))))


def _one_clip_less(tree: Path) -> None:
    file = tree / "train.json"
    file.write_text(json.dumps(dict(list(json.loads(file.read_text()).items())[1:])))


def _tear(tree: Path) -> None:
    file = tree / "train.embeddings.npy"
    file.write_bytes(file.read_bytes()[:-4])


def _not_a_number(tree: Path) -> None:
    np.memmap(tree / "test.embeddings.npy", "<f4", "r+")[3] = np.nan


def _other_dimension(tree: Path) -> None:
    np.zeros((12, 16), "<f4").tofile(tree / "test.embeddings.npy")
    (tree / "test.embedding-dimensions.json").write_text("[12, 16]")


def _remove(name: str) -> Any:
    return lambda tree: (tree / name).unlink()


def _write(name: str, text: str) -> Any:
    return lambda tree: (tree / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_swap_labels, r"valid\.target-labels\.pkl does not list .* do not belong together"),
        (_reorder_clips, r"train\.target-labels\.pkl does not list .* do not belong together"),
        (_one_clip_less, r"12 rows but train\.json of 11 clips"),
        (_tear, r"train\.embeddings\.npy has 380 bytes where 12 x 8 .* 384"),
        (_not_a_number, r"test\.embeddings\.npy has NaN"),
        (_other_dimension, r"embeddings of \[8, 16\] dimensions"),
        (_remove("valid.embeddings.npy"), r"valid\.embeddings\.npy is missing"),
        (_remove("valid.target-labels.pkl"), r"valid\.target-labels\.pkl cannot be read"),
        (_remove("valid.embedding-dimensions.json"), r"valid\.embedding-dimensions\.json cannot be read"),
        (_remove("labelvocabulary.csv"), r"labelvocabulary\.csv cannot be read"),
        (_write("valid.embedding-dimensions.json", "[12"), r"must hold \[rows, dimensions\]"),
        (_write("valid.embedding-dimensions.json", "[12, 8, 1]"), r"must hold \[rows, dimensions\]"),
        (_write("valid.embedding-dimensions.json", '["a", 8]'), r"two numbers above 0"),
        (_write("labelvocabulary.csv", "idx,label\n0,2\n"), r"has the label '10', which is not in"),
    ],
)
def test_a_spoiled_tree_is_one_sentence(tmp_path: Path, spoil: Any, sentence: str) -> None:
    tree = make_tree(tmp_path / "model" / "task")
    spoil(tree)
    with pytest.raises((EvaluationError, TaskError), match=sentence):
        import_tree(tree, tmp_path / "cache")


def test_no_tree_and_trees_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds no embeddings tree"):
        import_tree(tmp_path, tmp_path / "cache")
    make_tree(tmp_path / "in" / "a" / "task")
    make_tree(tmp_path / "in" / "b" / "task", clips=14)
    with pytest.raises(EvaluationError, match="one name but other clips"):
        import_tree(tmp_path / "in", tmp_path / "cache")
    shutil.rmtree(tmp_path / "in" / "b")
    assert import_tree(tmp_path / "in", tmp_path / "cache")[0].entry.identity["dim"] == DIM


class _Touch:
    """Unpickled by a trusting program, this creates a file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_labels_of_any_pickle_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    labels = [["a", 2, 0.5], [], ["ü" * 300, 2**70, -1]]
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(labels, protocol=protocol))
    assert read_label_lists(file) == labels


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    victim, file = tmp_path / "victim", tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps([["a"], [_Touch(victim)]], protocol=protocol))
    with pytest.raises(EvaluationError, match=r"x\.pkl asks for .*open on reading.*nothing of it was run"):
        read_label_lists(file)
    assert not victim.exists()


@pytest.mark.parametrize(
    "content",
    [("a",), {"a": 1}, ["a"], [("a",)], [[None]], [[True]], [[b"a"]], [[["a"]]], [[{"a": 1}]], None],
)
def test_other_plain_objects_are_refused(tmp_path: Path, content: object) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(EvaluationError, match=r"x\.pkl (must hold a list of lists|holds a label of type)"):
        read_label_lists(file)


@pytest.mark.parametrize(
    "damage", [b"", b"\x80\x04", b"not a pickle", b"\x80\x04]\x94]\x94a", b"cos\nsystem\n"]
)
def test_a_damaged_pickle_is_refused(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(damage)
    with pytest.raises(EvaluationError, match=r"x\.pkl (is not a pickled list|asks for)"):
        read_label_lists(file)


def test_a_model_s_name_becomes_a_folder_s() -> None:
    assert model_folder("hear_mwmae.mw_mae_b") == "hear_mwmae.mw_mae_b"
    assert model_folder("a.b@/x/y z.safetensors[k=1]") == "a.b-x-y-z.safetensors-k=1"
