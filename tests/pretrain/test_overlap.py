"""Recordings of an evaluation set in the data: copies are found where they are, other sounds are not."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from sounds import RATE, write, write_tones

from hear_mwmae.cli import overlap
from hear_mwmae.pretrain.data.log_mel import log_mel
from hear_mwmae.pretrain.data.overlap import LENGTHS, Candidates, chunks_of, features, locate, normalise
from hear_mwmae.pretrain.data.prepare import prepare

RECORDINGS = 6
START_S = 1.2345


def babble(seconds: float, seed: int) -> np.ndarray:
    """Syllables of noise through changing resonances, as unlike each other as sounds are."""
    generator = np.random.default_rng(seed)
    parts, left = [], round(seconds * RATE)
    while left > 0:
        length = min(left, int(generator.integers(800, 4000)))
        time = np.arange(length) / RATE
        carrier = sum(
            generator.uniform(0.1, 1) * np.sin(2 * np.pi * generator.uniform(100, 3500) * time)
            for _ in range(4)
        )
        shape = np.hanning(length) * generator.uniform(0.1, 1)
        parts.append(0.1 * shape * (carrier + 0.3 * generator.standard_normal(length)))
        left -= length
    return np.concatenate(parts).astype(np.float32)


def through_8_khz(sound: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(sound, RATE, 8000), 8000, RATE)


def through_opus(sound: np.ndarray, path: Path) -> np.ndarray:
    # libsndfile: 256 kbit/s at level 0, 6 at level 1; this is 24.
    soundfile.write(path, sound, RATE, format="OGG", subtype="OPUS", compression_level=1 - 18 / 250)
    return soundfile.read(path, dtype="float32")[0]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 0.3 to 1.3 s."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(RECORDINGS):
        write(folder / f"{number}.wav", babble(0.3 + 0.2 * number, seed=number))
    return folder


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unrelated")
    for number in range(20):
        write(folder / "sounds" / f"{number}.wav", babble(3, seed=100 + number))
    write(folder / "sounds" / "silence.wav", np.zeros(RATE))
    write(folder / "sounds" / "click.wav", babble(0.01, seed=99))
    prepare([folder / "sounds"], folder / "data", workers=1)
    return folder / "data"


@pytest.fixture(scope="module")
def planted(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Re-encoded copies of all recordings but the first, 1.2345 s after the start of other sounds."""
    folder = tmp_path_factory.mktemp("planted")
    for number in range(1, RECORDINGS):
        copy = soundfile.read(recordings / f"{number}.wav", dtype="float32")[0]
        around = [babble(START_S, seed=200 + number), babble(1, seed=300 + number)]
        sound = np.concatenate([around[0], copy, around[1]])
        if number % 2:
            sound = through_opus(0.3 * through_8_khz(sound), folder / "copy.opus")
        write(folder / "sounds" / f"clip {number}.wav", sound)
    write_tones(folder / "sounds", [2.0, 0.05])
    prepare([folder / "sounds"], folder / "data", workers=1)
    return folder / "data"


def run(*arguments: str | Path) -> int:
    return overlap.main([str(argument) for argument in arguments])


def rows(table: Path) -> dict[str, dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return {Path(row["recording"]).name: row for row in csv.DictReader(file)}


def test_copies_are_found_where_they_are(
    recordings: Path, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(planted, recordings, "--out", tmp_path / "out.csv", "--top", "2") == 1
    table = rows(tmp_path / "out.csv")
    assert len(table) == RECORDINGS
    for number in range(1, RECORDINGS):
        row = table[f"{number}.wav"]
        assert row["clip"] == f"clip {number}.wav"
        offset = float(row["clip_s"]) - float(row["recording_s"])
        assert offset == pytest.approx(START_S, abs=0.0051)
        assert float(row["evidence"]) > overlap.THRESHOLD
    assert float(table["0.wav"]["evidence"]) < overlap.THRESHOLD
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 recordings (")
    assert lines[-1] == "5 recordings with evidence above 2"
    assert sum("(correlation " in line for line in lines) == 2


def test_unrelated_sounds_are_not(
    recordings: Path, unrelated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(unrelated, recordings) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 recordings with evidence above 2"


def test_what_cannot_be_compared_is_counted(
    unrelated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "silence.wav", np.zeros(RATE))
    write(tmp_path / "nearly silent.wav", np.full(RATE, 1e-6))
    write(tmp_path / "short.wav", babble(0.1, seed=1))
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    assert run(unrelated, tmp_path) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: None of 4 recordings can be read and holds enough sound to compare."
    )
    write(tmp_path / "sound.wav", np.concatenate([babble(1, seed=2), np.zeros(4 * RATE, np.float32)]))
    assert run(unrelated, tmp_path) == 0
    out, err = capsys.readouterr()
    assert "\nleft out: 1 shorter than 0.17 s, 2 silent or steady, 1 unreadable\n" in out
    assert err.startswith(f"warning: left out: {tmp_path / 'broken.wav'}: cannot be decoded")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{data}", "{folder}/missing"], "missing: there is no such file or folder"),
        (["{folder}", "{sound}"], "holds no manifest.json; make it with"),
        (["{data}", "{sound}", "--top", "-1"], "--top must be at least 0"),
        (["{data}", "{sound}", "--out", "{folder}/no/out.csv"], "no: there is no such folder"),
        (["{data}", "{sound}", "--out", "{folder}"], "cannot be written (Is a directory)"),
    ],
)
def test_mistakes_are_named_in_one_line(
    unrelated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    sound = write(tmp_path / "sound.wav", babble(0.5, seed=1))
    assert run(*(a.format(data=unrelated, folder=tmp_path, sound=sound) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_the_coarse_search_finds_what_a_full_one_does() -> None:
    clips = [features(log_mel(babble(3, seed=number))) for number in range(8)]
    recording = babble(3, seed=5)[8000:24000]
    chunks = chunks_of("", log_mel(recording))
    assert len(chunks) == 2
    candidates = Candidates(chunks)
    for number in range(0, 8, 2):
        candidates.add([(number, clips[number]), (number + 1, clips[number + 1])])
    places = candidates.by_clip()
    for index, chunk in enumerate(chunks):
        best = max(locate(chunk, clips[5], frame) for number, frame in places[5] if number == index)
        pattern = chunk.values.astype(np.float32)
        full = {}
        for number, clip in enumerate(clips):
            for frame in range(len(clip) - len(pattern) + 1):
                window = clip[frame : frame + len(pattern)]
                full[number, frame] = np.corrcoef(pattern.ravel(), normalise(window[None])[0].ravel())[0, 1]
        assert max(full, key=full.get) == (5, chunk.frame + 50)
        assert best == (pytest.approx(max(full.values()), abs=2e-3), chunk.frame + 50)


def test_features_know_nothing_of_gain() -> None:
    sound = babble(1, seed=1)
    [loud], [soft] = (chunks_of("", log_mel(gain * sound[:8000])) for gain in (1, 0.3))
    assert (loud.frame, len(loud.values)) == (soft.frame, LENGTHS[0])
    np.testing.assert_allclose(loud.values.astype(np.float32), soft.values.astype(np.float32), atol=1e-4)
