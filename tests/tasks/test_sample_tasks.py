"""The sample tasks: true to the tasks they stand for, the same on every run, neither trivial nor hopeless."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tasks
from tasks.errors import TaskError
from tasks.sample.tasks import SAMPLE_TASKS, write_sample_tasks

NAMES = [task.metadata.task_name for task in tasks.PAPER_TASKS]


@pytest.fixture(scope="module")
def samples(sample_tasks):
    return {path.name.removesuffix("-sample"): tasks.read_task(path) for path in sample_tasks.iterdir()}


@pytest.mark.parametrize("real", tasks.PAPER_TASKS, ids=NAMES)
def test_a_sample_is_its_task_in_everything_but_size(samples, real):
    sample = samples[real.metadata.task_name]
    same = ("embedding_type", "prediction_type", "split_mode", "splits", "nfolds", "evaluation")
    for name in same:
        assert getattr(sample.metadata, name) == getattr(real.metadata, name), name
    assert sample.metadata.synthetic
    assert "not comparable" in sample.metadata.extra["note"]
    assert sample.metadata.base_name == real.metadata.task_name
    assert sample.sample_rates == (16000, 44100)
    assert 60 <= sum(map(len, sample.clips.values())) <= 150
    for split, clips in sample.clips.items():
        assert {label for clip in clips for label in clip.labels} == set(sample.vocabulary), split


@pytest.mark.parametrize("real", tasks.PAPER_TASKS, ids=NAMES)
def test_clips_have_the_promised_length_and_are_audible_and_unclipped(samples, real):
    sample = samples[real.metadata.task_name]
    lengths = set()
    for split, clips in sample.clips.items():
        for clip in clips:
            low = tasks.read_clip(sample.audio_path(split, clip.file, 16000), 16000)
            high = tasks.read_clip(sample.audio_path(split, clip.file, 44100), 44100)
            assert abs(len(low) / 16000 - len(high) / 44100) < 1e-4
            assert 0.001 < np.sqrt(np.mean(high**2)) < 0.5
            assert np.abs(high).max() < 0.99
            lengths.add(len(low))
    if real.metadata.sample_duration is None:
        assert sample.metadata.sample_duration is None
        assert len(lengths) > 30
        assert min(lengths) >= 0.3 * 16000
        assert max(lengths) <= 1.9 * 16000 + 1
    else:
        assert sample.metadata.sample_duration == min(real.metadata.sample_duration, 1.9)
        assert lengths == {round(sample.metadata.sample_duration * 16000)}


def test_multilabel_clips_have_one_to_three_labels(samples):
    counts = {len(clip.labels) for clips in samples["fsd50k"].clips.values() for clip in clips}
    assert counts == {1, 2, 3}


def test_mridangam_stroke_and_tonic_share_their_sound(samples):
    digests = []
    for name in ("mridangam_stroke", "mridangam_tonic"):
        task = samples[name]
        files = {c.file: task.audio_path(s, c.file, 16000) for s, clips in task.clips.items() for c in clips}
        digests.append({file: path.read_bytes() for file, path in files.items()})
    assert digests[0] == digests[1]


def test_another_run_gives_the_same_bytes(samples, tmp_path):
    names = ["mridangam_tonic", "speech_commands-sample"]
    calls = []
    again = write_sample_tasks(tmp_path, names, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, len(calls)) for i in range(len(calls))]
    assert [path.name for path in again] == ["mridangam_tonic-sample", "speech_commands-sample"]
    for path in again:
        first = samples[path.name.removesuffix("-sample")].path
        files = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
        assert all((path / file).read_bytes() == (first / file).read_bytes() for file in files)


def test_a_finished_one_is_left_alone_and_an_older_one_replaced(samples, tmp_path):
    directory = next(iter(samples.values())).path.parent
    paths = write_sample_tasks(directory, progress=lambda *_: pytest.fail("made again"))
    assert [path.name for path in paths] == [f"{name}-sample" for name in NAMES]
    old = samples["mridangam_stroke"]
    metadata = dataclasses.replace(old.metadata, version="synthetic-0")
    tasks.write_task(tmp_path / "mridangam_stroke-sample", metadata, old.clips)
    (path,) = write_sample_tasks(tmp_path, ["mridangam_stroke"])
    assert tasks.read_task(path).metadata == old.metadata


def test_what_is_no_sample_is_never_replaced(samples, tmp_path):
    real = dataclasses.replace(samples["esc50"].metadata, synthetic=False)
    tasks.write_task(tmp_path / "esc50-sample", real, samples["esc50"].clips)
    with pytest.raises(tasks.TaskError, match="is not a synthetic task"):
        write_sample_tasks(tmp_path, ["esc50"])
    assert (tmp_path / "esc50-sample" / "fold00.json").exists()


def test_an_unknown_sample_is_an_error_that_lists_what_there_is(tmp_path):
    with pytest.raises(tasks.TaskError, match="no sample task 'esc51'; there are: beijing_opera, "):
        write_sample_tasks(tmp_path, ["esc51"])


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "tasks.sample", "--out", str(tmp_path), "--tasks", "mridangam_stroke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 synthetic sample task" in done.stdout
    assert done.stderr == "", "a log is not filled with progress bars"
    failed = subprocess.run([*command[:-1], "nothing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: there is no sample task 'nothing'")


def log_spectrum(audio):
    """Mean and deviation over time of the log energy in 48 bands, 16 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, 512)), 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 256, 49).round().astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


@pytest.mark.parametrize("name", [s.base_name for s in SAMPLE_TASKS if s.base_name != "fsd50k"])
def test_a_plain_spectrum_is_well_above_chance_and_below_the_ceiling(samples, name):
    task = samples[name]
    test = task.metadata.splits[-1]
    rows = {True: [], False: []}
    for split, clips in task.clips.items():
        for clip in clips:
            audio = tasks.read_clip(task.audio_path(split, clip.file, 16000), 16000)
            rows[split == test].append((log_spectrum(audio), clip.labels[0]))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    model.fit(*map(list, zip(*rows[False], strict=True)))
    accuracy = model.score(*map(list, zip(*rows[True], strict=True)))
    assert accuracy > 1.8 / len(task.vocabulary)
    assert accuracy < 0.97 or name == "beijing_opera"


def test_a_sample_task_that_lost_a_clip_is_made_anew(tmp_path: Path) -> None:
    (task,) = write_sample_tasks(tmp_path, ["mridangam_stroke"])
    clip = next(task.rglob("*.wav"))
    content = clip.read_bytes()
    clip.unlink()
    write_sample_tasks(tmp_path, ["mridangam_stroke"])
    assert clip.read_bytes() == content
    (task / "task_metadata.json").write_text("{")
    with pytest.raises(TaskError, match="is damaged; delete it, and it is made again"):
        write_sample_tasks(tmp_path, ["mridangam_stroke"])
