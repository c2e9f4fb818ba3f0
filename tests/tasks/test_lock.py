"""The lock: what is in it, and that every difference from the disk is found."""

import hashlib
import json

import pytest

from tasks import TaskError
from tasks.fetch.lock import (
    Difference,
    LockedTask,
    differences,
    hash_files,
    list_files,
    read_lock,
    write_lock,
)


def locked(folder, **changes) -> LockedTask:
    values = {
        "source": "https://example.org/a.tar.gz",
        "checksum": "md5:" + "0" * 32,
        "clips": 1,
        "benchmark_clips": None,
        "silent_clips": 0,
        "files": hash_files(folder),
    }
    return LockedTask(**{**values, **changes})


@pytest.fixture
def directory(tmp_path):
    for task, file in [
        ("a", "task_metadata.json"),
        ("a", "fold00.json"),
        ("a", "16000/fold00/x.wav"),
        ("b", "task_metadata.json"),
        ("b", "48000/y.wav"),
    ]:
        path = tmp_path / "tasks" / task / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{task} {file}")
    write_lock(tmp_path, {task: locked(tmp_path / "tasks" / task) for task in ("b", "a")})
    return tmp_path


def test_the_lock_says_what_the_files_are(directory):
    content = json.loads((directory / "tasks.lock.json").read_text())
    assert list(content["tasks"]) == ["a", "b"]
    sha = hashlib.sha256(b"a 16000/fold00/x.wav").hexdigest()
    assert content["tasks"]["a"]["files"]["16000/fold00/x.wav"] == sha
    assert read_lock(directory)["a"] == locked(directory / "tasks" / "a")
    assert sorted(p.name for p in directory.iterdir()) == ["tasks", "tasks.lock.json"]


def test_nothing_differs_and_nothing_is_locked_elsewhere(directory, tmp_path_factory):
    assert differences(directory, ["a", "b"]) == []
    assert read_lock(tmp_path_factory.mktemp("empty")) == {}


def test_every_difference_is_found_by_name(directory):
    tasks = directory / "tasks"
    (tasks / "a" / "fold00.json").unlink()
    wav = tasks / "a" / "16000" / "fold00" / "x.wav"
    wav.write_text("A 16000/fold00/x.wav")  # of the same length
    (tasks / "b" / "more" / "z").mkdir(parents=True)
    (tasks / "b" / "more" / "z" / "extra.json").write_text("")
    assert differences(directory, ["a", "b"]) == [
        Difference("changed", "tasks/a/16000/fold00/x.wav"),
        Difference("missing", "tasks/a/fold00.json"),
        Difference("extra", "tasks/b/more/z/extra.json"),
    ]
    assert differences(directory, ["b"]) == [Difference("extra", "tasks/b/more/z/extra.json")]


def test_a_task_that_is_gone_is_missing_whole(directory):
    (directory / "tasks" / "b").rename(directory / "elsewhere")
    assert list_files(directory / "tasks" / "b") == set()
    assert differences(directory, ["b"]) == [
        Difference("missing", "tasks/b/48000/y.wav"),
        Difference("missing", "tasks/b/task_metadata.json"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "nested more than"),
        ('{"format": ' + "1" * 5000 + "}", "beyond 64 bits"),
        ('{"format": 1, "tasks": {}, "tasks": {}}', "twice"),
        ("{}", "does not hold a format and tasks"),
        ("[]", "does not hold a format and tasks"),
        ('{"format": 1}', "does not hold a format and tasks"),
        ('{"format": 1, "tasks": {}}', "holds no task"),
        ('{"format": 1, "tasks": ["a"]}', "holds no task"),
        ('{"format": 1, "tasks": {"a": {}}}', "a does not have the fields source, "),
        ('{"format": 1, "tasks": {"a": null}}', "a does not have the fields"),
        ('{"format": 2, "tasks": {}}', "another version"),
    ],
)
def test_a_damaged_lock_is_named(tmp_path, text, why):
    (tmp_path / "tasks.lock.json").write_text(text)
    with pytest.raises(TaskError, match=rf"tasks.lock.json .*{why}.*(;|restore it)"):
        read_lock(tmp_path)


WHOLE = ["task_metadata.json", "48000/x.wav"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"files": {}}, "task_metadata.json or the sound of a is not in it"),
        ({"files": WHOLE[:1]}, "or the sound of a is not in it"),
        ({"files": WHOLE[1:]}, "task_metadata.json or the sound"),
        ({"files": WHOLE, "clips": 2}, "fewer files at 48000 Hz than clips of a"),
        ({"files": {**dict.fromkeys(WHOLE, "0" * 64), "x": ""}}, "the files of a have no SHA-256"),
        ({"files": dict.fromkeys(WHOLE, 7)}, "the files of a have no SHA-256"),
        ({"files": [*WHOLE, "../../etc/passwd"]}, "'../../etc/passwd' in a is no path"),
        ({"files": [*WHOLE, "/etc/passwd"]}, "is no path"),
        ({"files": [*WHOLE, "48000//x.wav"]}, "is no path"),
        ({"files": None}, "the files of a have no SHA-256"),
        ({"clips": -1}, "the numbers of clips of a"),
        ({"clips": "1"}, "the numbers of clips of a"),
        ({"clips": True}, "the numbers of clips of a"),
        ({"silent_clips": 2}, "the numbers of clips of a"),
        ({"benchmark_clips": []}, "the numbers of clips of a"),
        ({"checksum": ""}, "a has no source with an MD5"),
        ({"checksum": "md5:"}, "a has no source with an MD5"),
        ({"source": None}, "a has no source with an MD5"),
        ({"more": 1}, "a does not have the fields"),
    ],
)
def test_a_partial_lock_is_not_taken_for_a_whole_one(directory, changes, why):
    content = json.loads((directory / "tasks.lock.json").read_text())
    if isinstance(changes.get("files"), list):
        changes = {**changes, "files": dict.fromkeys(changes["files"], "0" * 64)}
    content["tasks"]["a"] |= changes
    (directory / "tasks.lock.json").write_text(json.dumps(content))
    with pytest.raises(TaskError, match=rf"tasks.lock.json cannot be used \(.*{why}.*restore it"):
        read_lock(directory)


def test_a_lock_that_is_no_file_is_named(tmp_path):
    (tmp_path / "tasks.lock.json").symlink_to("nowhere")
    with pytest.raises(TaskError, match=r"tasks.lock.json cannot be used \(No such file"):
        read_lock(tmp_path)
