"""Preparing data: what is stored, what is left out, and that neither kills nor workers change the result."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import ROOT
from sounds import contents, tone, write, write_tones

from hear_mwmae.audio import read_audio
from hear_mwmae.cli import overlap
from hear_mwmae.cli.prepare import main
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data import shards
from hear_mwmae.pretrain.data.content import verify
from hear_mwmae.pretrain.data.kaldi_fbank import fbank
from hear_mwmae.pretrain.data.log_mel import log_mel
from hear_mwmae.pretrain.data.manifest import Manifest, Options, read_index, read_manifest
from hear_mwmae.pretrain.data.prepare import prepare
from hear_mwmae.pretrain.data.records import ShardReader
from hear_mwmae.pretrain.data.sources import InputsHash, SoundSource, cut, encode_source, find_sources


def stored(manifest: Manifest) -> dict[str, np.ndarray]:
    """All clips of a folder by id, as float32."""
    reader = ShardReader([manifest.path(s) for s in manifest.shards], [s.clips for s in manifest.shards])
    index = read_index(manifest).to_pylist()
    clips = {r["id"]: reader.read(r["shard"], r["row"], frames=r["frames"]) for r in index}
    assert all(clip_id == clip.id for clip_id, clip in clips.items())
    return {clip_id: clip.log_mel.astype(np.float32) for clip_id, clip in clips.items()}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of many kinds, two of them unreadable."""
    folder = tmp_path_factory.mktemp("zoo")
    write(folder / "eight.wav", tone(1.3, rate=8000), 8000)
    write(folder / "stereo.flac", tone(0.7, rate=44100, channels=2), 44100)
    write(folder / "deep" / "er" / "six channels.wav", tone(0.4, rate=22050, channels=6), 22050)
    write(folder / "vorbis.ogg", tone(1.1, rate=48000), 48000)
    write(folder / "new.opus", tone(1.2, rate=48000), 48000, format="OGG", subtype="OPUS")
    write(folder / "old.mp3", tone(2.1, rate=22050), 22050)
    write(folder / "odd rate.wav", tone(0.5, rate=11127), 11127)
    write(folder / "Ärger 音 ♪.wav", tone(0.3))
    write(folder / "one sample.wav", tone(0))
    write(folder / "silence.wav", np.zeros(16000))
    write(folder / "long.wav", tone(25.0))
    (folder / "garbage.mp3").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def prepared(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo, prepared with three workers in shards of four clips."""
    out = tmp_path_factory.mktemp("out") / "prepared"
    assert main([str(zoo), "--out", str(out), "--workers", "3", "--shard-clips", "4"]) == 0
    return out


def test_every_readable_file_is_stored_as_its_log_mel(zoo: Path, prepared: Path) -> None:
    manifest = verify(prepared)
    clips = stored(manifest)
    expected = {}
    for path in zoo.rglob("*.*"):
        name = path.relative_to(zoo).as_posix()
        if name == "long.wav":
            audio = read_audio(path, 16000)
            bounds = [0, 133333, 266666, 400000]
            expected |= {f"long.wav#{i}": log_mel(audio[bounds[i] : bounds[i + 1]]) for i in range(3)}
        elif path.name not in ("garbage.mp3", "empty.wav", "notes.txt"):
            expected[name] = log_mel(read_audio(path, 16000))
    assert set(clips) == set(expected)
    assert len(clips) == 13
    for clip_id, log_mels in expected.items():
        assert clips[clip_id].shape == log_mels.shape
        # The workers' matrix products may round the last bit otherwise: half a step of float16, and that bit.
        assert np.abs(clips[clip_id] - log_mels).max() <= 0.5 * 2.0**-7 + 1e-5
    assert manifest.clips == 13
    assert [shard.clips for shard in manifest.shards] == [4, 4, 4, 1]
    assert manifest.hours == pytest.approx(sum(len(c) - 1 for c in clips.values()) / 360000, abs=1e-6)


def test_the_float16_error_is_stated(zoo: Path, prepared: Path) -> None:
    manifest, clips = read_manifest(prepared), stored(read_manifest(prepared))
    errors = [clips[p.name] - log_mel(read_audio(p, 16000)) for p in zoo.glob("*.*") if p.name in clips]
    assert manifest.largest_float16_error >= max(np.abs(e).max() for e in errors) - 1e-5
    assert manifest.largest_float16_error <= 0.5 * 2.0**-7
    # Rounding to multiples of 2**-7 (log-mels beyond 8) leaves 2**-7 / sqrt(12), to finer ones less.
    assert 2.0**-11 / 12**0.5 < manifest.rms_float16_error < 2.0**-7 / 12**0.5


def test_mean_and_deviation_of_all_values_are_stated(prepared: Path) -> None:
    manifest = read_manifest(prepared)
    values = np.concatenate([clip.ravel() for clip in stored(manifest).values()]).astype(np.float64)
    assert manifest.feature_mean == pytest.approx(values.mean(), rel=1e-12)
    assert manifest.feature_std == pytest.approx(values.std(), rel=1e-9)


def test_constant_data_have_the_deviation_0(tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "silence.wav", np.zeros(16000))
    manifest = prepare([tmp_path / "sounds"], tmp_path / "out", workers=1)
    assert manifest.feature_mean == np.float16(np.log(np.finfo(np.float32).eps))
    assert manifest.feature_std == 0


def test_a_manifest_of_before_there_was_a_choice_is_read(zoo: Path, prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    path = folder / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("feature_mean", "feature_std"):
        del values[name]
    del values["options"]["front_end"]
    path.write_text(json.dumps(values))
    manifest = read_manifest(folder)
    assert (manifest.front_end, manifest.feature_mean, manifest.feature_std) == ("log_mel_80", 0, 0)
    before = contents(folder)
    assert prepare([zoo], folder, options=Options(shard_clips=4)) == manifest
    assert contents(folder) == before


def test_the_hash_of_the_inputs_is_what_it_was() -> None:
    sources = [SoundSource("a.wav", Path("a.wav"), 3, 5)]

    def expected(options: str) -> str:
        return hashlib.sha256(f"Options({options})a.wav\n3 5\n".encode()).hexdigest()

    for options, text in {
        Options(): "inputs='audio', clip_seconds=10.0, shard_clips=4096",
        Options("images", 5, 4): "inputs='images', clip_seconds=5, shard_clips=4",
        Options(front_end="fbank_128"): "inputs='audio', clip_seconds=10.0, shard_clips=4096, "
        "front_end='fbank_128'",
    }.items():
        assert InputsHash(sources, options).of_first(1) == expected(text)


def test_filter_banks_are_stored_and_nothing_is_mixed(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(zoo), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--front-end", "fbank_128"]) == 0
    manifest = verify(tmp_path / "out")
    assert (manifest.front_end, manifest.bands, manifest.hop_ms) == ("fbank_128", 128, 10)
    clips = stored(manifest)
    assert len(clips) == 13
    for path in zoo.glob("*.*"):
        if path.name in clips:
            expected = fbank(read_audio(path, 16000))
            assert np.abs(clips[path.name] - expected).max() <= 0.5 * 2.0**-7 + 1e-3
    seconds = sum(0.025 + 0.01 * (len(clip) - 1) for clip in clips.values())
    assert manifest.hours == pytest.approx(seconds / 3600, abs=1e-6)
    values = np.concatenate([clip.ravel() for clip in clips.values()]).astype(np.float64)
    assert (manifest.feature_mean, manifest.feature_std) == pytest.approx((values.mean(), values.std()))
    assert main(command) == 2
    assert "was prepared from other files or with other options" in capsys.readouterr().err
    assert overlap.main([str(tmp_path / "out"), str(zoo)]) == 2
    assert "out: holds fbank_128; give a folder prepared with log_mel_80" in capsys.readouterr().err


@pytest.mark.parametrize("inputs", ["tfrecord", "images"])
def test_filter_banks_come_of_sound_files_alone(
    tmp_path: Path, inputs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tmp_path), "--out", str(tmp_path / "out"), f"--{inputs}", "--front-end", "fbank_128"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"fbank_128 is computed from sound files, which --{inputs} does not read" in error
    assert error.count("\n") == 1
    with pytest.raises(
        UserError, match="There is no front end 'mfcc' of sound; use one of log_mel_80, fbank"
    ):
        Options(front_end="mfcc")


def test_unreadable_files_are_listed_and_counted(
    zoo: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_manifest(prepared).unreadable == 2
    lines = (prepared / "unreadable.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["empty.wav", "garbage.mp3"]
    assert all("cannot be decoded" in line for line in lines)
    assert main([str(zoo), "--out", str(prepared), "--shard-clips", "4"]) == 0
    assert "2 files or records could not be read" in capsys.readouterr().err


def test_the_same_bytes_whatever_the_workers(zoo: Path, prepared: Path, tmp_path: Path) -> None:
    prepare([zoo], tmp_path / "one", options=Options(shard_clips=4), workers=1)
    assert contents(tmp_path / "one") == contents(prepared)


def test_the_content_hash_knows_nothing_of_shards(zoo: Path, prepared: Path, tmp_path: Path) -> None:
    other = prepare([zoo], tmp_path / "other", options=Options(shard_clips=100), workers=2)
    assert len(other.shards) == 1
    assert other.content_sha256 == read_manifest(prepared).content_sha256
    write(zoo.parent / "changed" / "a.wav", tone(1, seed=9))
    changed = prepare([zoo.parent / "changed"], tmp_path / "changed", workers=1)
    assert changed.content_sha256 != other.content_sha256


def test_a_finished_folder_is_left_as_it_is(zoo: Path, prepared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.iterdir()}
    prepare([zoo], prepared, options=Options(shard_clips=4))
    assert {path: path.stat().st_mtime_ns for path in prepared.iterdir()} == before


def test_other_options_or_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds, out = write_tones(tmp_path / "sounds", [0.2]), tmp_path / "out"
    command = [str(sounds), "--out", str(out), "--workers", "1"]
    assert main(command) == 0
    assert main([*command, "--clip-seconds", "5"]) == 2
    write(sounds / "000.wav", tone(0.2, seed=7))
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("was prepared from other files or with other options; give another --out") == 2


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "hear_mwmae", "prepare", *map(str, arguments)]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)


def test_a_killed_run_continues_to_the_same_result(tmp_path: Path) -> None:
    sounds = write_tones(tmp_path / "sounds", [0.3] * 40 + [25.0] + [3.0] * 200)
    (sounds / "010x.wav").write_bytes(b"no sound")
    options = ("--workers", "2", "--shard-clips", "10")
    subprocess.run(command_line(sounds, "--out", tmp_path / "whole", *options), check=True, cwd=ROOT)
    killed = tmp_path / "killed"
    process = subprocess.Popen(command_line(sounds, "--out", killed, *options), cwd=ROOT)
    wait_for(killed / "progress" / "00004.json", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "manifest.json").exists()
    with pytest.raises(
        UserError, match="its preparation is not finished; run the same prepare command again"
    ):
        read_manifest(killed)
    first = killed / "clips-00000.array_record"
    written = first.stat().st_mtime_ns
    again = subprocess.run(
        command_line(sounds, "--out", killed, *options), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "continuing behind" in again.stderr
    assert first.stat().st_mtime_ns == written
    assert contents(killed) == contents(tmp_path / "whole")


def stop_after(monkeypatch: pytest.MonkeyPatch, clips: int) -> None:
    """Let writing fail as on a full disk when so many clips are written."""
    left, write = [clips], shards.ShardWriter.write

    def failing(self: shards.ShardWriter, record: bytes) -> None:
        if not left[0]:
            raise RuntimeError("write() failed: No space left on device; writing x")
        left[0] -= 1
        write(self, record)

    monkeypatch.setattr(shards.ShardWriter, "write", failing)


def test_a_full_disk_is_named_and_the_run_continues_later(tmp_path: Path) -> None:
    sounds, out = write_tones(tmp_path / "sounds", [0.2] * 3 + [25.0, 0.2]), tmp_path / "out"
    options = Options(shard_clips=4)
    with pytest.MonkeyPatch.context() as patch:
        # The first shard ends with the first of the three pieces of 003.wav.
        stop_after(patch, 5)
        with pytest.raises(UserError, match=r"cannot be written \(write\(\) failed: No space left"):
            prepare([sounds], out, options=options, workers=1)
    assert (out / "clips-00000.array_record").exists()
    manifest = prepare([sounds], out, options=options, workers=1)
    assert list(stored(manifest)) == [
        "000.wav",
        "001.wav",
        "002.wav",
        *(f"003.wav#{i}" for i in range(3)),
        "004.wav",
    ]
    prepare([sounds], tmp_path / "whole", options=options, workers=1)
    assert contents(out) == contents(tmp_path / "whole")


def test_an_unfinished_folder_goes_on_only_behind_unchanged_files(tmp_path: Path) -> None:
    sounds, out = write_tones(tmp_path / "sounds", [0.2] * 5), tmp_path / "out"
    options = Options(shard_clips=2)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(UserError, match="cannot be written"):
            prepare([sounds], out, options=options, workers=1)
    write(sounds / "004.wav", tone(0.5))
    write(sounds / "001.wav", tone(0.3))
    with pytest.raises(UserError, match="holds shards of other inputs or other options; give another --out"):
        prepare([sounds], out, options=options, workers=1)
    shutil.rmtree(out)
    assert prepare([sounds], out, options=options, workers=1).clips == 5


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("array_record")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "array_record", None)
    command = [str(write_tones(tmp_path / "sounds", [0.2])), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(command) == 2
    assert "error: needs array_record" in capsys.readouterr().err


def test_strict_stops_at_the_first_unreadable_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, out = write_tones(tmp_path / "sounds", [0.2] * 5), tmp_path / "out"
    (sounds / "003.wav").write_bytes(b"no sound")
    (sounds / "004\n\u2028.wav").write_bytes(b"no sound")
    command = [str(sounds), "--out", str(out), "--workers", "1", "--shard-clips", "2"]
    assert main([*command, "--strict"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 003.wav: cannot be decoded")
    assert "skip it by leaving out --strict" in error
    assert (out / "clips-00000.array_record").exists()
    assert main(command) == 0
    assert "continuing behind 1 finished shards" in capsys.readouterr().err
    assert main([*command, "--strict"]) == 2
    assert "was prepared without 2 files or records" in capsys.readouterr().err
    assert read_manifest(out).unreadable == 2
    second = (out / "unreadable.txt").read_text(encoding="utf-8").splitlines()[1]
    assert second.startswith("004\\n\\u2028.wav\t")


def test_a_report_of_an_earlier_version_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds, out, options = (
        write_tones(tmp_path / "sounds", [0.2] * 5),
        tmp_path / "out",
        Options(shard_clips=2),
    )
    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardSequence, "finish", lambda self: None)
        prepare([sounds], out, options=options, workers=1)
    report = out / "progress" / "00000.json"
    values = json.loads(report.read_text())
    del values["value_sum"], values["square_sum"]
    report.write_text(json.dumps(values))
    prepare([sounds], out, options=options, workers=1)
    prepare([sounds], tmp_path / "whole", options=options, workers=1)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("what", ["no folder", "no sound files", "nothing readable"])
def test_without_sound_one_sentence_says_so(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sounds"
    expected = {
        "no folder": "no such file",
        "no sound files": "no sound files",
        "nothing readable": "None of 1",
    }
    if what != "no folder":
        folder.mkdir()
        (folder / "a.txt").write_text("x")
    if what == "nothing readable":
        (folder / "a.wav").write_text("x")
    assert main([str(folder), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert expected[what] in error
    assert error.count("\n") == 1


def test_several_roots_keep_their_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tones(tmp_path / name, [0.1])
    single = write(tmp_path / "c.wav", tone(0.1))
    ids = [source.id for source in find_sources([tmp_path / "b", single, tmp_path / "a"])]
    assert ids == ["a/000.wav", "b/000.wav", "c.wav"]
    write_tones(tmp_path / "other" / "a", [0.1])
    with pytest.raises(UserError, match=r"would both be clip 'a/000\.wav': give"):
        find_sources([tmp_path / "a", tmp_path / "other" / "a"])
    with pytest.raises(UserError, match="under two of the given folders"):
        find_sources([tmp_path, tmp_path / "a"])


@pytest.mark.parametrize(
    ("seconds", "pieces"),
    [(0.01, 1), (10, 1), (10.1, 1), (10.3, 2), (20, 2), (20.2, 2), (25, 3), (3600, 360)],
)
def test_long_files_are_cut_into_equal_pieces(seconds: float, pieces: int) -> None:
    audio = np.arange(round(seconds * 16000), dtype=np.float32)
    found = cut(audio, 10.0)
    assert len(found) == pieces
    assert np.array_equal(np.concatenate(found), audio)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_decoder_that_breaks_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", tone(0.1))
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: np.zeros(1 << 60))
    [outcome] = encode_source(*find_sources([path]), Options())
    assert outcome.id == "a.wav"
    assert "Unable to allocate" in outcome.reason or "array is too big" in outcome.reason


def test_tfrecords_of_the_release(shared: Path, tmp_path: Path) -> None:
    for name in ("x/one.tfrec", "x/y/two.tfrecord"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / "golden" / "sample_spec.tfrec", tmp_path / "in" / name)
    (tmp_path / "in" / "x" / "bad.tfrec").write_bytes(b"no records")
    command = ["--tfrecord", "--workers", "1", "--out"]
    assert main([str(tmp_path / "in"), *command, str(tmp_path / "folder")]) == 0
    manifest = read_manifest(tmp_path / "folder")
    clips = stored(manifest)
    assert list(clips) == [f"x/{name}#{i}" for name in ("one.tfrec", "y/two.tfrecord") for i in range(3)]
    assert manifest.unreadable == 1
    with np.load(shared / "golden" / "sample_spec.npz") as arrays:
        for number in range(3):
            rounded = arrays[f"raw{number}"].astype(np.float16).astype(np.float32)
            assert np.array_equal(clips[f"x/one.tfrec#{number}"], rounded)
    table = tmp_path / "in" / "train.csv"
    table.write_text("files,other\nx/one.tfrec,1\nx/y/two.tfrecord,2\n")
    assert main([str(table), *command, str(tmp_path / "table")]) == 0
    from_table = stored(read_manifest(tmp_path / "table"))
    assert list(from_table) == [clip_id.removeprefix("x/") for clip_id in clips]


def test_a_wrong_table_of_tfrecords_is_named(tmp_path: Path) -> None:
    table = tmp_path / "train.csv"
    for text, message in {
        "path\na.tfrec\n": "needs a column 'files'",
        "files\n": "needs a column 'files'",
        "files\nmissing.tfrec\n": "which does not exist",
    }.items():
        table.write_text(text)
        with pytest.raises(UserError, match=message):
            find_sources([table], "tfrecord")


def damage(text: str, **changes: object) -> str:
    return json.dumps(json.loads(text) | changes)


def test_a_folder_that_does_not_fit_its_manifest_is_refused(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    path, shard = folder / "manifest.json", folder / "clips-00001.array_record"
    text, records = path.read_text(encoding="utf-8"), shard.read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message) as error:
            read_index(read_manifest(folder))
        assert str(folder) in str(error.value)

    for wrong, message in {
        "{": "manifest.json is not JSON",
        "[]": "is no manifest of prepared data",
        damage(text, clips=None, extra=1): "is no manifest of prepared data",
        damage(text, shards=[{}]): "is no manifest of prepared data",
        damage(text, format=2): "has the newer format 2; update this package",
        damage(text, clips=12): "do not add up",
    }.items():
        path.write_text(wrong)
        refused(message)
    path.write_text(text, encoding="utf-8")
    shard.unlink()
    refused("clips-00001.array_record: is missing")
    shard.write_bytes(records[:-1])
    refused(r"clips-00001.array_record: has \d+ bytes, not the \d+ of manifest.json")
    shard.write_bytes(records)
    index = folder / "index.parquet"
    index.write_bytes(bytes(index.stat().st_size))
    refused("index.parquet: is damaged")
    shutil.copy(prepared / "index.parquet", index)
    assert read_manifest(folder).to_json() == text
    path.unlink()
    refused("holds no manifest.json; make it with `hear-mwmae prepare`")
    shutil.rmtree(folder)
    refused("there is no such folder")


def test_verify_finds_a_changed_byte(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    assert main(["--verify", str(folder)]) == 0
    assert "4 shards with 13 clips are undamaged" in capsys.readouterr().out
    shard = folder / "clips-00002.array_record"
    records = bytearray(shard.read_bytes())
    records[len(records) // 3] ^= 1
    shard.write_bytes(records)
    assert main(["--verify", str(folder)]) == 2
    assert "1 of 5 files are damaged or replaced" in (error := capsys.readouterr().err)
    assert str(shard) in error


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    sounds, out = write_tones(tmp_path / "sounds", [0.1]), tmp_path / "out"
    (out / "progress").mkdir(parents=True)
    program = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print(1, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(out / "progress" / "lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with holder:
        holder.stdout.readline()
        with pytest.raises(UserError, match="another run is writing there"):
            prepare([sounds], out, workers=1)
        holder.stdin.close()
    assert prepare([sounds], out, workers=1).clips == 1


@pytest.mark.parametrize("module", ["prepare", "manifest", "records"])
def test_preparing_needs_neither_torch_nor_jax(module: str) -> None:
    program = f"import sys, hear_mwmae.pretrain.data.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & {"torch", "jax", "tensorflow"}


def test_bad_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--workers", "--shard-clips", "--clip-seconds"):
        assert main([str(tmp_path), "--out", str(tmp_path / "out"), option, "0"]) == 2
        assert option in capsys.readouterr().err
    for arguments in ([], [str(tmp_path)], ["--out", "x"], ["x", "--out", "y", "--verify", "z"]):
        with pytest.raises(SystemExit):
            main(arguments)


def test_real_sounds(shared: Path, tmp_path: Path) -> None:
    mix = shared / "data" / "pretrain_mix"
    if not mix.is_dir():
        pytest.skip("the mix of real sounds is not beside this checkout")
    files = [
        path
        for folder in ("berklee", "sms_tools", "opensfx")
        for path in sorted((mix / folder).iterdir())[:4]
    ]
    manifest = prepare(files, tmp_path / "out", workers=2)
    seconds = sum(len(read_audio(path, 16000)) for path in files) / 16000
    assert manifest.unreadable == 0
    assert manifest.hours * 3600 == pytest.approx(seconds, abs=0.01 * manifest.clips)
    assert manifest.clips >= len(files)
    for log_mels in stored(manifest).values():
        assert log_mels.std() > 0.5
