"""Recordings that are odd but real: what is made of them, what is said of them, and what is refused."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import ROOT
from tiny_task import make_task, write_wav

import tasks
from tasks.build.builders import build_own_task, build_task
from tasks.check.task import check_task

RATE = 8000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 1600)
SPLITS = ("train", "valid", "test")


def make(root: Path, names: dict[str, str] | None = None, column: str = "split") -> tuple[Path, Path]:
    """A table `birds.csv` of three recordings of each of two labels, and their folder."""
    raw, rows = root / "recordings", []
    for i, (label, split) in enumerate((label, split) for split in SPLITS for label in ("no", "yes")):
        file = (names or {}).get(f"{i}.wav", f"{i}.wav")
        write_wav(raw / file, np.roll(NOISE, i), RATE)
        rows.append(f"{file},{label},{split}\n")
    (root / "birds.csv").write_text(f"filename,label,{column}\n{''.join(rows)}", encoding="utf-8")
    return root / "birds.csv", raw


def built(root: Path, **options) -> tuple[tasks.Task, list[str]]:
    said: list[str] = []
    path = build_own_task(root / "birds.csv", root / "recordings", root / "out", say=said.append, **options)
    return tasks.read_task(path), said


@pytest.mark.parametrize(
    ("rates", "written"),
    [
        ([8000], (8000,)),
        ([16000], (16000,)),
        ([22050, 8000], (16000, 22050)),
        ([44100], (16000, 44100)),
        ([96000], (16000, 44100)),
    ],
)
def test_only_rates_that_are_real_are_written_unless_others_are_asked_for(tmp_path, rates, written):
    _, raw = make(tmp_path)
    for i in range(6):
        soundfile.write(raw / f"{i}.wav", np.roll(NOISE, i), rates[i % len(rates)])
    assert built(tmp_path)[0].sample_rates == written
    assert built(tmp_path)[1] == [f"{tmp_path / 'out' / 'birds'} is already built; nothing to do"]
    with pytest.raises(tasks.TaskError, match=r"without 11025 Hz; remove it"):
        built(tmp_path, sample_rates=[11025])


def test_lengths_are_what_decodes_and_what_ends_early_is_named(tmp_path):
    _, raw = make(tmp_path)
    soundfile.write(raw / "0.flac", np.tile(NOISE, 10), RATE, subtype="PCM_16")
    content = bytearray((raw / "0.flac").read_bytes())
    content[22:26] = bytes(4)  # length unknown
    (raw / "0.wav").write_bytes(content)
    soundfile.write(raw / "1.wav", np.tile(NOISE, 10), RATE)
    (raw / "1.wav").write_bytes((raw / "1.wav").read_bytes()[:16044])
    task, said = built(tmp_path)
    assert task.metadata.sample_duration == 2.0
    clip = tasks.read_clip(task.audio_path("train", "0.wav", RATE), RATE)
    np.testing.assert_allclose(clip, np.tile(NOISE, 10), atol=1e-4)
    clip = tasks.read_clip(task.audio_path("train", "1.wav", RATE), RATE)
    np.testing.assert_allclose(clip[:8000], np.tile(NOISE, 5), atol=1e-4)
    assert not clip[8000:].any()
    told = [line for line in said if "ends early" in line]
    assert told == [
        f"{raw / '1.wav'} ends early: 1 s of the 2 s that its header promises; what decodes was taken, "
        "restore it and build anew for all of it"
    ]


def test_channels_that_cancel_are_told_from_silence_and_samples_beyond_full_scale_are_told(tmp_path):
    _, raw = make(tmp_path)
    soundfile.write(raw / "0.wav", np.stack([NOISE, -NOISE], 1), RATE)
    soundfile.write(raw / "1.wav", np.stack([0 * NOISE, 0 * NOISE], 1), RATE)
    soundfile.write(raw / "2.wav", 3 * NOISE, RATE, subtype="FLOAT")
    _, said = built(tmp_path)
    assert "1 of 6 clips are silent: the raw recordings hold no sound there" in said
    assert any("of 1 of 6 recordings the channels cancel each other" in s and "0.wav" in s for s in said)
    assert (
        "1 of 6 recordings exceed full scale and are cut off there (2.wav has 1.5 times full scale)" in said
    )
    soundfile.write(raw / "3.wav", 32768 * NOISE, RATE, subtype="FLOAT")
    with pytest.raises(tasks.TaskError, match=r"3\.wav has samples up to 1\.6.*e\+04, where full scale is 1"):
        build_own_task(tmp_path / "birds.csv", raw, tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("d\\c.wav", "is not a plain file name"),
        (".c.wav", "begins with a dot"),
        ("c\x07.wav", "control characters"),
        ("x" * 130 + "/" + "y" * 130 + ".wav", "is longer than 255 bytes"),
    ],
)
def test_what_could_not_be_read_again_is_not_built(tmp_path, name, why):
    make(tmp_path, {"0.wav": name})
    with pytest.raises(tasks.TaskError, match=rf"birds\.csv: line 2: .*{why}"):
        built(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["all", "paper", ".birds", "esc50"])
def test_a_table_whose_name_means_another_thing_is_refused(tmp_path, name):
    table, raw = make(tmp_path)
    table = table.rename(tmp_path / f"{name}.csv")
    with pytest.raises(tasks.TaskError, match=rf"{name}"):
        build_own_task(table, raw, tmp_path / "out")


ALIKE = {
    "filename": ("1.wav,yes,train", "\u00660.wav,yes,train", "\u00660.wav", "F0.wav"),
    "label": (",no,valid", ",No,valid", None, None),
    "fold": ("0.wav,no,train", "0.wav,no,tra\u200bin", None, None),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_names_that_look_alike_are_an_error_with_both_lines(tmp_path, kind):
    before, after, new, other = ALIKE[kind]
    table, raw = make(tmp_path, {"0.wav": other} if other else None, column="fold")
    if new:
        write_wav(raw / new, NOISE, RATE)
    table.write_text(table.read_text().replace(before, after, 1))
    with pytest.raises(tasks.TaskError, match=rf"the {kind} .* of line \d looks like .* of line \d; write"):
        built(tmp_path)


def test_labels_of_a_data_sets_own_table_that_look_alike_are_an_error_with_both_lines(tmp_path):
    audio = tmp_path / "train" / "audio"
    for i in range(2):
        write_wav(audio / f"{i}.wav", NOISE, RATE)
    (tmp_path / "train" / "x_labels.csv").write_text("filename,label\n0.wav,ANG\n1.wav,Ang\n")
    with pytest.raises(
        tasks.TaskError, match=r"x_labels\.csv: the label 'Ang' of line 3 looks like 'ANG' of line 2"
    ):
        build_task("tfds_crema_d", tmp_path, tmp_path.parent / "out")


def test_a_note_of_several_lines_is_refused(tmp_path):
    make(tmp_path)
    with pytest.raises(tasks.TaskError, match="the note has control characters or line ends; give it as one"):
        built(tmp_path, note="one\ntwo")


def test_a_file_whose_name_is_only_written_otherwise_is_pointed_at(tmp_path):
    table, raw = make(tmp_path)
    (raw / "0.wav").rename(raw / "cafe\u0301.wav")
    table.write_text(table.read_text().replace("0.wav", "caf\u00e9.wav"), encoding="utf-8")
    with pytest.raises(tasks.TaskError, match=r"line 2 names caf.*, which is not in .*looks like it"):
        built(tmp_path)


def test_a_recording_whose_name_is_no_text_is_refused_or_left_out(tmp_path):
    raw = tmp_path / "raw"
    for digit in range(2):
        for i in range(10):
            write_wav(raw / f"{digit}_ann_{i}.wav", np.roll(NOISE, 10 * digit + i), RATE)
    os.rename(raw / "0_ann_3.wav", os.fsencode(raw) + b"/0_ann\xe9_3.wav")
    with pytest.raises(tasks.TaskError, match=r"the clip '0_ann\\xe9_3\.wav' has bytes that are no text"):
        build_task("spoken_digit", raw, tmp_path / "out")
    path = build_task("spoken_digit", raw, tmp_path / "out", skip_bad=1)
    assert sum(map(len, tasks.read_task(path).clips.values())) == 19
    assert all(finding.remark for finding in check_task(path))


def test_recordings_behind_links_are_taken_and_those_of_systems_are_not(tmp_path):
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    for digit in range(2):
        for i in range(10):
            write_wav((disk if digit else raw) / f"{digit}_ann_{i}.wav", np.roll(NOISE, 10 * digit + i), RATE)
    (raw / "linked").symlink_to(disk)
    (disk / "back").symlink_to(raw)
    for junk in ("._0_ann_1.wav", ".Trash-1000/files/0_ann_11.wav", "__MACOSX/._0_ann_1.wav"):
        (raw / junk).parent.mkdir(parents=True, exist_ok=True)
        (raw / junk).write_bytes(b"x")
    path = build_task("spoken_digit", raw, tmp_path / "out")
    assert sum(map(len, tasks.read_task(path).clips.values())) == 20


def in_ascii(*arguments: object) -> subprocess.CompletedProcess:
    """A command where file names and output are ASCII."""
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False)


def test_in_another_locale_names_are_sentences_too(tmp_path):
    table, raw = make(tmp_path, {"0.wav": "café.wav"})
    done = in_ascii("tasks.build", table, "--raw", raw, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"caf" in done.stderr
    task = make_task(tmp_path / "dré")
    for split in SPLITS:
        names = {f"{split}-{i}é.wav": [(2, 10)[i % 2]] for i in range(4)}
        (task / f"{split}.json").write_text(json.dumps(names))
        for i in range(4):
            os.rename(
                task / "48000" / split / f"{split}-{i}.wav", task / "48000" / split / f"{split}-{i}é.wav"
            )
    assert check_task(task) == []
    done = in_ascii("tasks.check", task)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1
    done = in_ascii("tasks.list", "--tasks-dir", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_folder_whose_number_is_no_rate_is_no_source_and_costs_nothing(tmp_path):
    root = make_task(tmp_path / "mine", rate=8000, sample_duration=None)
    os.rename(root / "8000", root / "1")
    for name in ("999999999999999999999", "0", "01600", "192001"):
        (root / name).mkdir()
    for file in (root / "1").glob("*/*.wav"):
        write_wav(file, NOISE[:100], 1)
    with pytest.raises(tasks.TaskError, match=r"no sample-rate folder .*1000 to 192000 Hz"):
        tasks.read_task(root)
    found = {f.where for f in check_task(root)}
    assert found == {"1", "999999999999999999999", "0", "01600", "192001", "."}


def test_a_clip_that_would_have_too_many_samples_is_refused_before_it_is_made(tmp_path):
    _, raw = make(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        tasks.TaskError, match=r"\d\.wav: 36000 s have more than 268435456 samples at 8000 Hz"
    ):
        built(tmp_path, seconds=36000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
    soundfile.write(raw / "0.wav", np.tile(NOISE, 600), 1000)
    with pytest.raises(tasks.TaskError, match=r"\d\.wav: 3000 s have more than .* samples at 192000 Hz"):
        built(tmp_path, seconds=3000, sample_rates=[192000])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
