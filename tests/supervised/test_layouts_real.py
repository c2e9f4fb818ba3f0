"""Labelled data on real parts of data sets, whose numbers their SOURCE.txt says."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from labelled import sentence, text

from hear_mwmae.supervised.data.find import folds_of, read_labelled_data


def part_of(shared: Path, name: str) -> Path:
    """Return a file of real data."""
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside this checkout")
    return path


def test_real_part_of_esc50(shared: Path) -> None:
    """ESC-10 is complete; of the others fold 4 is, and 5 of the 40 have clips in another fold."""
    table = part_of(shared, "esc50_part/esc50_part.csv")
    assert folds_of(table, subset="esc10") == ("1", "2", "3", "4", "5")
    for fold in "15":
        data = read_labelled_data(table, fold=fold, subset="esc10")
        assert (len(data.training), len(data.test), len(data.classes), data.missing) == (320, 80, 10, ())
    assert "'airplane' has clips in the part 'test' and none for training, like 34 others" in sentence(
        table, fold="4"
    )


def rewritten(source: Path, target: Path, columns: dict[str, str]) -> Path:
    """Write a table with some of its columns called otherwise."""
    header, *rows = source.read_text(encoding="utf-8").splitlines()
    return text(target, ",".join(columns.get(name, name) for name in header.split(",")), *rows)


@pytest.mark.parametrize(
    ("name", "columns", "folds", "clips", "classes", "tested"),
    [
        ("fsdd", {"digit": "label", "speaker": "fold"}, 6, 3000, 10, {500}),
        ("mridangam_part", {"stroke": "label", "suggested_fold": "fold"}, 5, 2879, 9, None),
        ("mridangam_part", {"tonic": "label", "suggested_fold": "fold"}, 5, 2879, 6, None),
    ],
)
def test_real_tables(
    shared: Path,
    tmp_path: Path,
    name: str,
    columns: dict[str, str],
    folds: int,
    clips: int,
    classes: int,
    tested: set[int] | None,
) -> None:
    source = part_of(shared, f"{name}/{name}.csv")
    table = rewritten(source, tmp_path / "mine.csv", columns)
    assert len(folds_of(table)) == folds
    data = read_labelled_data(table, fold=folds_of(table)[0], sound=source.parent / "audio")
    assert len(data.training + data.validation + data.test) == clips
    assert (len(data.classes), data.missing) == (classes, ())
    assert tested is None or {len(data.test), len(data.validation)} == tested


def test_real_task_directory(shared: Path, tmp_path: Path) -> None:
    """HEAR's own archive: 20 clips in each of five folds."""
    name = "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"
    with tarfile.open(part_of(shared, f"hear_mini/{name}")) as archive:
        archive.extractall(tmp_path, filter="data")
    task = tmp_path / "hear-2021.0.6/tasks/spoken_digit-1.0.9-small"
    assert folds_of(task) == tuple(f"fold{i:02}" for i in range(5))
    data = read_labelled_data(task, fold="fold04")
    parts = (data.training, data.validation, data.test)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert {clip.path.parent.name for clip in data.validation} == {"fold00"}
    assert (data.classes, data.missing) == (tuple("0123456789"), ())


def test_real_folders_of_speech_commands(shared: Path, tmp_path: Path) -> None:
    """Of each of 35 words two to four clips; the lists are whole, of 9981 and 11005 clips."""
    with zipfile.ZipFile(part_of(shared, "hear_mini/speech_commands_v0.02-small.zip")) as archive:
        archive.extractall(tmp_path)
    data = read_labelled_data(tmp_path, subset="v1")
    there = len([path for path in tmp_path.rglob("*.wav") if path.parent.name != "_background_noise_"])
    assert len(data.training + data.validation + data.test) == there
    assert len(data.missing) == 9981 + 11005 - len(data.validation + data.test) + 1
