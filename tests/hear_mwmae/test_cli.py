"""The command `hear-mwmae`, from real sound files to files of embeddings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import golden
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
from paths import ROOT

from hear_mwmae import audio, embed_files, load_model
from hear_mwmae.__main__ import main
from hear_mwmae.weights import read_model_file

CHECKPOINT = golden.COMPACT / "ckpt_mwmae_small_float32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    assert main(["convert", str(CHECKPOINT), "--heads", "4", "--out", str(path)]) == 0
    return str(path)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Files of many kinds, one of them in a sub-folder, beside one that is no sound."""
    folder = tmp_path / "sounds"
    (folder / "inner").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, rate, shape in [
        ("a.wav", 44100, (44100, 2)),
        ("b.flac", 22050, 50000),
        ("c.ogg", 48000, 48000),
        ("d.mp3", 48000, 30000),
        ("inner/e.wav", 96000, 3),
        ("f.aiff", 8000, 8000),
        ("g.wav", 16000, 40000),
    ]:
        soundfile.write(folder / name, rng.normal(0, 0.1, shape).clip(-1, 1), rate)
    (folder / "readme.txt").write_text("not a sound")
    return folder


def embed(*arguments: object) -> int:
    return main(["embed", *map(str, arguments)])


def test_scenes_of_a_folder(sounds: Path, weights: str, tmp_path: Path) -> None:
    out = tmp_path / "x.npz"
    assert embed(sounds, "--weights", weights, "--out", out) == 0
    table = np.load(out)
    files = sorted(p for p in sounds.rglob("*.*") if p.suffix != ".txt")
    assert list(table["files"]) == [str(file) for file in files]
    assert list(table["file_index"]) == list(range(7))
    assert str(table["weights"]) == weights
    model = load_model(weights)
    for file, row in zip(files, table["embeddings"], strict=True):
        clip = torch.from_numpy(audio.read_audio(file, 16000))
        torch.testing.assert_close(
            torch.from_numpy(row), model.scene_embeddings([clip])[0], atol=1e-5, rtol=0
        )


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_name_that_is_no_text_is_read_and_shown_with_escapes(
    suffix: str, weights: str, tmp_path: Path
) -> None:
    sound = tmp_path / os.fsdecode(b"caf\xe9.wav")
    with sound.open("wb") as file:
        soundfile.write(file, np.full(8000, 0.1), 16000, format="WAV")
    out = tmp_path / f"x{suffix}"
    assert embed(sound, "--weights", weights, "--out", out) == 0
    files = np.load(out)["files"] if suffix == ".npz" else pd.read_parquet(out)["file"]
    assert [Path(file).name for file in files] == ["caf\\xe9.wav"]


def test_show_tells_shape_and_origin(weights: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["show", weights]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == weights
    assert shown["model"]["heads"] == 4
    assert shown["provenance"] == read_model_file(Path(weights)).provenance
    assert main(["show", "mae_x"]) == 2
    assert "mae_x" in capsys.readouterr().err


def test_timestamps_are_the_same_in_both_formats(sounds: Path, weights: str, tmp_path: Path) -> None:
    npz, parquet = tmp_path / "x.npz", tmp_path / "x.parquet"
    for out in (npz, parquet):
        assert embed(sounds, "--weights", weights, "--out", out, "--timestamps") == 0
    arrays, table = np.load(npz), pd.read_parquet(parquet)
    assert list(table.columns) == ["file", "time_ms", "embedding"]
    assert list(table["file"]) == [str(file) for file in arrays["files"][arrays["file_index"]]]
    np.testing.assert_array_equal(table["time_ms"], arrays["times_ms"])
    np.testing.assert_array_equal(np.stack(table["embedding"]), arrays["embeddings"])
    of_g = arrays["times_ms"][arrays["files"][arrays["file_index"]] == str(sounds / "g.wav")]
    np.testing.assert_allclose(of_g, np.arange(63) * 2500 / 63, atol=1e-3)


def test_groups_change_nothing(
    sounds: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embed(sounds, "--weights", weights, "--out", tmp_path / "one.npz") == 0
    monkeypatch.setattr(embed_files, "SECONDS_AT_ONCE", 1.5)
    assert embed(sounds, "--weights", weights, "--out", tmp_path / "many.npz") == 0
    one, many = (np.load(tmp_path / name)["embeddings"] for name in ("one.npz", "many.npz"))
    np.testing.assert_allclose(one, many, atol=1e-5, rtol=0)


def test_options_reach_the_model(sounds: Path, weights: str, tmp_path: Path) -> None:
    files = [sounds / "g.wav", sounds / "g.wav"]
    out = tmp_path / "x.npz"
    assert embed(*files, "--weights", weights, "--out", out, "--timestamps", "--times", "centre") == 0
    exact = np.load(out)
    assert len(exact["files"]) == 1
    np.testing.assert_array_equal(exact["times_ms"][:2], [15, 55])
    assert embed(*files, "--weights", weights, "--out", out, "--timestamps", "--precision", "bf16") == 0
    rough = np.load(out)["embeddings"]
    difference = np.linalg.norm(rough - exact["embeddings"])
    assert 0 < difference < 0.01 * np.linalg.norm(rough)


def test_decoding_averages_channels_and_resamples(tmp_path: Path) -> None:
    stereo = np.random.default_rng(0).normal(0, 0.1, (44100, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    expected = soxr.resample(stereo.mean(axis=1), 44100, 16000, quality="HQ")
    np.testing.assert_array_equal(audio.read_audio(tmp_path / "a.wav", 16000), expected)
    assert len(expected) == 16000


@pytest.mark.parametrize("samples", [100, audio.SAMPLES_AT_ONCE, 2 * audio.SAMPLES_AT_ONCE + 1])
def test_reading_in_parts_changes_nothing(tmp_path: Path, samples: int) -> None:
    stereo = np.random.default_rng(0).uniform(-1, 1, (samples, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    expected = soxr.resample(stereo.mean(axis=1), 44100, 16000, quality="HQ")
    np.testing.assert_array_equal(audio.read_audio(tmp_path / "a.wav", 16000), expected)


def test_a_bad_file_stops_the_run_before_anything_is_done(
    sounds: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.npz"
    (sounds / "bad.wav").write_text("no sound at all")
    soundfile.write(sounds / "empty.wav", np.zeros(0), 16000)
    soundfile.write(sounds / "nan.wav", np.array([0, np.nan, 0]), 16000, subtype="FLOAT")
    assert embed(sounds, "--weights", weights, "--out", out) == 2
    message = capsys.readouterr().err
    assert "3 of 10 files cannot be used" in message
    for sentence in ("bad.wav: cannot be decoded", "empty.wav: holds no samples", "nan.wav: holds NaN"):
        assert sentence in message
    assert "--skip-bad" in message
    assert not out.exists()
    assert embed(sounds, "--weights", weights, "--out", out, "--skip-bad") == 1
    assert "bad.wav: cannot be decoded" in capsys.readouterr().err
    assert len(np.load(out)["files"]) == 7


def test_a_file_that_changes_between_check_and_use_ends_the_run(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.full(8000, 0.1), 16000)
    check = embed_files.checked_files

    def replaced(*arguments: object) -> object:
        found = check(*arguments)
        soundfile.write(sound, np.full(8000, 0.2), 16000)
        return found

    monkeypatch.setattr(embed_files, "checked_files", replaced)
    assert embed(sound, "--weights", weights, "--out", tmp_path / "x.npz") == 2
    assert "a.wav: was changed since it was checked" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()


def test_doubtful_sound_is_embedded_and_named(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = 0.1 * np.sin(np.arange(16000) * 0.1)
    soundfile.write(tmp_path / "anti.wav", np.stack([wave, -wave], axis=1), 16000)
    soundfile.write(tmp_path / "cut\x1b[2J.wav", wave, 16000)
    os.truncate(tmp_path / "cut\x1b[2J.wav", 16000)
    assert embed(tmp_path, "--weights", weights, "--out", tmp_path / "x.npz") == 0
    error = capsys.readouterr().err
    assert "warning: " + str(tmp_path / "anti.wav") + ": its channels cancel each other" in error
    assert "cut\\x1b[2J.wav: ends after " in error
    assert len(np.load(tmp_path / "x.npz")["files"]) == 2


def test_only_bad_files_are_an_error_even_when_skipped(weights: str, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound at all")
    out = tmp_path / "x.npz"
    assert embed(tmp_path / "bad.wav", "--weights", weights, "--out", out, "--skip-bad") == 2
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nowhere", "--out", "x.npz", "--model", "mae_t", "--allow-random-init"],
            "nowhere: there is no such",
        ),
        (["quiet", "--out", "x.npz", "--model", "mae_t", "--allow-random-init"], "holds no sound files"),
        (
            ["g.wav", "--out", "x.csv", "--model", "mae_t", "--allow-random-init"],
            "must end in .npz or .parquet",
        ),
        (
            ["g.wav", "--out", "no/x.npz", "--model", "mae_t", "--allow-random-init"],
            "no: there is no such folder",
        ),
        (["g.wav", "--out", "x.npz", "--model", "mae_x"], "There is no model 'mae_x'"),
        (["g.wav", "--out", "x.npz", "--model", "mae_b"], "no weights for mae_b: give --weights"),
        (["g.wav", "--out", "x.npz", "--weights", "no.safetensors"], "no.safetensors: there is no such file"),
        (["g.wav", "--out", "x.npz"], "No model was given: name one with --model"),
        (["nowhere", "--out", "x.npz"], "nowhere: there is no such file or folder"),
        (["nowhere", "--out", "x.npz", "--model", "mae_b"], "nowhere: there is no such file or folder"),
        (["g.wav", "--out", "x.csv", "--model", "mae_b"], "must end in .npz or .parquet"),
        (["g.wav", "--out", "x.npz", "--weights", "w", "--device", "abacus"], "--device abacus"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEAR_MWMAE_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Path("quiet").mkdir()
    Path("w").symlink_to(Path(weights).parent)
    soundfile.write("g.wav", np.zeros(1000), 16000)
    assert main(["embed", *arguments]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.wav", "quiet", "w"]


def test_a_full_disk_leaves_no_file(
    sounds: Path,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    for name in ("x.npz", "x.parquet"):
        assert embed(sounds, "--weights", weights, "--out", tmp_path / name) == 2
        assert f"{name}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [sounds]


def test_interruption_keeps_the_old_file(
    sounds: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.parquet"
    out.write_text("old")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hear_mwmae.embedding.EmbeddingModel.scene_embeddings", stop)
    assert embed(sounds, "--weights", weights, "--out", out) == 130
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sounds", "x.parquet"]


def test_models_lists_every_model_and_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path))
    (tmp_path / "mae_b.safetensors").touch()
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["mae_b"].endswith(str(tmp_path / "mae_b.safetensors"))
    assert "85.3 M" in lines["mw_mae_b"]
    assert "12288" in lines["mw_mae_b_5x5"]
    assert "none found" in lines["mw_mae_l_8l"]


def test_convert_with_and_without_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.safetensors"
    arguments = ["convert", str(CHECKPOINT), "--heads", "4", "--out", str(out)]
    assert main(arguments) == 0
    assert "step 7" in capsys.readouterr().out
    assert not any(name.startswith("decoder") for name in read_model_file(out, decoder=True).tensors)
    assert main([*arguments, "--decoder"]) == 0
    assert any(name.startswith("decoder") for name in read_model_file(out, decoder=True).tensors)


@pytest.mark.parametrize(
    ("checkpoint", "options", "sentence"),
    [
        (CHECKPOINT, ["--model", "mw_mae_b"], "has (64, 64) where this model has (768, 64)"),
        (CHECKPOINT, ["--heads", "5"], "head counts 5"),
        ("nowhere", ["--heads", "4"], "nowhere: there is no such file or directory"),
        (golden.COMPACT, ["--heads", "4"], "holds no file checkpoint_<step>"),
        (CHECKPOINT / "config.json", ["--heads", "4"], "nor a whole checkpoint of the released code"),
    ],
)
def test_bad_conversions_write_nothing(
    checkpoint: Path, options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.safetensors"
    assert main(["convert", str(checkpoint), "--out", str(out), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_has_no_traceback_and_help_that_teaches(sounds: Path, tmp_path: Path) -> None:
    arguments = ["embed", str(sounds), "--out", "x.npz", "--model", "mae_b"]
    command = [sys.executable, "-m", "hear_mwmae", *arguments]
    bare = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "no weights for mae_b" in run.stderr
    with pytest.raises(SystemExit, match="0"):
        main(["embed", "--help"])
