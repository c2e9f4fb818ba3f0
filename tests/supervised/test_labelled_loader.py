"""Batches of labelled clips: against the plain way, for any hosts and workers, after a restart."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from paths import ROOT
from PIL import Image
from sounds import tone, write

from hear_mwmae.config import AUDIO_MAE_B, BASE, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.images import read_image
from hear_mwmae.pretrain.data.loader import BatchIterator
from hear_mwmae.pretrain.data.log_mel import standardise
from hear_mwmae.supervised.data.augment import centred
from hear_mwmae.supervised.data.clips import ClipReader
from hear_mwmae.supervised.data.features import model_input
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.loader import Batch, evaluation_batches, training_batches
from hear_mwmae.supervised.data.plans import LabelledPlan
from hear_mwmae.supervised.settings import SupervisedConfig

SECONDS = [0.3, 0.6, 0.4, 0.005, 0.7, 0.5, 0.45, 0.62, 0.31, 0.55]
FBANK = dataclasses.replace(AUDIO_MAE_B, input_size=(48, 128), decoder_attention="global")
LOG_MEL = dataclasses.replace(BASE, input_size=(40, 80))
PICTURES = dataclasses.replace(BASE, input_size=(224, 672), front_end="rgb_224", patch_size=(16, 48))
VARIED: dict[str, Any] = {
    "roll": True,
    "gain": True,
    "mixup": 0.6,
    "loss": "bce",
    "specaug_bands": 24,
    "specaug_frames": 12,
    "noise_db": 20.0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledData:
    folder, clips = tmp_path_factory.mktemp("clips"), []
    for number, seconds in enumerate(SECONDS):
        path = write(folder / f"{number}.wav", tone(seconds, seed=number), subtype="FLOAT")
        labels = (number % 3,) if number % 4 else (number % 3, 3)
        clips.append(LabelledClip(path.name, path, labels))
    return LabelledData("own", tuple("abcd"), True, tuple(clips), (), tuple(clips[:5]))


def config_of(model: ModelConfig = FBANK, **options: Any) -> SupervisedConfig:
    return SupervisedConfig(model=model, **({"batch_size": 4, "seed": 7} | options))


def take(batches: BatchIterator[Batch], count: int) -> list[Batch]:
    found = [Batch(*map(np.array, next(batches))) for _ in range(count)]
    batches.close()
    return found


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    for batch, other in zip(found, expected, strict=True):
        assert batch.features.tobytes() == other.features.tobytes()
        assert batch.targets.tobytes() == other.targets.tobytes()


def plain_rows(
    data: LabelledData, config: SupervisedConfig, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows the plain way: whole files, one step after the other, in float64 where that is easy."""
    for row in LabelledPlan(data, config, 0, 1).rows_of(step):
        waveforms, targets = [], []
        for used in (row.first, row.second):
            if used:
                clip = data.training[used.clip]
                samples, _ = soundfile.read(clip.path)
                samples = samples - samples.mean()
                first = int(used.start * len(samples))
                waveforms.append(used.gain * np.concatenate([samples[first:], samples[:first]]))
                targets.append(np.array([float(label in clip.labels) for label in range(len(data.classes))]))
        mixture, target = waveforms[0], targets[0]
        if row.second:
            second = np.zeros(len(mixture))
            second[: len(waveforms[1])] = waveforms[1][: len(mixture)]
            mixture = row.share * mixture + (1 - row.share) * second
            target = row.share * targets[0] + (1 - row.share) * targets[1]
        features = model_input(mixture.astype(np.float32), config.model, row.hiding)
        yield (row.noise(features) if row.noise else features), target


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (FBANK, {}),
        (FBANK, VARIED),
        (FBANK, VARIED | {"ast_noise": True}),
        (LOG_MEL, {"mixup": 1.0, "loss": "bce", "roll": True, "specaug_bands": 20}),
    ],
)
def test_every_row_is_a_varied_clip(data: LabelledData, model: ModelConfig, options: dict[str, Any]) -> None:
    config = config_of(model, **options)
    for step, batch in enumerate(take(training_batches(data, config, threads=0), 5)):
        assert batch.features.dtype == batch.targets.dtype == np.float32
        assert batch.features.shape == (4, *model.input_size)
        for features, targets, (plain, plain_targets) in zip(
            *batch, plain_rows(data, config, step), strict=True
        ):
            # Rounding of the waveform to float32 shows in quiet cells; a wrong sample shows everywhere.
            assert np.abs(features - plain).mean() < 1e-4
            assert np.quantile(np.abs(features - plain), 0.99) < 1e-3
            np.testing.assert_allclose(targets, plain_targets, rtol=0, atol=1e-7)


@pytest.mark.parametrize("options", [{}, VARIED, {"sampling": "weighted", "clips_per_epoch": 8}])
def test_hosts_share_the_rows_of_the_same_batches(data: LabelledData, options: dict[str, Any]) -> None:
    config = config_of(**options)
    alone = take(training_batches(data, config), 5)
    parts = [take(training_batches(data, config, process_index=h, process_count=2), 5) for h in (0, 1)]
    joined = [Batch(*map(np.concatenate, zip(*shares, strict=True))) for shares in zip(*parts, strict=True)]
    assert_same(joined, alone)


@pytest.mark.parametrize("options", [{"threads": 3}, {"workers": 1, "threads": 1}])
def test_threads_and_workers_change_nothing(data: LabelledData, options: dict[str, int]) -> None:
    config = config_of(**VARIED)
    assert_same(
        take(training_batches(data, config, **options), 7),
        take(training_batches(data, config, threads=0), 7),
    )


def test_a_position_within_an_epoch_continues_bit_for_bit(data: LabelledData) -> None:
    config = config_of(**VARIED)
    batches = training_batches(data, config)
    whole = [Batch(*map(np.array, next(batches))) for _ in range(3)]
    state = batches.get_state()
    whole += take(batches, 3)
    assert state == {"step": 3}
    again = training_batches(data, config)
    again.set_state(state)
    assert_same(take(again, 3), whole[3:])


RESTARTED = """
import hashlib, pickle, sys
from hear_mwmae.supervised.data.loader import training_batches

if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        data, config = pickle.load(file)
    batches = training_batches(data, config, workers=2)
    batches.set_state({"step": 3})
    print(*(hashlib.sha256(b"".join(array.tobytes() for array in next(batches))).hexdigest() for _ in "ab"))
    batches.close()
"""


@pytest.mark.slow
def test_a_saved_position_continues_in_a_new_process_with_workers(data: LabelledData, tmp_path: Path) -> None:
    config, program, given = config_of(**VARIED), tmp_path / "restarted.py", tmp_path / "given"
    program.write_text(RESTARTED)
    given.write_bytes(pickle.dumps((data, config)))
    whole = take(training_batches(data, config), 5)
    expected = [
        hashlib.sha256(b"".join(array.tobytes() for array in batch)).hexdigest() for batch in whole[3:]
    ]
    found = subprocess.run(
        [sys.executable, program, given],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert found.stdout.split() == expected


@pytest.mark.parametrize("model", [FBANK, LOG_MEL])
def test_evaluation_takes_every_clip_once_in_order_as_it_is(data: LabelledData, model: ModelConfig) -> None:
    batches = list(evaluation_batches(data.test, 4, config_of(model), 3))
    assert [len(batch.features) for batch in batches] == [3, 2]
    rows = [row for batch in batches for row in zip(*batch, strict=True)]
    for clip, (features, targets) in zip(data.test, rows, strict=True):
        samples, _ = soundfile.read(clip.path, dtype="float32")
        assert np.array_equal(features, model_input(centred(samples), model))
        assert np.flatnonzero(targets).tolist() == list(clip.labels)
    assert not list(evaluation_batches((), 4, config_of(model), 3))


def test_pictures_are_standardised_each_by_itself(tmp_path: Path) -> None:
    values, clips = np.random.default_rng(0).integers(0, 255, (2, 230, 300, 3), np.uint8), []
    for number, value in enumerate(values):
        Image.fromarray(value).save(tmp_path / f"{number}.png")
        clips.append(LabelledClip(f"{number}.png", tmp_path / f"{number}.png", (number,)))
    (batch,) = evaluation_batches(clips, 2, config_of(PICTURES), 8)
    for features, clip in zip(batch.features, clips, strict=True):
        assert np.array_equal(features, standardise(read_image(clip.path)))
    data = LabelledData("pictures", ("a", "b"), False, tuple(clips), (), ())
    [trained] = take(training_batches(data, config_of(PICTURES, batch_size=2)), 1)
    assert np.array_equal(trained.features, batch.features[np.argmax(trained.targets, axis=1)])


def count_decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    from hear_mwmae.audio import read_sound

    seen: list[Path] = []
    counted = "hear_mwmae.supervised.data.clips.read_sound"
    monkeypatch.setattr(counted, lambda path, rate: seen.append(path) or read_sound(path, rate))
    return seen


def test_what_fits_is_decoded_once(data: LabelledData, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = count_decodings(monkeypatch)
    take(training_batches(data, config_of(), threads=0), 6)
    assert len(seen) == len(set(seen)) <= len(SECONDS)
    seen.clear()
    reader = ClipReader("fbank_128")
    for _ in range(3):
        list(evaluation_batches(data.test, 4, config_of(), 2, reader=reader, threads=0))
    assert len(seen) == len(data.test)
    assert not reader.read(data.test[0]).flags.writeable


def test_the_first_clips_stay_when_the_memory_is_spent(
    data: LabelledData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_decodings(monkeypatch)
    first, second, third, tiny = data.training[:4]
    reader = ClipReader("fbank_128", most_bytes=4 * 16000)
    for _ in range(2):
        for clip in (first, second, third, tiny):
            assert len(reader.read(clip)) == round(SECONDS[data.training.index(clip)] * 16000)
    # 0.3 and 0.6 s fit, then 0.005 s; 0.4 s do not.
    assert [path.name for path in seen] == ["0.wav", "1.wav", "2.wav", "3.wav", "2.wav"]
    copied = pickle.loads(pickle.dumps(reader))
    copied.read(first)
    assert len(seen) == 6


def test_a_clip_that_cannot_be_decoded_is_named_with_a_remedy(data: LabelledData, tmp_path: Path) -> None:
    broken = tmp_path / "bro\nken.wav"
    broken.write_bytes(b"RIFF nothing")
    clips = tuple(LabelledClip("bro\nken.wav", broken, (0,)) for _ in range(4))
    batches = training_batches(dataclasses.replace(data, training=clips), config_of())
    with pytest.raises(UserError) as raised:
        take(batches, 1)
    message = str(raised.value)
    assert r"bro\nken.wav: cannot be decoded as sound (" in message
    assert message.endswith("; repair it, or list it in --leave-out.")


@pytest.mark.parametrize("model", [FBANK, PICTURES])
@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "text"])
def test_what_is_no_clip_is_one_sentence(tmp_path: Path, model: ModelConfig, kind: str) -> None:
    path = tmp_path / "a.wav"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "no sound, no picture")
    with pytest.raises(UserError, match=r"a\.wav: .*; repair it, or list it in --leave-out\.$") as raised:
        ClipReader(model.front_end).read(LabelledClip("a.wav", path, (0,)))
    assert "\n" not in str(raised.value)


def test_samples_that_float32_cannot_square_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(0.1) * np.float32(1e30), subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav: holds samples beyond 1e\+12, .*; repair it, or list it in"):
        ClipReader("fbank_128").read(LabelledClip("a.wav", path, (0,)))
    path = write(tmp_path / "b.wav", tone(0.1) * np.float32(1e11), subtype="FLOAT")
    (batch,) = evaluation_batches([LabelledClip("b.wav", path, (0,))], 1, config_of(), 1)
    assert np.isfinite(batch.features).all()
