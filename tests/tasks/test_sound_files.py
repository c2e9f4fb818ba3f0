"""Sound files whose headers lie, break off or cancel: what decodes counts, and what is doubtful is said."""

import os
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_mwmae import audio
from hear_mwmae.audio import find_audio, measure_sound, read_audio, read_sound
from hear_mwmae.errors import UserError

RATE = 16000
SECONDS = 2


def noise(seconds: float = SECONDS) -> np.ndarray:
    generator = np.random.default_rng(0)
    count = round(seconds * RATE)
    return (0.3 * np.sin(np.arange(count) * 0.17) + 0.02 * generator.standard_normal(count)).astype("f4")


def written(folder: Path, name: str, sound: np.ndarray | None = None, **options: object) -> Path:
    soundfile.write(folder / name, noise() if sound is None else sound, RATE, **options)
    return folder / name


def patched(path: Path, position: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[position : position + len(content)] = content
    path.write_bytes(data)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    return path


@pytest.mark.parametrize("stated", [0, 16000, 2**36 - 1])
def test_a_flac_is_as_long_as_it_decodes(tmp_path: Path, stated: int) -> None:
    path = written(tmp_path, "a.flac")
    right = read_audio(path, RATE)
    head = path.read_bytes()[21] & 0xF0
    patched(path, 21, bytes([head | stated >> 32]) + (stated & 0xFFFFFFFF).to_bytes(4, "big"))
    sound = read_sound(path, RATE)
    np.testing.assert_array_equal(sound.samples, right)
    assert sound.remarks == ()
    assert measure_sound(path, RATE) == (len(right), ())


@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_without_an_index_is_as_long_as_it_decodes(tmp_path: Path, loud_first: bool) -> None:
    fade = np.linspace(1, 0, 8 * RATE) ** 4
    generator = np.random.default_rng(0)
    sound = 0.3 * generator.standard_normal(8 * RATE) * (fade if loud_first else fade[::-1])
    path = written(tmp_path, "a.mp3", sound.clip(-1, 1), bitrate_mode="VARIABLE", compression_level=0.5)
    data = path.read_bytes()
    index = data.index(b"Xing")
    first = next(m.start() for m in re.finditer(rb"\xff[\xe2-\xfb]", data) if m.start() > index)
    path.write_bytes(data[first:])
    found = read_sound(path, RATE)
    assert 8 * RATE <= len(found.samples) < 8.2 * RATE
    assert found.remarks == ()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_never_finished_is_as_long_as_it_decodes(tmp_path: Path, size: int) -> None:
    path = written(tmp_path, "a.wav")
    right = read_audio(path, RATE)
    place = path.read_bytes().index(b"data") + 4
    patched(path, place, struct.pack("<I", size))
    sound = read_sound(path, RATE)
    np.testing.assert_array_equal(sound.samples, right)
    assert sound.remarks == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.mp3", {}),
        ("a.aiff", {}),
        ("a.au", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_what_is_left_of_a_file_counts_and_its_early_end_is_named(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = written(tmp_path, name, noise(20), **options)
    assert read_sound(path, RATE).remarks == ()
    sound = read_sound(cut(path), RATE)
    assert 4 * RATE < len(sound.samples) < 16 * RATE
    (remark,) = sound.remarks
    assert remark.startswith("ends after ")


def test_a_short_flac_keeps_what_lies_before_the_damage(tmp_path: Path) -> None:
    path = cut(written(tmp_path, "a.flac"), 0.7)
    assert len(read_audio(path, RATE)) > 0.4 * SECONDS * RATE


def test_channels_that_cancel_are_named(tmp_path: Path) -> None:
    both = noise()
    path = written(tmp_path, "a.wav", np.stack([both, -both], axis=1))
    (remark,) = read_sound(path, RATE).remarks
    assert "channels cancel each other" in remark
    for name, channels in (
        ("mono", [both]),
        ("same", [both, both]),
        ("one", [both, *[np.zeros_like(both)] * 31]),
        ("silent", [0 * both, 0 * both]),
        ("independent", np.random.default_rng(1).normal(0, 0.1, (2, RATE))),
    ):
        path = written(tmp_path, f"{name}.wav", np.stack(channels, axis=1))
        assert read_sound(path, RATE).remarks == (), name


def test_a_long_recording_is_the_same_however_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.wav", rate := noise())
    soundfile.write(path, rate, 44100)
    right = read_audio(path, RATE)
    monkeypatch.setattr(audio, "COUNTED_HOURS", 0.3 / 3600)
    monkeypatch.setattr(audio, "SAMPLES_AT_ONCE", 1000)
    np.testing.assert_array_equal(read_audio(path, RATE), right)
    monkeypatch.setattr(audio, "LONGEST_HOURS", 0.5 / 3600)
    with pytest.raises(UserError, match="is longer than"):
        read_audio(path, RATE)


def test_days_of_silence_in_a_few_bytes_are_refused_without_being_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(1 << 24, "i2"), RATE)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(audio, "LONGEST_HOURS", 0.25)
    monkeypatch.setattr(audio, "COUNTED_HOURS", 0.01)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"is longer than 0.25 hours, the most that is read"):
        read_audio(path, RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("rate", [1, 99, 5_000_000, 2**31 - 1])
def test_impossible_rates_are_refused(tmp_path: Path, rate: int) -> None:
    path = patched(written(tmp_path, "a.wav"), 24, struct.pack("<I", rate))
    with pytest.raises(UserError, match=f"says that it has {rate} samples a second"):
        read_audio(path, RATE)


def test_many_channels_take_no_more_memory(tmp_path: Path) -> None:
    path = written(tmp_path, "a.wav", np.zeros((2000, 1000), "i2"))
    tracemalloc.start()
    assert len(read_audio(path, RATE)) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


# Folders


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_files_of_the_system_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "rec"
    for name in (
        "a.wav",
        "in/b.WAV",
        "._a.wav",
        ".hidden.wav",
        ".Trash-1000/files/old.wav",
        "__MACOSX/in/._b.wav",
        "__MACOSX/in/c.wav",
        "$RECYCLE.BIN/x/d.wav",
        "System Volume Information/e.wav",
        "@eaDir/f.wav",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert names(find_audio([root]), root) == ["a.wav", "in/b.WAV"]
    hidden = root / ".Trash-1000"
    assert names(find_audio([hidden, root / "._a.wav"]), root) == [".Trash-1000/files/old.wav", "._a.wav"]


def test_linked_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    root, disk = tmp_path / "rec", tmp_path / "disk"
    for path in (root / "s1/a.wav", disk / "s2/b.wav", disk / "s2/deep/c.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "s2").symlink_to(disk / "s2")
    (root / "again").symlink_to(root / "s1")
    (root / "s1/up").symlink_to(root)
    (disk / "s2/deep/self").symlink_to(disk / "s2")
    assert names(find_audio([root]), root) == ["s1/a.wav", "s2/b.wav", "s2/deep/c.wav"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.warns(UserWarning, match=r"b\.wav: the link leads nowhere; 1 such"):
        assert names(find_audio([tmp_path]), tmp_path) == ["a.wav"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refused)
    with pytest.raises(UserError, match=r"locked: the folder cannot be read \(Permission denied\)"):
        find_audio([tmp_path])


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(UserError, match=r"a\.wav: is a pipe or a device"):
        find_audio([tmp_path / "a.wav"])
