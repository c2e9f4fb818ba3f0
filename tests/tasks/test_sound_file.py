"""What decodes counts: lengths that headers state, files that are cut off, and what one may allocate."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import ROOT

import tasks
from tasks.format import audio as audio_module
from tasks.format.audio import measure, read_clip_and_digest, read_recording, resample
from tasks.format.digest import file_sha256
from tasks.format.sound_file import SoundReader

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)


def flac_stating(path: Path, samples: int, audio: np.ndarray = NOISE) -> Path:
    """A FLAC whose header states that many samples; 0 is "unknown"."""
    soundfile.write(path, audio, 16000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples % (1 << 32)).to_bytes(4, "big")
    path.write_bytes(content)
    return path


def mp3(path: Path, audio: np.ndarray, *, index: bool) -> Path:
    with soundfile.SoundFile(
        path, "w", 44100, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3
    ) as file:
        file.write(audio)
    content = path.read_bytes()
    assert content.find(b"Xing") > 0
    if not index:
        bitrate = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[content[2] >> 4]
        path.write_bytes(content[144 * bitrate * 1000 // 44100 + (content[2] >> 1 & 1) :])
    return path


@pytest.mark.parametrize("stated", [0, 16000, 100, 15999])
def test_a_flac_has_the_samples_that_decode_whatever_its_header_says(tmp_path, stated):
    path = flac_stating(tmp_path / "a.flac", stated)
    recorded = read_recording(path)
    np.testing.assert_allclose(recorded.audio, NOISE, atol=0.6 / 32768)
    assert recorded.ends_early is None
    assert measure(path) == (16000, 16000)
    assert len(tasks.read_clip(path, 16000)) == 16000


@pytest.mark.parametrize("stated", [16001, (1 << 36) - 1])
def test_a_flac_that_promises_more_is_named_and_costs_nothing(tmp_path, stated):
    path = flac_stating(tmp_path / "a.flac", stated)
    recorded = read_recording(path)
    assert len(recorded.audio) == 16000
    assert recorded.ends_early.startswith("ends early: 1 s of the ")
    with pytest.raises(
        tasks.TaskError, match=r"a\.flac ends early: 1 s of the .* s that its header promises"
    ):
        tasks.read_clip(path, 16000)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.opus", "a.mp3"])
def test_of_a_file_that_is_cut_off_what_decodes_is_taken_and_the_rest_is_told(tmp_path, name):
    path = tmp_path / name
    options = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(path, np.tile(NOISE, 6), 16000, **options)
    whole = read_recording(path)
    assert (len(whole.audio), whole.ends_early) == (96000, None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    cut = read_recording(path)
    assert 40000 < len(cut.audio) < 60000
    np.testing.assert_array_equal(cut.audio[:40000], whole.audio[:40000])
    assert cut.ends_early.startswith(f"ends early: {'after' if name in ('a.ogg', 'a.opus') else ''}")
    assert read_recording(path, seconds=1.0).ends_early is None, "nothing that is wanted is missing"


@pytest.mark.parametrize("loud_first", [False, True])
def test_an_mp3_without_an_index_is_read_to_its_end(tmp_path, loud_first):
    """Its length is guessed from its first frame: here four times too long, or a quarter."""
    audio = np.concatenate([np.zeros(44100 * 2), np.tile(NOISE, 9)])
    audio = audio[::-1] if loud_first else audio
    with_index = read_recording(mp3(tmp_path / "a.mp3", audio, index=True))
    assert len(with_index.audio) == len(audio)
    without = read_recording(mp3(tmp_path / "b.mp3", audio, index=False))
    assert 0 <= len(without.audio) - len(audio) < 3000, "the encoder's delay and padding are not known"
    assert without.ends_early is None
    found = np.correlate(without.audio[120000:124000], with_index.audio[120000:122000], "valid")
    delay = np.argmax(found)
    pairs = min(len(audio), len(without.audio) - delay)
    difference = without.audio[delay : delay + pairs] - with_index.audio[:pairs]
    assert np.abs(difference[3000:-3000]).max() < 1e-3


def test_a_wav_that_a_program_wrote_into_a_pipe_does_not_end_early(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000):
        content[40:44] = size.to_bytes(4, "little")
        path.write_bytes(content)
        assert len(tasks.read_clip(path, 16000)) == 16000


def test_a_wav_that_its_recorder_did_not_close_has_what_was_written(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_allclose(tasks.read_clip(path, 16000), NOISE, atol=1e-4)
    path.write_bytes(content[:44] + b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    with pytest.raises(tasks.TaskError, match=r"a\.wav is empty"):
        tasks.read_clip(path, 16000)


def test_a_clip_of_one_sample_is_resampled_to_one(tmp_path):
    for samples in range(1, 8):
        for rates in ((48000, 16000), (44100, 1000), (16000, 48000)):
            made = resample(np.full(samples, 0.25, np.float32), *rates)
            assert len(made) >= 1
            assert abs(len(made) - samples * rates[1] / rates[0]) < 1


def test_long_sound_is_the_same_as_short(tmp_path, monkeypatch):
    """What is longer than is kept at once is read twice."""
    stereo = np.stack([NOISE, NOISE[::-1]], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000)
    once = read_recording(tmp_path / "a.wav", start=100, seconds=0.9)
    monkeypatch.setattr(audio_module, "_KEPT", 1000)
    twice = read_recording(tmp_path / "a.wav", start=100, seconds=0.9)
    np.testing.assert_array_equal(once.audio, twice.audio)
    np.testing.assert_allclose(once.audio, stereo[100:14500].mean(axis=1), atol=1e-4)
    monkeypatch.setattr(audio_module, "MAX_SAMPLES", 15000)
    with pytest.raises(tasks.TaskError, match=r"a\.wav has more than 15000 samples"):
        read_recording(tmp_path / "a.wav")
    with pytest.raises(tasks.TaskError, match=r"^1 s have more than 15000 samples at 48000 Hz"):
        resample(NOISE.astype(np.float32), 16000, 48000)


BOMB = """
import resource, sys
import tasks
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    tasks.decode(sys.argv[1])
except tasks.TaskError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_small_file_of_much_silence_is_refused_with_little_memory(tmp_path):
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16", format="FLAC", compression_level=0) as file:
        for _ in range(17):
            file.write(np.zeros(1 << 24, np.int16))
    assert path.stat().st_size < 4e6
    command = [sys.executable, "-c", BOMB, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told, megabytes = done.stdout.splitlines()
    assert told == f"{path} has more than 268435456 samples, the most that a clip may have; cut it."
    assert int(megabytes) < 300


@pytest.mark.parametrize("rate", [1, 999, 768001, 2**31 - 1])
def test_a_rate_that_no_recorder_has_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", NOISE[:10], rate)
    for read in (read_recording, measure, tasks.decode):
        with pytest.raises(tasks.TaskError, match=rf"a\.wav has {rate} Hz; recordings of 1000 to 768000 Hz"):
            read(tmp_path / "a.wav")


def test_channels_that_cancel_are_told_from_silence_and_from_stereo(tmp_path):
    other = np.random.default_rng(1).uniform(-0.5, 0.5, 16000)
    for channels, cancels in (
        ((NOISE, -NOISE), True),
        ((NOISE, -0.995 * NOISE), True),
        ((NOISE, other), False),
        ((NOISE, 0 * NOISE), False),
        ((0 * NOISE, 0 * NOISE), False),
        ((NOISE, -NOISE, other), False),
    ):
        soundfile.write(tmp_path / "a.wav", np.stack(channels, axis=1), 16000, subtype="FLOAT")
        assert read_recording(tmp_path / "a.wav").cancels is cancels


def test_the_digest_is_of_the_bytes_that_were_decoded(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    audio, digest = read_clip_and_digest(tmp_path / "a.wav", 16000)
    assert digest == file_sha256(tmp_path / "a.wav")
    np.testing.assert_array_equal(audio, tasks.read_clip(tmp_path / "a.wav", 16000))


def test_what_is_no_file_or_no_sound_is_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "a.raw").write_bytes(bytes(100))
    (tmp_path / "b.wav").write_bytes(b"RIFF" + b"\xff" * 60)
    (tmp_path / "c.mp3").write_bytes(b"\xff\xfb" + bytes(1000))
    (tmp_path / "d.flac").write_bytes(b"fLaC" + b"\xff" * 60)
    (tmp_path / "f.flac").write_bytes(b"fLaC")
    (tmp_path / "e.mp3").write_bytes(b"ID3\x04\0\0\x7f\x7f\x7f\x7f")
    for path in (*sorted(tmp_path.iterdir()), tmp_path, tmp_path / "none"):
        with pytest.raises(tasks.TaskError) as caught:
            SoundReader(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "_Patched" not in str(caught.value)


def test_a_name_of_any_bytes_can_be_read(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    soundfile.write(tmp_path / "a.wav", NOISE, 16000)
    os.rename(tmp_path / "a.wav", path)
    assert len(tasks.read_clip(path, 16000)) == 16000
    assert len(read_recording(path).audio) == 16000
