"""Prepared tasks from a record: what arrives, what is refused, what goes on after an interruption."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from children import start, wait_for
from filelock import FileLock
from paths import ROOT
from record_server import pack, serving
from tiny_task import make_task, write_wav

import tasks
from tasks.fetch import download, plan
from tasks.fetch.__main__ import main
from tasks.fetch.fetch import fetch, verify
from tasks.fetch.install import Rates
from tasks.fetch.lock import read_lock
from tasks.fetch.plan import ArchiveSource
from tasks.fetch.zenodo import read_record
from tasks.format.audio import resample

BO, ESC = "beijing_opera-v1.0-hear2021-full", "esc50-v2.0.0-full"
BO_FILE, ESC_FILE = f"hear2021-{BO}-48000.tar.gz", f"hear2021-{ESC}-48000.tar.gz"


@pytest.fixture(autouse=True)
def _no_proxy_no_patience(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "_WAITS", (0.01, 0.01))


@pytest.fixture(scope="module")
def bo(tmp_path_factory) -> bytes:
    """An archive of Beijing Opera with as many clips as the benchmark says: 236 in five folds, very short."""
    task = tmp_path_factory.mktemp("bo") / "task"
    folds = {"split_mode": "new_split_kfold", "splits": [f"fold0{i}" for i in range(5)], "nfolds": 5}
    make_task(task, clips=47, seconds=0.01, **folds)
    names = json.loads((task / "fold00.json").read_text())
    (task / "fold00.json").write_text(json.dumps({**names, "one-more.wav": [2]}))
    write_wav(task / "48000" / "fold00" / "one-more.wav", np.full(480, 0.1), 48000)
    return pack(task, BO, "tasks")


@pytest.fixture(scope="module")
def esc(tmp_path_factory) -> bytes:
    """An archive of ESC-50's name with 12 clips of noise."""
    return pack(make_task(tmp_path_factory.mktemp("esc") / "task"), ESC)


def run(record, directory: Path, *names: str, **options) -> list[str]:
    said: list[str] = []
    fetch(names or [ESC], directory, source=ArchiveSource(server=record.url), say=said.append, **options)
    return said


def tree(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def assert_nothing_visible(directory: Path) -> None:
    """No task, no lock, no whole archive: at most hidden parts of downloads."""
    assert [path for path in tree(directory) if not Path(path).name.startswith(".")] == []


def test_two_tasks_arrive_whole_resampled_and_locked(tmp_path, bo, esc):
    with serving({BO_FILE: bo, ESC_FILE: esc, "LICENSE.txt": b"x"}) as record:
        said = run(record, tmp_path, "BO", "esc50")
    assert f"to download: {(len(bo) + len(esc)) / 1e3:.3g} kB" in " ".join(said)
    for name, clips in [(BO, 236), (ESC, 12)]:
        task = tasks.read_task(tmp_path / "tasks" / name)
        assert task.sample_rates == (16000, 48000)
        entry = read_lock(tmp_path)[name]
        assert (entry.clips, entry.silent_clips) == (clips, 0)
        assert entry.source == f"{record.url}/records/6332517/files/hear2021-{name}-48000.tar.gz"
        files = tree(task.path)
        assert entry.files == {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    assert entry.checksum == f"md5:{hashlib.md5(esc).hexdigest()}"
    source = tasks.read_clip(task.audio_path("valid", "valid-1.wav", 48000), 48000)
    clip = tasks.read_clip(task.audio_path("valid", "valid-1.wav", 16000), 16000)
    np.testing.assert_allclose(clip, resample(source, 48000, 16000), atol=0.51 / 32768)
    warnings = [line for line in said if "WARNING" in line]
    assert len(warnings) == 1
    assert "esc50-v2.0.0-full has 12 clips, but the benchmark's page says 2000" in warnings[0]
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "tasks",
        "tasks.lock.json",
    ]


def test_a_second_run_does_nothing_and_asks_nobody(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        run(record, tmp_path)
        before, asked = tree(tmp_path), len(record.requests)
        said = run(record, tmp_path, "ESC-50")
        assert len(record.requests) == asked
    assert said == [f"nothing to do, 1 task installed in {tmp_path / 'tasks'}"]
    assert tree(tmp_path) == before


def test_the_plan_downloads_and_writes_nothing(tmp_path, bo, esc):
    with serving({BO_FILE: bo, ESC_FILE: esc}) as record:
        said = run(record, tmp_path / "new", BO, ESC, plan_only=True)
        assert [path for path, _ in record.requests] == ["/api/records/6332517"]
    assert not (tmp_path / "new").exists()
    assert any(BO in line and "download" in line and "236 clips" in line for line in said)


def test_a_connection_that_breaks_off_goes_on_where_it_was(tmp_path, bo):
    third = len(bo) // 3
    with serving({BO_FILE: bo}, cut={BO_FILE: [third, third]}) as record:
        run(record, tmp_path, BO)
        first, *later = record.asked(BO_FILE)
    assert first is None
    assert len(later) == 2
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in later]
    assert 0 < starts[0] <= third < starts[1] <= 2 * third
    assert (tmp_path / "tasks" / BO).is_dir()


def test_a_download_that_failed_goes_on_in_the_next_run(tmp_path, bo):
    half = len(bo) // 2
    with serving({BO_FILE: bo}, cut={BO_FILE: [half, 0, 0, 0]}) as record:
        with pytest.raises(tasks.TaskError, match=r"keeps breaking off.*goes on where it stopped"):
            run(record, tmp_path, BO)
        assert_nothing_visible(tmp_path)
        tries = len(record.asked(BO_FILE))
        run(record, tmp_path, BO)
        assert record.asked(BO_FILE)[tries] == f"bytes={half}-"
    assert verify(tmp_path, say=str)


def test_a_server_without_ranges_starts_anew(tmp_path, bo):
    cut = {BO_FILE: [len(bo) // 2]}
    with serving({BO_FILE: bo}, cut=cut, ignores_range=True) as record:
        run(record, tmp_path, BO)
        assert len(record.asked(BO_FILE)) == 2
    assert verify(tmp_path, say=str)


def test_a_busy_server_is_asked_again(tmp_path, esc):
    with serving({ESC_FILE: esc}, status={ESC_FILE: [503, 429]}) as record:
        run(record, tmp_path)
        assert len(record.asked(ESC_FILE)) == 3


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        ({"checksums": {ESC_FILE: "0" * 32}}, "another checksum than its record promises"),
        ({"status": {ESC_FILE: [404]}}, r"could not be downloaded \(404 Not Found\)"),
        ({"status": {ESC_FILE: [503] * 9}}, r"could not be downloaded \(503 Service Unavailable\)"),
        ({"sizes": {ESC_FILE: 100}}, "larger than its record says"),
        ({"sizes": {ESC_FILE: 10**7}}, "keeps breaking off"),
    ],
)
def test_what_the_record_did_not_promise_is_not_installed(tmp_path, esc, faults, why):
    with serving({ESC_FILE: esc}, **faults) as record, pytest.raises(tasks.TaskError, match=why):
        run(record, tmp_path)
    assert_nothing_visible(tmp_path)


def test_a_wrong_checksum_leaves_no_part_to_go_on_from(tmp_path, esc):
    with serving({ESC_FILE: esc}, checksums={ESC_FILE: "0" * 32}) as record:
        with pytest.raises(tasks.TaskError, match="checksum"):
            run(record, tmp_path)
        record.checksums.clear()
        run(record, tmp_path)
        assert record.asked(ESC_FILE) == [None, None]


@pytest.mark.parametrize("half", [True, False])
def test_a_bad_archive_whose_checksum_fits_is_refused_by_name(tmp_path, esc, half):
    if half:
        content, why = esc[: len(esc) // 2], "truncated or damaged"
    else:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            link = tarfile.TarInfo(f"tasks/{ESC}/48000")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc"
            tar.addfile(link)
        content, why = out.getvalue(), "not safe"
    with (
        serving({ESC_FILE: content}) as record,
        pytest.raises(tasks.TaskError, match=rf"{ESC_FILE} is {why}"),
    ):
        run(record, tmp_path)
    assert not list((tmp_path / "tasks").iterdir())
    assert read_lock(tmp_path) == {}


def test_an_archive_that_lacks_a_clip_is_named_not_its_temporary_folder(tmp_path):
    task = make_task(tmp_path / "task")
    (task / "48000" / "test" / "test-2.wav").unlink()
    with serving({ESC_FILE: pack(task, ESC)}) as record, pytest.raises(tasks.TaskError) as error:
        run(record, tmp_path / "d")
    assert f"{ESC_FILE}/test.json names test-2.wav" in str(error.value)
    assert "partial" not in str(error.value)


def test_records_that_are_none_are_named(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        with pytest.raises(tasks.TaskError, match=r"lists no files \(no such record\); check --record"):
            read_record("1", record.url)
        with pytest.raises(tasks.TaskError, match=r"no archive of tfds_crema_d.*, nonsense; .*of: esc50"):
            run(record, tmp_path, "CD", "nonsense")
        record.answer = lambda: b"<html>"
        with pytest.raises(tasks.TaskError, match="does not answer as a Zenodo record"):
            read_record(server=record.url)
        record.answer = lambda: b'{"files": [{"key": "a"}]}'
        with pytest.raises(tasks.TaskError, match="unknown form"):
            read_record(server=record.url)
    with pytest.raises(tasks.TaskError, match=r"cannot be reached \(Connection refused\).*--archives"):
        read_record(server=record.url)
    assert not list(tmp_path.iterdir())


def test_names_of_files_that_leave_the_folder_are_passed_over(esc):
    with serving({"../../escaped": esc, ESC_FILE: esc}) as record:
        assert list(read_record(server=record.url)) == [ESC_FILE]


def test_a_disk_that_is_too_small_is_said_before_the_download(tmp_path, esc, monkeypatch):
    # ESC-50: 2000 clips of 5 s in 16 bits take 1.28 GB at 48 and 16 kHz, 1.12 GB at 48 and 8 kHz.
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: SimpleNamespace(free=1.2e9))
    with serving({ESC_FILE: esc}) as record:
        with pytest.raises(tasks.TaskError, match=r"has 1.2 GB free and up to 1.3 GB are needed; make room"):
            run(record, tmp_path)
        assert record.asked(ESC_FILE) == []
        run(record, tmp_path, rates=Rates(wanted=(8000,)))


def test_a_disk_that_fills_up_is_one_sentence_and_can_go_on(tmp_path, esc, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving({ESC_FILE: esc}) as record:
        with monkeypatch.context() as patch:
            patch.setattr(download._Download, "_write", full)
            with pytest.raises(tasks.TaskError, match=r"cannot write .*No space left.*make room.*goes on"):
                run(record, tmp_path)
        assert_nothing_visible(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("tasks.format.resample.write_clip", full)
            with pytest.raises(tasks.TaskError, match=r"cannot write .*No space left.*make room"):
                run(record, tmp_path)
        assert not list((tmp_path / "tasks").iterdir())
        run(record, tmp_path)
        assert len(record.asked(ESC_FILE)) == 1 + 1
    assert verify(tmp_path, say=str)


def test_rates_are_added_to_what_is_there_and_locked(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        run(record, tmp_path)
        said = run(record, tmp_path, rates=Rates(wanted=(16000, 32000)))
        assert len(record.asked(ESC_FILE)) == 1
    assert any("32000, resampled from 48000 Hz" in line for line in said)
    assert tasks.read_task(tmp_path / "tasks" / ESC).sample_rates == (16000, 32000, 48000)
    assert verify(tmp_path, say=str)


def test_the_source_can_be_dropped(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        run(record, tmp_path, rates=Rates(keep_source=False))
        said = run(record, tmp_path, rates=Rates(wanted=(44100,)))
    assert tasks.read_task(tmp_path / "tasks" / ESC).sample_rates == (16000, 44100)
    assert any("WARNING: no sound above 8000 Hz" in line for line in said)
    assert not any("48000/" in file for file in read_lock(tmp_path)[ESC].files)


def test_archives_can_be_kept(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        run(record, tmp_path, keep_archives=True)
        assert (tmp_path / "archives" / ESC_FILE).read_bytes() == esc
        shutil.rmtree(tmp_path / "tasks" / ESC)
        run(record, tmp_path)
        assert len(record.asked(ESC_FILE)) == 1


@pytest.mark.parametrize(
    ("silent", "word"), [(range(3), "WARNING: 9 of the 12"), (range(1), "note: 3 of the 12")]
)
def test_digital_silence_is_told(tmp_path, silent, word):
    task = make_task(tmp_path / "task")
    for split in ("train", "valid", "test"):
        for clip in silent:
            write_wav(task / "48000" / split / f"{split}-{clip}.wav", np.full(999, -3 / 32768), 48000)
        write_wav(task / "48000" / split / f"{split}-3.wav", np.full(999, 4 / 32768), 48000)
    with serving({ESC_FILE: pack(task, ESC)}) as record:
        said = run(record, tmp_path / "d")
    assert any(word in line and "digital silence" in line for line in said)


def test_verify_names_every_difference_and_exits_1(tmp_path, esc, capsys):
    with serving({ESC_FILE: esc}) as record:
        run(record, tmp_path)
    arguments = ["--dir", str(tmp_path), "--verify"]
    assert main(arguments) == 0
    root = tmp_path / "tasks" / ESC
    (root / "16000" / "test" / "test-0.wav").unlink()
    (root / "48000" / "train" / "train-1.wav").write_bytes(b"RIFF")
    (root / "48000" / "train" / "new.wav").write_bytes(b"")
    (tmp_path / "tasks" / "mine").mkdir()
    capsys.readouterr()
    assert main([*arguments, "--tasks", "ESC-50"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["missing", str(root / "16000" / "test" / "test-0.wav")],
        ["extra", str(root / "48000" / "train" / "new.wav")],
        ["changed", str(root / "48000" / "train" / "train-1.wav")],
    ]
    assert f"note: {tmp_path / 'tasks' / 'mine'} was not fetched here and is not checked" in lines
    assert lines[-1] == "checked 29 files of 1 task: 3 files differ"


def test_what_is_in_the_way_or_lost_is_named(tmp_path, esc, capsys):
    with serving({ESC_FILE: esc}) as record:
        make_task(tmp_path / "tasks" / ESC)
        with pytest.raises(tasks.TaskError, match="is there but was not fetched"):
            run(record, tmp_path)
        shutil.rmtree(tmp_path / "tasks" / ESC)
        run(record, tmp_path)
        (tmp_path / "tasks" / ESC / "16000" / "test" / "test-0.wav").unlink()
        with pytest.raises(tasks.TaskError, match=r"test-0.wav is missing \(1 files in all\); delete"):
            run(record, tmp_path)
    archives, file = tmp_path / "archives", tmp_path / "tasks.lock.json" / "below"
    archives.mkdir()
    (archives / BO_FILE).write_bytes(b"x")
    for arguments, why in [
        (["--verify", "--dir", str(tmp_path / "empty")], "has no tasks.lock.json"),
        (["--verify", "--dir", str(tmp_path), "--tasks", "BO"], f"{BO} is not in"),
        (["--dir", str(tmp_path)], "which tasks?"),
        (["--dir", str(ROOT), "--tasks", "BO"], "is a folder of programs"),
        (["--dir", str(file), "--tasks", "BO", "--archives", str(archives)], f"cannot write {file}"),
        (["--dir", str(tmp_path), "--tasks", "BO", "--archives", str(tmp_path / "no")], "does not exist"),
    ]:
        assert main(arguments) == 2
        assert why in capsys.readouterr().err


def test_names_mean_the_papers_tasks_first():
    assert list(plan.select(["all"])) == [task.directory for task in tasks.PAPER_TASKS]
    assert plan.select(["paper"]) == plan.select(["all"])
    assert len(plan.select(["hear19"])) == 20
    assert list(plan.select(["sc-5h", "nsynth_pitch", "SC-5h", "nsynth_pitch-v2.2.3-50h"])) == [
        "speech_commands-v0.0.2-5h",
        "nsynth_pitch-v2.2.3-5h",
        "nsynth_pitch-v2.2.3-50h",
    ]


def test_two_at_once_do_not_touch_each_other(tmp_path, esc):
    with serving({ESC_FILE: esc}) as record:
        with (
            FileLock(tmp_path / ".fetch.lock"),
            pytest.raises(tasks.TaskError, match="another fetch works in"),
        ):
            run(record, tmp_path)
        assert record.asked(ESC_FILE) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_made_and_the_download_goes_on(tmp_path, bo, name):
    hold = len(bo) * 3 // 4
    command = [sys.executable, "-m", "tasks.fetch", "--tasks", BO, "--dir", str(tmp_path)]
    with serving({BO_FILE: bo}, hold={BO_FILE: hold}) as record:
        with start([*command, "--mirror", record.url], cwd=ROOT) as child:
            wait_for(child, lambda: any(p.stat().st_size for p in tmp_path.glob("archives/.*.part")))
            child.send_signal(signal.Signals[name])
            _, errors = child.communicate(timeout=240)
        assert child.returncode == 128 + signal.Signals[name]
        assert errors.splitlines()[-1].startswith("stopped; nothing half-made was left")
        assert_nothing_visible(tmp_path)
        record.released.set()
        run(record, tmp_path, BO)
        assert record.asked(BO_FILE)[-1].startswith("bytes=")
    assert verify(tmp_path, say=str)


def test_a_real_prepared_archive_from_disk(tmp_path, shared, capsys):
    name = "spoken_digit-1.0.9-small"
    folder = shared / "data" / "hear_mini"
    if not (folder / f"hear-2021.0.6-{name}-44100.tar.gz").is_file():
        pytest.skip("the prepared spoken-digit archive is not beside this checkout")
    assert main(["--tasks", name, "--dir", str(tmp_path), "--archives", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "100 clips at 16000, 44100 Hz" in out
    assert "WARNING: 100 of the 100 clips of spoken_digit-1.0.9-small are digital silence" in out
    task = tasks.read_task(tmp_path / "tasks" / name)
    assert [len(clips) for clips in task.clips.values()] == [20] * 5
    for split, clips in task.clips.items():
        for clip in clips:
            assert len(tasks.read_clip(task.audio_path(split, clip.file, 16000), 16000)) == 16000
    assert os.listdir(tmp_path / "tasks") == [name]
