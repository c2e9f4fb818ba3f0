"""The lock: what is in it, and that every difference from the disk is found."""

import hashlib
import json

import pytest

from tasks import TaskError
from tasks.lock import Difference, LockedTask, differences, hash_files, list_files, read_lock, write_lock


def locked(folder, **changes) -> LockedTask:
    values = {
        "source": "https://example.org/a.tar.gz",
        "checksum": "md5:0",
        "clips": 1,
        "benchmark_clips": None,
        "silent_clips": 0,
        "files": hash_files(folder),
    }
    return LockedTask(**{**values, **changes})


@pytest.fixture
def directory(tmp_path):
    for task, file in [("a", "fold00.json"), ("a", "16000/fold00/x.wav"), ("b", "y.json")]:
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
    assert differences(directory, ["b"]) == [Difference("missing", "tasks/b/y.json")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 1, "tasks": {"a": {"clips": 1}}}', "cannot be read"),
        ('{"format": 2, "tasks": {}}', "another version"),
    ],
)
def test_a_damaged_lock_is_named(tmp_path, text, why):
    (tmp_path / "tasks.lock.json").write_text(text)
    with pytest.raises(TaskError, match=rf"tasks.lock.json .*{why}"):
        read_lock(tmp_path)
