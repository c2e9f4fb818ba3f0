"""A cache that cannot be written is told as what it is, and the run goes on without storing."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from paths import MODELS
from run_helpers import arguments, scores
from tiny_task import make_task

from evaluation.embedding.cache import writable_cache
from evaluation.run import main as run_main


def test_a_cache_that_can_be_written_is_itself(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert writable_cache(tmp_path / "new" / "cache") == tmp_path / "new" / "cache"
    assert list((tmp_path / "new" / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda cache: cache.write_text(""), "cache is a file, no folder"),
        (
            lambda cache: (cache.mkdir(), (cache / "embeddings").write_text("")),
            "embeddings is a file, no folder",
        ),
    ],
)
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, make, sentence: str) -> None:
    make(tmp_path / "cache")
    with pytest.warns(UserWarning, match=sentence):
        other = writable_cache(tmp_path / "cache")
    assert other.is_dir()
    assert not other.is_relative_to(tmp_path)


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path, error: int = 30) -> None:
    """Let nothing be made in a folder, as on a file system that is mounted read-only."""
    make = os.open

    def no_new_files(path: str, flags: int, *more: object, **options: object) -> int:
        if flags & os.O_CREAT and Path(os.path.abspath(path)).is_relative_to(folder):
            raise OSError(error, os.strerror(error), str(path))
        return make(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", no_new_files)


def test_what_is_in_a_read_only_cache_is_used_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    for name in ("a", "b"):
        make_task(tmp_path / "tasks" / f"{name}-v1-full", task_name=name)
    cache = tmp_path / "cache"
    line = arguments(tmp_path / "tasks", tmp_path, "--preset", "quick", "--seeds", "1", "--cache", str(cache))
    assert run_main([*line, "--tasks", "a"]) == 0
    there = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    whole = {path.name: np.load(path) for path in cache.rglob("*.npy")}
    capsys.readouterr()
    refuse(monkeypatch, cache)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run_main([*line, "--run", "second"]) == 0
    shown = capsys.readouterr()
    assert "cannot be written (Read-only file system); what is in it is used" in shown.err
    assert "embedded: 1 of 2 tasks" in shown.out
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == there
    assert len(scores(tmp_path / "second")) == 4
    assert whole


def test_a_full_disk_is_no_read_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    refuse(monkeypatch, tmp_path / "cache", 28)
    assert writable_cache(tmp_path / "cache") == tmp_path / "cache"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_entry_of_somebody_else(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "embeddings" / "key"
    entry.mkdir(parents=True)
    (entry / "test.npy").write_bytes(b"1")
    entry.chmod(0o555)
    with pytest.warns(UserWarning, match="key cannot be written"):
        other = writable_cache(tmp_path / "cache")
    assert (other / "embeddings" / "key" / "test.npy").read_bytes() == b"1"
