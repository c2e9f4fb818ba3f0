"""`tasks.list`: what HEAR has, what is on the disk, and a user's own tasks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from tiny_task import make_task

import tasks
from tasks.list import list_tasks, table


@pytest.fixture
def directory(tmp_path):
    make_task(tmp_path / "gunshot", task_name="gunshot_triangulation", clips=30)
    notes = ["the folds are other ones"]
    make_task(tmp_path / "own", task_name="gunshot_triangulation", clips=30, build_notes=notes)
    make_task(tmp_path / "esc50-part", task_name="esc50-part", mode="part", part_of="12 of 2000 clips")
    make_task(tmp_path / "esc50-sample", task_name="esc50-sample", mode="sample", synthetic=True)
    make_task(tmp_path / "libricount-v1.0.0-hear2021-full", task_name="libricount")
    make_task(tmp_path / "zebra", task_name="zebra", sample_duration=90.0)
    broken = make_task(tmp_path / "tfds_crema_d-1.0.0-full", task_name="tfds_crema_d")
    (broken / "train.json").unlink()
    return tmp_path


def test_without_a_directory_all_are_absent_and_the_papers_come_first():
    listed = list_tasks()
    assert [t.directory for t in listed] == [info.directory for info in tasks.HEAR19_TASKS]
    assert {t.state for t in listed} == {"absent"}
    assert [t.in_paper for t in listed] == [True] * 10 + [False] * 10
    bo = listed[0]
    assert (bo.hours, bo.clips, bo.classes, bo.metric) == (0.3, 236, 4, "top1_acc")
    assert (bo.licence, bo.citation) == ("CC BY 3.0", "tian2014study")


def test_states_rates_and_own_tasks(directory):
    listed = list_tasks(directory)
    states = {(t.name, Path(t.path).name): t.state for t in listed if t.path}
    assert states == {
        ("Gunshot", "gunshot"): "whole",
        ("ESC-50", "esc50-part"): "part",
        ("ESC-50", "esc50-sample"): "sample",
        ("LC", "libricount-v1.0.0-hear2021-full"): "part",
        ("CD", "tfds_crema_d-1.0.0-full"): "damaged",
        ("Gunshot", "own"): "differs",
        ("zebra", "zebra"): "own",
    }
    assert len(listed) == 23
    own = listed[-1]
    assert (own.hours, own.clips, own.classes, own.metric) == (0.3, 12, 2, "top1_acc")
    assert own.sample_rates == (48000,)
    assert next(t for t in listed if t.name == "ESC-50").clips_on_disk == 12


@pytest.mark.parametrize("width", [80, 100])
def test_the_tables_fit_the_terminal_and_say_all(directory, width):
    text = table(list_tasks(directory), width)
    assert max(map(len, text.splitlines())) <= width
    first, second = text.split("\n\n")
    assert len(first.splitlines()) == 24
    for info in tasks.HEAR19_TASKS:
        for known in (info.directory, info.citation, info.description, info.licence):
            assert known.replace(" ", "") in second.replace("\n", "").replace(" ", "")
    assert any(line.split()[:4] == ["LC", "part", "(12)", "48"] for line in first.splitlines())


def test_command_line(directory, tmp_path):
    command = [sys.executable, "-m", "tasks.list", "--tasks-dir", str(directory)]
    said = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [t["name"] for t in json.loads(said.stdout)] == [t.name for t in list_tasks(directory)]
    command[-1] = str(tmp_path / "nowhere")
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert failed.stderr.startswith("error: the tasks directory")
