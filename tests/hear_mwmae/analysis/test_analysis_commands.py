"""`hear-mwmae reconstruct` and `conceal`, from sound files to a page; every mistake is one sentence."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import small_models
import soundfile

from hear_mwmae.__main__ import main
from hear_mwmae.analysis import inputs

LOG_MEL, KALDI = small_models.LOG_MEL, small_models.KALDI
MODELS = {
    "log_mel": (LOG_MEL, True),
    "kaldi": (KALDI, True),
    "encoder": (LOG_MEL, False),
    "norm": (dataclasses.replace(LOG_MEL, norm_pix_loss=True), True),
    "contrastive": (dataclasses.replace(KALDI, objective="contrastive"), True),
    "both": (dataclasses.replace(KALDI, objective="both"), True),
    "picture": (
        dataclasses.replace(LOG_MEL, front_end="rgb_224", input_size=(224, 672), patch_size=(16, 48)),
        True,
    ),
    "windows": (
        dataclasses.replace(LOG_MEL, class_token=False, encoder_windows=(10, 0), mask_ratio=0.8),
        True,
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, (config, decoder) in MODELS.items():
        small_models.write_model(folder / f"{name}.safetensors", config, decoder=decoder)
    return folder


@pytest.fixture
def place(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models and sounds."""
    for name in MODELS:
        (tmp_path / f"{name}.safetensors").symlink_to(models / f"{name}.safetensors")
    for name, sound in {
        "a": small_models.voice(1.0),
        "chirp": small_models.chirp(0.7),
        "<b>&": small_models.voice(0.5),
        "silence": np.zeros(8000),
        "one": np.ones(1) / 2,
        "empty": np.zeros(0),
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, small_models.RATE)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def links(page: Path) -> list[str]:
    return re.findall(r'src="([^"]*)"', page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("model", ["log_mel", "kaldi", "both"])
def test_reconstruct(place: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "a.wav",
        "<b>&.wav",
        "--model",
        f"{model}.safetensors",
        "--out",
        "out",
        "--mask-ratio",
        "0.6",
    ]
    assert main(["reconstruct", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "a.wav: 1.00 s, 6" in printed
    assert "out/index.html: 2 files" in printed
    kinds = ("original.wav", "masked.wav", "output.wav", "png")
    expected = [f"{name}.{kind}" for name in ("a", "b") for kind in kinds]
    assert links(place / "out" / "index.html") == expected
    assert {path.name for path in (place / "out").iterdir()} == {*expected, "index.html"}
    page = (place / "out" / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;.wav" in page
    assert "60 % of the patches at random" in page
    for kind in kinds[:3]:
        sound, rate = soundfile.read(place / "out" / f"a.{kind}")
        assert (len(sound), rate) == (16000, 16000)
        assert np.abs(sound).max() > 0.001
    before = [(place / "out" / name).read_bytes() for name in expected]
    assert main(["reconstruct", *arguments]) == 0
    assert [(place / "out" / name).read_bytes() for name in expected] == before


def test_a_model_whose_output_has_no_level_gives_pictures_only(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", "a.wav", "--model", "norm.safetensors", "--out", "out"]) == 0
    assert "warning: norm.safetensors was trained with norm_pix_loss" in capsys.readouterr().err
    assert {path.name for path in (place / "out").iterdir()} == {"a.png", "index.html"}
    assert "true mean and deviation" in (place / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["log_mel", "kaldi"])
@pytest.mark.parametrize("which", [["--loss", "0.25"], ["--lost", "0.2-0.31,0.6-0.7"]])
def test_conceal(place: Path, model: str, which: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conceal", "a.wav", "--model", f"{model}.safetensors", "--out", "out", *which]) == 0
    printed = capsys.readouterr().out
    rows = {line.strip()[:24].strip(): line.split()[-2:] for line in printed.splitlines() if line[:2] == "  "}
    assert list(rows) == ["in place of what is lost", "silence", "interpolation", "model", "true log-mels"]
    assert rows["silence"][1] == "0.0"
    assert rows["true log-mels"][0] == "0.0"
    kinds = ("original.wav", "received.wav", "interpolated.wav", "concealed.wav", "png")
    assert links(place / "out" / "index.html") == [f"a.{kind}" for kind in kinds]
    sounds = {kind: soundfile.read(place / "out" / f"a.{kind}")[0] for kind in kinds[:4]}
    assert {len(sound) for sound in sounds.values()} == {16000}
    lost = sounds["received.wav"] != sounds["original.wav"]
    assert 0 < lost.sum() < 8000
    if which[0] == "--lost":
        assert set(np.flatnonzero(lost)) <= {*range(3200, 4960), *range(9600, 11200)}
    changed = np.flatnonzero(sounds["concealed.wav"] != sounds["original.wav"])
    assert all(lost[max(0, at - 81) : at + 82].any() for at in changed)


def test_a_bundled_model_by_its_name(place: Path) -> None:
    assert inputs.model_file("mw_mae_t").name == "mw_mae_t.safetensors"
    assert main(["conceal", "a.wav", "--model", "mae_t", "--out", "out", "--lost", "0.3-0.4"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.wav", "--model", "encoder.safetensors"], "encoder.safetensors: has no decoder; export it"),
        (["a.wav", "--model", "contrastive.safetensors"], "was trained with the contrastive objective alone"),
        (["a.wav", "--model", "picture.safetensors"], "picture.safetensors: is a model of pictures"),
        (["a.wav", "--model", "no.safetensors"], "no.safetensors: there is no such file"),
        (["a.wav", "--model", "."], "There is no model '.'"),
        (["a.wav", "--model", "mae_x"], "There is no model 'mae_x'"),
        (["a.wav", "--model", "mae_b"], "There are no weights for mae_b"),
        (["no.wav"], "no.wav: there is no such file or folder"),
        (["file"], "file: cannot be decoded as sound"),
        (["silence.wav"], "silence.wav: is silent"),
        (["one.wav"], "one.wav: has 1 samples at 16000 Hz, and one frame needs 201"),
        (["empty.wav"], "empty.wav: holds no samples"),
        (["a.wav", "--out", "file"], "file: is a file; name a folder with --out"),
        (["a.wav", "--seed", "-1"], "--seed -1 must not be negative"),
    ],
)
@pytest.mark.parametrize("command", ["reconstruct", "conceal"])
def test_mistakes_are_one_sentence(
    place: Path, command: str, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(place, [command, *arguments], sentence, capsys)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["reconstruct", "a.wav", "--mask-ratio", "1"], "--mask-ratio 1.0 is not between 0 and 1"),
        (["reconstruct", "a.wav", "--mask-ratio", "0"], "--mask-ratio 0.0 is not between 0 and 1"),
        (["reconstruct", "a.wav", "--mask", "time", "--mask-time", "2"], "--mask-time 2.0 is not between"),
        (["reconstruct", "a.wav", "--mask-frequency", "0.5"], "has no meaning with --mask random"),
        (["reconstruct", "a.wav", "--mask-ratio", "0.999"], "a.wav: The mask hides 50 of 50 patches"),
        (["reconstruct", "a.wav", "--mask-ratio", "0.001"], "a.wav: The mask hides 0 of 50 patches"),
        (
            ["reconstruct", "a.wav", "--model", "windows.safetensors", "--mask-ratio", "0.7"],
            "The windows of this model's encoder do not divide",
        ),
        (["reconstruct", "a.wav", "silence.wav"], "silence.wav: is silent"),
        (["conceal", "a.wav", "--model", "norm.safetensors"], "norm.safetensors: was trained with norm_pix"),
        (["conceal", "a.wav", "--loss", "0"], "--loss 0.0 is not between 0 and 1"),
        (["conceal", "a.wav", "--loss", "1"], "--loss 1.0 is not between 0 and 1"),
        (["conceal", "a.wav", "--loss", "0.01"], "--loss 0.01 loses 0 of 10 columns"),
        (["conceal", "a.wav", "--loss", "0.99"], "--loss 0.99 loses 10 of 10 columns"),
        (["conceal", "a.wav", "--lost", "0.9-1.1"], "a.wav: lasts 1.000 s, and --lost 0.9-1.1 is outside"),
        (["conceal", "a.wav", "--lost", "0.2"], "--lost '0.2' is no span of seconds"),
        (["conceal", "a.wav", "--lost", "0.3-0.2"], "--lost '0.3-0.2' does not end after it begins"),
        (["conceal", "a.wav", "--lost", "0-1"], "a.wav: is lost as a whole"),
        (["conceal", "a.wav", "--lost", "0.35-0.85"], "a.wav: has nothing left from 0.4 to 0.8 s"),
        (["conceal", "."], ".: is a folder; name one sound file"),
    ],
)
def test_mistakes_of_one_command_are_one_sentence(
    place: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(place, arguments, sentence, capsys)


def refused(place: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with status 2 and this sentence, and has written nothing."""
    there = sorted(path.name for path in place.iterdir())
    for option, value in {"--model": "log_mel.safetensors", "--out": "out"}.items():
        arguments = arguments if option in arguments else [*arguments, option, value]
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    assert sentence in said
    assert sorted(path.name for path in place.iterdir()) == there
