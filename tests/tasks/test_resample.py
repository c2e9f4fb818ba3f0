"""Sample rates that a task lacks: chosen, resampled once, cached whole or not at all."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from paths import ROOT
from tiny_task import make_task, write_wav

import tasks
from tasks.format import resample as resample_module
from tasks.format.audio import resample
from tasks.work import new_directory


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ((16000, 48000), 16000, 16000),
        ((16000, 44100, 48000), 32000, 44100),
        ((8000, 16000), 22050, 16000),
        ((48000,), 16000, 48000),
    ],
)
def test_source_rate(present, wanted, expected):
    assert tasks.source_rate(present, wanted) == expected


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (8000, 44100)])
def test_clips_are_those_that_ffmpeg_makes_with_soxr(from_rate, to_rate):
    """ffmpeg 9.0.2, `-af aresample=resampler=soxr`, as HEAR's preprocessing; 16 bits in and out."""
    with np.load(ROOT / "tests" / "data" / "ffmpeg_soxr.npz") as made:
        before, theirs = made[f"{from_rate}"], made[f"{from_rate}-{to_rate}"]
    ours = np.rint(resample((before / 32768).astype(np.float32), from_rate, to_rate) * 32768)
    assert len(ours) == len(theirs)
    assert np.abs(ours - theirs).max() <= 1, "measured 0; another processor may round otherwise"


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48000, 16000), (44100, 16000), (8000, 44100)])
def test_a_sine_stays_that_sine(from_rate, to_rate):
    before = np.sin(2 * np.pi * 1000 * np.arange(from_rate) / from_rate).astype(np.float32)
    after = resample(before, from_rate, to_rate)
    exact = np.sin(2 * np.pi * 1000 * np.arange(to_rate) / to_rate)
    assert len(after) == to_rate
    assert after.dtype == np.float32
    middle = slice(to_rate // 10, -to_rate // 10)
    assert np.abs(after - exact)[middle].max() < 5e-6


def test_what_the_new_rate_cannot_hold_falls_below_one_16_bit_step():
    before = np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resample(before, 48000, 16000)[2000:-2000]).max() < 0.5 / 32768


def test_a_present_rate_needs_no_work(tmp_path):
    task = tasks.read_task(make_task(tmp_path / "tiny"))
    assert tasks.resample_task(task, 48000, tmp_path / "cache") is task
    assert not (tmp_path / "cache").exists()


def test_a_missing_rate_is_made_once_from_the_nearest_and_cached(tmp_path, monkeypatch):
    root = make_task(tmp_path / "tiny", rate=48000)
    make_task(tmp_path / "low", rate=8000)
    os.rename(tmp_path / "low" / "8000", root / "8000")
    task, calls = tasks.read_task(root), []
    made = tasks.resample_task(task, 16000, tmp_path / "cache", progress=lambda *done: calls.append(done))
    assert calls == [(i + 1, 12) for i in range(12)]
    assert made.sample_rates == (16000,)
    assert made.path == task.path
    assert made.clips == task.clips
    source = tasks.read_clip(task.audio_path("valid", "valid-2.wav", 48000), 48000)
    clip = tasks.read_clip(made.audio_path("valid", "valid-2.wav", 16000), 16000)
    np.testing.assert_allclose(clip, resample(source, 48000, 16000), atol=0.51 / 32768)
    monkeypatch.setattr(resample_module, "write_rates", None)
    assert tasks.resample_task(task, 16000, tmp_path / "cache") == made


def test_changed_content_is_resampled_anew(tmp_path):
    root = make_task(tmp_path / "tiny")
    first = tasks.resample_task(tasks.read_task(root), 16000, tmp_path / "cache")
    write_wav(root / "48000" / "test" / "test-0.wav", np.full(12000, 0.25), 48000)
    second = tasks.resample_task(tasks.read_task(root), 16000, tmp_path / "cache")
    assert first.audio_root != second.audio_root
    clip = tasks.read_clip(second.audio_path("test", "test-0.wav", 16000), 16000)
    assert abs(clip[1000:3000] - 0.25).max() < 1e-3


def test_a_clip_that_is_replaced_while_others_are_resampled_makes_no_entry(tmp_path, monkeypatch):
    """Replaced and put back, it would be kept under the digest of what is not in it."""
    task = tasks.read_task(make_task(tmp_path / "tiny"))
    victim = task.audio_path("test", "test-0.wav", 48000)
    original, read = victim.read_bytes(), resample_module.read_clip_and_digest

    def replaced(path, rate):
        if path == victim:
            write_wav(victim, np.full(12000, 0.25), 48000)
        found = read(path, rate)
        victim.write_bytes(original)
        return found

    monkeypatch.setattr(resample_module, "read_clip_and_digest", replaced)
    with pytest.raises(tasks.TaskError, match=r"tiny changed while it was being resampled; run again"):
        tasks.resample_task(task, 16000, tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["digests.json"]


def test_a_bad_clip_is_named_and_leaves_nothing(tmp_path):
    task = tasks.read_task(make_task(tmp_path / "tiny"))
    bad = task.audio_path("valid", "valid-3.wav", 48000)
    bad.write_bytes(b"no sound")
    with pytest.raises(tasks.TaskError, match=str(bad)):
        tasks.resample_task(task, 16000, tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["digests.json"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resample_module, "write_clip", full)
    task = tasks.read_task(make_task(tmp_path / "tiny"))
    with pytest.raises(tasks.TaskError, match=r"cannot write .*No space left on device.*make room"):
        tasks.resample_task(task, 16000, tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["digests.json"]


def test_a_killed_run_is_never_half_read_and_leaves_no_rubbish(tmp_path):
    root = make_task(tmp_path / "tiny", clips=60, seconds=2.0)
    cache = tmp_path / "cache"
    code = f"import tasks; tasks.resample_task(tasks.read_task({str(root)!r}), 16000, {str(cache)!r})"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 20
    while not list(cache.glob(".*partial*/16000/train/*.wav")) and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(cache.glob(".*partial*"))
    made = tasks.resample_task(tasks.read_task(root), 16000, cache)
    assert not list(cache.glob(".*partial*"))
    assert len(list(made.audio_root.rglob("*.wav"))) == 180
    for split, clips in made.clips.items():
        for clip in clips:
            assert len(tasks.read_clip(made.audio_path(split, clip.file, 16000), 16000)) == 32000


def test_of_two_who_make_the_same_directory_the_first_wins(tmp_path):
    with new_directory(tmp_path / "a") as second:
        (second / "file").write_text("second")
        with new_directory(tmp_path / "a") as first:
            (first / "file").write_text("first")
    assert (tmp_path / "a" / "file").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
