"""Tasks from raw recordings: layouts, lengths, parts, folds, and what happens when something goes wrong."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from children import start, wait_for
from paths import ROOT
from tiny_task import write_wav

import tasks
from tasks.build import builders, pipeline
from tasks.build.builders import build_task

DATA = ROOT.parent / "shared" / "data"
GOLDEN = ROOT.parent / "shared" / "golden_heareval" / "spoken_digit"
ESC50_CLASSES = {0: "dog", 1: "rooster", 2: "pig"}


def make_digits(raw: Path, *, seconds: float = 0.3, rate: int = 8000, count: int = 10) -> Path:
    """FSDD's layout: 2 digits, `count` recordings each, as wav in recordings/."""
    rng = np.random.default_rng(1)
    for digit in range(2):
        for index in range(count):
            audio = rng.uniform(-0.5, 0.5, round(seconds * rate))
            write_wav(raw / "recordings" / f"{digit}_ann_{index}.wav", audio, rate)
    return raw


def make_esc50(raw: Path) -> Path:
    """ESC-50's layout, two classes in all five folds, `pig` in fold 1 only; 3 of 13 rows without sound."""
    rows = [(f"{f}-10{t}-A-{t}.wav", f, t, ESC50_CLASSES[t]) for f in range(1, 6) for t in (0, 1)]
    rows.append(("1-999-A-2.wav", 1, 2, "pig"))
    for name, *_ in rows:
        write_wav(raw / "audio" / name, np.zeros(4410), 44100)
    rows += [(f"{f}-888-A-0.wav", f, 0, "dog") for f in (1, 2)]
    (raw / "meta").mkdir()
    with open(raw / "meta" / "esc50.csv", "w", newline="") as out:
        csv.writer(out).writerows([("filename", "fold", "target", "category"), *rows])
    return raw


def run_cli(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tasks.build", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("seconds", [0.3, 0.9])
def test_clips_are_quantised_padded_and_cut_before_they_are_resampled(tmp_path, seconds):
    raw = make_digits(tmp_path / "raw", seconds=seconds)
    said = []
    path = build_task("spoken_digit", raw, tmp_path / "out", sample_rates=[16000, 44100], say=said.append)
    task = tasks.read_task(path)
    assert task.sample_rates == (16000, 44100)
    split, clip = next((s, c) for s, cs in task.clips.items() for c in cs if c.file == "1_ann_3.wav")
    assert clip.labels == ("1",)
    original, _ = soundfile.read(raw / "recordings" / "1_ann_3.wav", dtype="float32")
    fitted = np.zeros(4480, dtype=np.float32)
    fitted[: len(original)] = original[:4480]
    for rate in (16000, 44100):
        built = tasks.read_clip(task.audio_path(split, clip.file, rate), rate)
        assert len(built) == round(0.56 * rate)
        expected = np.clip(soxr.resample(fitted, 8000, rate, quality="HQ"), -1, 32767 / 32768)
        np.testing.assert_allclose(built, expected, atol=0.51 / 32768)


def test_a_part_says_so_in_its_name_its_metadata_and_on_the_screen(tmp_path):
    said = []
    path = build_task("spoken_digit", make_digits(tmp_path / "raw"), tmp_path / "out", say=said.append)
    assert path == tmp_path / "out" / "spoken_digit-part"
    metadata = tasks.read_metadata(path)
    assert metadata.task_name == "spoken_digit-part"
    assert metadata.part_of == "20 of 3000 clips, 2 of 10 classes"
    assert any("20 of 3000 clips, 2 of 10 classes" in line for line in said)


def test_esc50_keeps_its_folds_and_leaves_out_what_is_not_in_all_of_them(tmp_path):
    said = []
    path = build_task(
        "esc50", make_esc50(tmp_path / "raw"), tmp_path / "out", sample_rates=[16000], say=said.append
    )
    task = tasks.read_task(path)
    assert task.vocabulary == ("dog", "rooster")
    assert task.metadata.split_mode == "presplit_kfold"
    assert task.metadata.part_of == "10 of 2000 clips, 2 of 50 classes"
    assert task.sample_rates == (16000,)
    for fold, clips in enumerate(task.clips.values(), start=1):
        assert {c.file: c.labels for c in clips} == {
            f"{fold}-100-A-0.wav": ("dog",),
            f"{fold}-101-A-1.wav": ("rooster",),
        }
    assert "left out 1 clips of 1 classes that do not occur in all folds" in said


def test_a_second_run_does_nothing(tmp_path):
    raw, out = make_digits(tmp_path / "raw"), tmp_path / "out"
    path = build_task("spoken_digit", raw, out)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    said = []
    assert (
        build_task("spoken_digit", raw, out, say=said.append, progress=lambda *_: pytest.fail("built again"))
        == path
    )
    assert said == [f"{path} is already built; nothing to do"]
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before


def test_a_task_of_other_recordings_or_rates_is_not_taken_for_this_one(tmp_path):
    raw, out = make_digits(tmp_path / "raw"), tmp_path / "out"
    build_task("spoken_digit", raw, out, sample_rates=[16000])
    with pytest.raises(tasks.TaskError, match="without 44100 Hz"):
        build_task("spoken_digit", raw, out, sample_rates=[16000, 44100])
    make_digits(raw, count=11)
    with pytest.raises(tasks.TaskError, match="other recordings"):
        build_task("spoken_digit", raw, out, sample_rates=[16000])


def empty_folder(raw):
    raw.mkdir()


def add(name, content=b"x"):
    def spoil(raw):
        make_digits(raw)
        (raw / name).write_bytes(content)

    return spoil


def nan_recording(raw):
    make_digits(raw)
    soundfile.write(raw / "recordings" / "1_ann_4.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")


BAD_RAW = {
    "does not exist": lambda raw: None,
    "no sound file below": empty_folder,
    "zero.wav is not named": add("zero.wav"),
    r"recordings/1_ann_3.wav and .*1_ann_3.flac have the same name": add("1_ann_3.flac"),
    r"recordings/0_ann_5.wav is not readable": add("recordings/0_ann_5.wav", b"no sound"),
    r"recordings/0_ann_6.wav is not readable": add("recordings/0_ann_6.wav", b""),
    r"recordings/1_ann_4.wav has samples that are NaN": nan_recording,
}


@pytest.mark.parametrize("message", BAD_RAW)
def test_bad_recordings_stop_the_build_and_are_named(tmp_path, message):
    BAD_RAW[message](tmp_path / "raw")
    with pytest.raises(tasks.TaskError, match=message):
        build_task("spoken_digit", tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_esc50_recordings_without_a_row_or_without_a_fold_are_errors(tmp_path):
    raw = make_esc50(tmp_path / "raw")
    write_wav(raw / "audio" / "extra.wav", np.zeros(10), 44100)
    with pytest.raises(tasks.TaskError, match=r"extra.wav is in no CSV table"):
        build_task("esc50", raw, tmp_path / "out")
    (raw / "audio" / "extra.wav").unlink()
    for file in (raw / "audio").glob("3-*"):
        file.unlink()
    with pytest.raises(tasks.TaskError, match=r"fold02 has no recording"):
        build_task("esc50", raw, tmp_path / "out")
    (raw / "meta" / "esc50.csv").unlink()
    with pytest.raises(tasks.TaskError, match=r"no CSV file with the columns filename, fold and category"):
        build_task("esc50", raw, tmp_path / "out")


def test_command_line_teaches_works_and_fails_in_one_sentence(tmp_path):
    helped = run_cli("--help")
    assert helped.returncode == 0
    assert all(word in helped.stdout for word in ("esc50", "mridangam_tonic", "example:", "--sample-rates"))
    raw = make_digits(tmp_path / "raw")
    built = run_cli("spoken_digit", "--raw", raw, "--out", tmp_path / "out", "--sample-rates", 16000)
    assert built.returncode == 0, built.stderr
    assert "20 clips in 5 folds at 16000 Hz" in built.stdout
    (tmp_path / "file").write_text("")
    assert built.stderr == "", "a log is not filled with progress bars"
    for arguments, message in [
        (("beehive", "--raw", raw, "--out", tmp_path), "error: there is no builder for 'beehive'"),
        (("esc50", "--raw", tmp_path / "none", "--out", tmp_path), "error: the folder of recordings"),
        (("spoken_digit", "--raw", raw, "--out", tmp_path / "file"), "error: cannot write"),
    ]:
        failed = run_cli(*arguments)
        assert failed.returncode == 2
        assert failed.stderr.startswith(message)
        assert failed.stderr.count("\n") == 1
    assert run_cli("spoken_digit", "--raw", raw, "--out", raw, "--sample-rates", "x").returncode == 2


def test_an_archive_is_refused_with_the_remedy(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "recordings.zip").write_bytes(b"x")
    with pytest.raises(tasks.TaskError, match=r"no sound file below .*; unpack recordings.zip there"):
        build_task("spoken_digit", raw, tmp_path / "out")
    with pytest.raises(tasks.TaskError, match=r"recordings.zip is a file; unpack it and give the folder"):
        build_task("spoken_digit", raw / "recordings.zip", tmp_path / "out")


def test_clips_are_not_written_among_the_recordings(tmp_path):
    raw = make_digits(tmp_path / "raw")
    with pytest.raises(tasks.TaskError, match=r"my-tasks lies in .*raw, .*; choose another --out"):
        build_task("spoken_digit", raw, raw / "my-tasks")
    assert [path.name for path in raw.iterdir()] == ["recordings"]


def spoil_two(tmp_path: Path) -> Path:
    raw = make_digits(tmp_path / "raw")
    (raw / "recordings" / "0_ann_5.wav").write_bytes(b"no sound")
    (raw / "recordings" / "1_ann_7.wav").write_bytes(b"")
    return raw


def test_skipped_recordings_are_named_counted_and_move_no_other(tmp_path):
    raw, said = spoil_two(tmp_path), []
    calls = []
    path = build_task(
        *("spoken_digit", raw, tmp_path / "out"),
        skip_bad=2,
        say=said.append,
        reading=lambda done, total: calls.append(("read", done, total)),
        progress=lambda done, total: calls.append(("write", done, total)),
    )
    assert calls == [("read", i + 1, 20) for i in range(20)] + [("write", i + 1, 18) for i in range(18)]
    assert any("0_ann_5.wav is not readable" in line for line in said)
    assert any("1_ann_7.wav is not readable" in line for line in said)
    assert "left out 2 recordings that could not be read" in said
    part = tasks.read_task(path)
    assert part.metadata.part_of == "18 of 3000 clips, 2 of 10 classes"
    assert part.metadata.extra["build_notes"] == ["left out 2 recordings that could not be read"]
    make_digits(tmp_path / "good")
    good = tasks.read_task(build_task("spoken_digit", tmp_path / "good", tmp_path / "all"))
    bad = {"0_ann_5.wav", "1_ann_7.wav"}
    assert part.clips == {
        fold: tuple(c for c in clips if c.file not in bad) for fold, clips in good.clips.items()
    }
    again = []
    assert build_task("spoken_digit", raw, tmp_path / "out", skip_bad=2, say=again.append) == path
    assert again == [f"{path} is already built; nothing to do"]


def test_a_whole_task_with_a_skipped_recording_is_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(builders, "BUILDERS", (tiny_builder(20),))
    whole = build_task("spoken_digit", make_digits(tmp_path / "good"), tmp_path / "out")
    assert whole.name == "spoken_digit-fsdd-full"
    raw, said = spoil_two(tmp_path), []
    path = build_task("spoken_digit", raw, tmp_path / "other", skip_bad=5, say=said.append)
    assert path.name == "spoken_digit-part"
    assert tasks.read_metadata(path).part_of == "18 of 20 clips, 2 of 10 classes"
    again = []
    assert build_task("spoken_digit", raw, tmp_path / "other", skip_bad=5, say=again.append) == path
    assert again == [f"{path} is already built; nothing to do"]


def tiny_builder(clips: int) -> pipeline.Builder:
    """FSDD's builder, for a data set of that many clips."""
    builder = next(b for b in builders.BUILDERS if b.info.short_name == "FSDD")
    return dataclasses.replace(builder, info=dataclasses.replace(builder.info, clips=clips))


def test_more_bad_recordings_than_allowed_stop_the_build(tmp_path):
    raw, said = spoil_two(tmp_path), []
    with pytest.raises(tasks.TaskError, match=r"2 of 20 recordings are bad, more than --skip-bad 1 allows"):
        build_task("spoken_digit", raw, tmp_path / "out", skip_bad=1, say=said.append)
    assert len(said) == 2
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_half_made(tmp_path):
    raw, out = make_digits(tmp_path / "raw", seconds=20.0, count=200, rate=2000), tmp_path / "out"
    command = [sys.executable, "-m", "tasks.build", "spoken_digit", "--raw", str(raw), "--out", str(out)]
    with start([*command, "--sample-rates", "16000", "44100"], cwd=ROOT) as child:
        wait_for(child, lambda: list(out.glob(".*partial*/16000/*/*.wav")))
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=240)
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "stopped; nothing half-made was left: run the same command again."
    assert list(out.iterdir()) == []


@pytest.mark.skipif(not DATA.exists(), reason="the real recordings are not here")
def test_real_spoken_digits_give_the_golden_folds(tmp_path):
    path = build_task("spoken_digit", DATA / "fsdd", tmp_path, sample_rates=[8000])
    assert path.name == "spoken_digit-fsdd-full"
    task = tasks.read_task(path)
    assert task.metadata.part_of is None
    for fold, clips in task.clips.items():
        golden = json.loads((GOLDEN / f"{fold}.json").read_text())
        assert [(c.file, list(c.labels)) for c in clips] == [(f, [str(v[0])]) for f, v in golden.items()]
    source, _ = soundfile.read(DATA / "fsdd" / "audio" / "0_george_0.flac", dtype="float32")
    clip = tasks.read_clip(task.audio_path("fold00", "0_george_0.wav", 8000), 8000)
    np.testing.assert_array_equal(clip[: len(source)], source)
    assert len(clip) == 4480


@pytest.mark.skipif(not DATA.exists(), reason="the real recordings are not here")
def test_real_esc50_part_becomes_the_400_clips_of_esc10(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "write_clips", lambda folder, *_: make_empty_rate(folder))
    said = []
    with pytest.raises(tasks.TaskError, match="is missing"):
        tasks.read_task(build_task("esc50", DATA / "esc50_part", tmp_path, say=said.append))
    assert "left out 331 clips of 40 classes that do not occur in all folds" in said
    with open(DATA / "esc50_part" / "esc50_part.csv", newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["esc10"] == "True"]
    for fold in range(5):
        entries = json.loads((tmp_path / "esc50-part" / f"fold0{fold}.json").read_text())
        ours = {name: labels[0] for name, labels in entries.items()}
        assert ours == {r["esc50_filename"]: r["category"] for r in rows if r["fold"] == str(fold + 1)}
        assert len(ours) == 80


def make_empty_rate(folder: Path) -> list:
    for fold in range(5):
        (folder / "16000" / f"fold0{fold}").mkdir(parents=True)
    return []
