"""A task of one's own from a CSV table: divisions, labels, lengths, what is told, and every mistake."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import MODELS, ROOT
from run_helpers import ledger_lines
from tiny_task import write_wav

import tasks
from evaluation import run
from tasks.build.__main__ import main
from tasks.build.builders import build_own_task
from tasks.check.task import check_task
from tasks.hear.folds import grouped_folds

RATE = 8000


def make_own(root: Path, rows: list[dict], *, name: str = "birds", seconds: float = 0.2) -> tuple[Path, Path]:
    """Write a table of `rows` and a noise of `seconds` for each; return table and folder."""
    rng = np.random.default_rng(3)
    raw = root / "recordings"
    for row in rows:
        write_wav(raw / row["filename"], rng.uniform(-0.5, 0.5, round(seconds * RATE)), RATE)
    return write_table(root / f"{name}.csv", rows), raw


def write_table(table: Path, rows: list[dict], encoding: str = "utf-8") -> Path:
    with open(table, "w", newline="", encoding=encoding) as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def speakers(*names: str) -> list[dict]:
    """Two recordings of each of two words by every speaker, and a column of no interest."""
    return [
        {"take": i, "label": word, "fold": name, "filename": f"{name}{word}{i}.wav"}
        for name in names
        for word in ("no", "yes")
        for i in range(2)
    ]


def in_splits() -> list[dict]:
    rows = [
        {"filename": f"{split}/{label}.wav", "label": label, "split": split}
        for split in ("train", "valid", "test")
        for label in ("cat", "dog", "cat;dog")
    ]
    return [{**row, "filename": row["filename"].replace(";", "+")} for row in rows]


def in_groups(groups: int = 12) -> list[dict]:
    """Groups of one label each, of 1, 2 or 3 recordings."""
    return [
        {"filename": f"{g}-{i}.wav", "label": "ab"[g % 2], "group": f"source {g}"}
        for g in range(groups)
        for i in range(1 + g % 3)
    ]


def problems(path: Path) -> list[str]:
    return [f"{f.where}: {f.what}" for f in check_task(path)]


def test_folds_are_the_tables_values_and_are_named(tmp_path):
    table, raw = make_own(tmp_path, speakers("10", "9", "2"))
    said = []
    path = build_own_task(table, raw, tmp_path / "out", sample_rates=[RATE], say=said.append)
    assert path == tmp_path / "out" / "birds"
    assert problems(path) == []
    task = tasks.read_task(path)
    assert task.metadata.split_mode == "presplit_kfold"
    assert task.metadata.prediction_type == "multiclass"
    assert task.metadata.evaluation == ("top1_acc", "mAP", "d_prime", "aucroc")
    assert task.metadata.is_published, "a task without notes has nothing to say under a table"
    values = {"fold00": "2", "fold01": "9", "fold02": "10"}
    assert task.metadata.extra["fold_values"] == values
    assert "fold00 is 2, fold01 is 9, fold02 is 10" in said
    for fold, value in values.items():
        assert {c.file: c.labels[0] for c in task.clips[fold]} == {
            f"{value}{word}{i}.wav": word for word in ("no", "yes") for i in range(2)
        }


def test_several_labels_make_a_multilabel_task_and_folders_are_in_the_clips_names(tmp_path):
    table, raw = make_own(tmp_path, in_splits())
    write_table(table, in_splits(), encoding="utf-8-sig")
    path = build_own_task(table, raw, tmp_path / "out", sample_rates=[RATE])
    assert problems(path) == []
    task = tasks.read_task(path)
    assert (task.metadata.split_mode, task.metadata.nfolds) == ("trainvaltest", None)
    assert task.metadata.prediction_type == "multilabel"
    assert task.metadata.evaluation == ("mAP", "d_prime", "aucroc", "top1_acc")
    assert {c.file: c.labels for c in task.clips["valid"]} == {
        "valid_cat.wav": ("cat",),
        "valid_cat+dog.wav": ("cat", "dog"),
        "valid_dog.wav": ("dog",),
    }


@pytest.mark.parametrize(("wanted", "seconds"), [(None, 0.313), (0.25, 0.25)])
def test_clips_are_as_long_as_the_longest_recording_or_as_asked(tmp_path, wanted, seconds):
    table, raw = make_own(tmp_path, in_splits())
    long = np.random.default_rng(4).uniform(-0.5, 0.5, 2501)
    write_wav(raw / "test" / "cat.wav", long, RATE)
    said = []
    out = tmp_path / "out"
    path = build_own_task(table, raw, out, seconds=wanted, sample_rates=[RATE], say=said.append)
    task = tasks.read_task(path)
    assert task.metadata.sample_duration == seconds
    clip = tasks.read_clip(task.audio_path("test", "test_cat.wav", RATE), RATE)
    kept = min(2501, round(seconds * RATE))
    assert len(clip) == round(seconds * RATE)
    np.testing.assert_allclose(clip[:kept], long[:kept], atol=0.51 / 32768)
    assert not clip[kept:].any()
    told = {
        None: "clips last 0.313 s, as the longest recording (half of them last 0.2 s or less); --duration",
        0.25: "clips last 0.25 s: 1 recordings are cut and 8 padded with silence",
    }
    assert any(line.startswith(told[wanted]) for line in said), said


def test_groups_stay_whole_whatever_the_order_of_the_rows(tmp_path):
    rows = in_groups()
    table, raw = make_own(tmp_path, rows)
    path = build_own_task(table, raw, tmp_path / "out", nfolds=3, note="a note", sample_rates=[RATE])
    assert problems(path) == []
    task = tasks.read_task(path)
    assert (task.metadata.split_mode, task.metadata.nfolds) == ("new_split_kfold", 3)
    assert task.metadata.build_notes == ("a note",)
    folds_of = {}
    for fold, clips in task.clips.items():
        assert Counter(c.labels[0] for c in clips) == {"a": 4, "b": 4}, "24 clips of 2 labels in 3 folds"
        for clip in clips:
            folds_of.setdefault(clip.file.split("-")[0], set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    write_table(table, rows[::-1])
    again = build_own_task(table, raw, tmp_path / "again", nfolds=3, note="a note", sample_rates=[RATE])
    assert tasks.read_task(again).clips == task.clips


def test_the_largest_groups_of_the_rarest_label_come_first():
    """By hand: x's three groups take one fold each, then y's largest fills the smallest fold."""
    sizes = {"p": ("x", 3), "q": ("x", 2), "r": ("x", 1), "s": ("y", 4), "t": ("y", 2), "u": ("y", 1)}
    sizes["v"] = ("y", 1)
    keys = {f"{g}{i}": (label, g) for g, (label, n) in sizes.items() for i in range(n)}
    folds = grouped_folds({k: (v[0],) for k, v in keys.items()}, {k: v[1] for k, v in keys.items()}, 3)
    assert {fold: sorted({key[0] for key in part}) for fold, part in folds.items()} == {
        "fold00": ["p", "u", "v"],
        "fold01": ["q", "t"],
        "fold02": ["r", "s"],
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=20), st.integers(3, 5))
def test_every_fold_has_every_label_that_enough_groups_have(more, nfolds):
    groups = [(label, 1) for label in range(3) for _ in range(nfolds)] + more
    keys = {f"{g}.{i}": (str(label), str(g)) for g, (label, size) in enumerate(groups) for i in range(size)}
    folds = grouped_folds({k: (v[0],) for k, v in keys.items()}, {k: v[1] for k, v in keys.items()}, nfolds)
    assert sorted(key for part in folds.values() for key in part) == sorted(keys)
    where = {(keys[key][1], fold) for fold, part in folds.items() for key in part}
    assert len(where) == len(groups), "a group is in one fold"
    largest = {label: max(n for which, n in groups if which == label) for label in range(3)}
    for label in range(3):
        counts = [sum(keys[key][0] == str(label) for key in part) for part in folds.values()]
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= largest[label], "balanced as far as the largest group allows"


def test_a_second_run_does_nothing_unless_something_else_is_asked_for(tmp_path):
    table, raw = make_own(tmp_path, speakers("a", "b", "c"))
    out, said = tmp_path / "out", []
    path = build_own_task(table, raw, out, sample_rates=[RATE])
    assert build_own_task(table, raw, out, sample_rates=[RATE], say=said.append) == path
    assert said == [f"{path} is already built; nothing to do"]
    for message, options in {
        r"has clips of 0.2 s, not 0.3 s; remove it": {"seconds": 0.3},
        r"was built with other notes; remove it": {"note": "changed"},
    }.items():
        with pytest.raises(tasks.TaskError, match=message):
            build_own_task(table, raw, out, sample_rates=[RATE], **options)
    rows = speakers("a", "b", "c")
    write_table(table, [{**row, "label": row["label"].upper()} for row in rows])
    with pytest.raises(tasks.TaskError, match="was built from other recordings; remove it"):
        build_own_task(table, raw, out, sample_rates=[RATE])


def test_a_recording_that_cannot_be_read_stops_the_build_or_is_left_out(tmp_path):
    table, raw = make_own(tmp_path, speakers("a", "b", "c"))
    (raw / "byes1.wav").write_bytes(b"no sound")
    with pytest.raises(tasks.TaskError, match=r"byes1.wav is not readable"):
        build_own_task(table, raw, tmp_path / "out", sample_rates=[RATE])
    assert list((tmp_path / "out").iterdir()) == []
    path = build_own_task(table, raw, tmp_path / "out", sample_rates=[RATE], skip_bad=1)
    assert path.name == "birds-part"
    assert tasks.read_metadata(path).part_of == "11 of 12 clips, 2 of 2 classes"
    assert problems(path) == []


@pytest.mark.parametrize("folds", ["a", "abc"])
def test_what_is_left_out_must_leave_every_label_in_every_split(tmp_path, folds):
    rows = speakers("a", "b", "c")
    table, raw = make_own(tmp_path, rows)
    bad = [row for row in rows if row["fold"] in folds and row["label"] == "no"]
    for row in bad:
        (raw / row["filename"]).write_bytes(b"no sound")
    with pytest.raises(tasks.TaskError, match="bad recordings fold00 has none with the label 'no'; restore"):
        build_own_task(table, raw, tmp_path / "out", sample_rates=[RATE], skip_bad=len(bad))
    assert not (tmp_path / "out").exists()


def changed(where: int = 0, **values: str):
    """Spoil a value of a good table of speakers."""

    def spoil(root: Path) -> None:
        rows = speakers("a", "b", "c")
        rows[where].update(values)
        write_table(root / "birds.csv", rows)

    return spoil


def renamed(**columns: str):
    def spoil(root: Path) -> None:
        rows = [{columns.get(k, k): v for k, v in row.items()} for row in speakers("a", "b", "c")]
        write_table(root / "birds.csv", rows)

    return spoil


def rows_of(make, change):
    return lambda root: make_own(root, [row for row in make() if change(row)])


SAME_NAME = ("a/0.wav", "a_0.wav", "1.wav", "2.wav")
MISTAKES = {
    "birds.csv does not exist; check": lambda root: (root / "birds.csv").unlink(),
    "birds.csv has no row; add": lambda root: (root / "birds.csv").write_text("filename,label,fold\n"),
    "has no column filename, only 'filename;label;fold'; separate": lambda root: (
        root / "birds.csv"
    ).write_text("filename;label;fold\na.wav;dog;1\n"),
    "has no column filename, only 'take', 'label', 'fold', 'file'": renamed(filename="file"),
    "of the columns split, fold and group .* has none; add one": renamed(fold="speaker"),
    "of the columns split, fold and group .* has fold and group; keep one": renamed(take="group"),
    "line 2 has no label": changed(label=""),
    "ano0.wav has no label": changed(label=" ; "),
    "line 2 has no fold": changed(fold=" "),
    "names nowhere.wav, which is not in .*recordings; add the file or remove": changed(
        filename="nowhere.wav"
    ),
    "birds.csv: line 2: ../x.wav must be a path from": changed(filename="../x.wav"),
    r"has 2 lines for ayes1.wav \(2 and 5\); make them one": changed(filename="ayes1.wav"),
    "line 4 is not in UTF-8": lambda root: (root / "birds.csv").write_bytes(
        "filename,label,fold\nano0.wav,a,1\nano1.wav,b,2\nayes0.wav,é,3\n".encode("latin-1")
    ),
    "has the label 'yes' only": rows_of(lambda: speakers("a", "b", "c"), lambda row: row["label"] == "yes"),
    "column fold has only a and b; there must be three": rows_of(lambda: speakers("a", "b"), bool),
    r"fold01 \(b\) has no recording with the label no; scores": rows_of(
        lambda: speakers("a", "b", "c"), lambda row: (row["fold"], row["label"]) != ("b", "no")
    ),
    "the split of train/cat.wav is 'training'; it must be": lambda root: make_own(
        root, [{**row, "split": row["split"].replace("train", "training")} for row in in_splits()]
    ),
    "valid has no recording; add": rows_of(in_splits, lambda row: row["split"] != "valid"),
    r"fewer groups than 5 folds have 'a' \(4\), 'b' \(4\); leave": rows_of(lambda: in_groups(8), bool),
    "have the same name; remove one": lambda root: make_own(
        root, [{**row, "filename": name} for row, name in zip(speakers("a"), SAME_NAME, strict=True)]
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(tmp_path, message):
    make_own(tmp_path, speakers("a", "b", "c"))
    MISTAKES[message](tmp_path)
    with pytest.raises(tasks.TaskError, match=message) as error:
        build_own_task(tmp_path / "birds.csv", tmp_path / "recordings", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit_are_refused(tmp_path, capsys):
    table, raw = make_own(tmp_path, speakers("a", "b", "c"))
    place = ["--raw", str(raw), "--out", str(tmp_path / "out")]
    for arguments, message in {
        (str(table), "--folds", "4"): "error: --folds is for a table with the column group",
        ("esc50", "--duration", "5"): "error: --duration, --folds and --note are for a table of your own",
        (
            str(write_table(tmp_path / "esc50-part.csv", speakers("a"))),
        ): "error: esc50-part is the name of one of HEAR's",
    }.items():
        assert main([*arguments, *place]) == 2
        assert capsys.readouterr().err.startswith(message)
    for option in (("--folds", "2"), ("--duration", "0"), ("--duration", "nan")):
        with pytest.raises(SystemExit, match="2"):
            main([str(table), *option, *place])


def test_the_command_builds_what_an_evaluation_runs(tmp_path, monkeypatch, capsys):
    table, raw = make_own(tmp_path, speakers("a", "b", "c", "d", "e", "f"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tasks.build", str(table), "--raw", str(raw), "--out", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    assert built.stdout.splitlines()[-1] == f"built {out / 'birds'}: 24 clips in 6 folds at 8000 Hz"
    monkeypatch.syspath_prepend(str(MODELS))
    wanted = [
        "--tasks",
        str(out / "birds"),
        "--models",
        "band_energy",
        "--results",
        str(tmp_path / "results"),
    ]
    assert run.main([*wanted, "--preset", "quick", "--seeds", "1", "--no-report", "--run", "own"]) == 0
    lines = ledger_lines(tmp_path / "results" / "own")
    assert {line["key"]["test"] for line in lines} == {f"fold0{i}" for i in range(6)}
    assert "birds" in capsys.readouterr().out
