"""Commands of several runs, and what is left of the runs that lay in a directory before."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sounds
import torch
from labelled_runs import PITCHES, command, tone
from PIL import Image
from small_models import LOG_MEL, write_model

from evaluation.results.supervised import read_record
from hear_mwmae import load_model
from hear_mwmae.encoder import LAST_LAYER
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.training.loop import TrainingLoop
from hear_mwmae.supervised.model.probe import frozen_features
from hear_mwmae.supervised.settings import SupervisedConfig

SHORT = ("--epochs", "2", "--warmup-epochs", "0", "--validate-every", "0")


def another(table: Path, name: str, rows: Sequence[str], header: str = "filename,label,fold") -> Path:
    """A table of the same clips."""
    path = table.parent / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def rows_of(table: Path) -> list[list[str]]:
    return [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()[1:]]


def refused(error: str, sentence: str) -> bool:
    last = error.splitlines()[-1]
    return last.startswith("error: ") and sentence in last and "Traceback" not in error


@pytest.mark.parametrize("fold", ["/elsewhere", "../elsewhere", "..", "a/b"])
def test_no_fold_leads_out_of_the_work_directory(
    table: Path, model: Path, tmp_path: Path, fold: str, capsys: pytest.CaptureFixture
) -> None:
    rows = [f"{name},{label},{fold if part == 'f0' else part}" for name, label, part in rows_of(table)]
    data = another(table, "named.csv", rows)
    assert command("finetune", data, model, tmp_path / "run", *SHORT, "--fold", "all") == 2
    assert refused(capsys.readouterr().err, "cannot be the name of a folder")
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_a_directory_of_another_run_stays(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command("probe", table, model, tmp_path, *SHORT) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    data = another(table, "upper.csv", [",".join(row).replace("low", "LOW") for row in rows_of(table)])
    assert command("probe", data, model, tmp_path, *SHORT) == 2
    assert refused(capsys.readouterr().err, "holds a run on other data")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == before


def test_a_run_without_looks_between_has_a_whole_record(table: Path, model: Path, tmp_path: Path) -> None:
    assert command("probe", table, model, tmp_path, *SHORT) == 0
    record = read_record(tmp_path / "scores.json")
    assert (record.best, record.best_epoch) == (record.last, 2)


@pytest.mark.parametrize("damaged", ["{}", "[]", "{", '{"metric": "accuracy", "test": {"last": null}}'])
def test_a_damaged_record_is_written_anew(table: Path, model: Path, tmp_path: Path, damaged: str) -> None:
    assert command("probe", table, model, tmp_path, *SHORT) == 0
    whole = (tmp_path / "scores.json").read_text(encoding="utf-8")
    (tmp_path / "scores.json").write_text(damaged, encoding="utf-8")
    assert command("probe", table, model, tmp_path, *SHORT) == 0
    assert (tmp_path / "scores.json").read_text(encoding="utf-8") == whole


def test_a_run_in_the_place_of_another_does_not_take_its_score(
    table: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("probe", table, model, tmp_path, *SHORT) == 0
    (tmp_path / "checkpoints").rename(tmp_path / "put away")

    def stop(loop: TrainingLoop, watchers: object = ()) -> None:
        raise UserError("Stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "train", stop)
        assert command("probe", table, model, tmp_path, *SHORT, "--seed", "5") == 2
    assert not (tmp_path / "scores.json").exists()


def test_folds_of_other_lengths_score_in_a_series_as_alone(model: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(36):
        label, fold = list(PITCHES)[number % 3], number // 3 % 3
        sounds.write(tmp_path / f"{number}.wav", np.tile(tone(PITCHES[label], number), 1 + fold))
        rows.append(f"{number}.wav,{label},f{fold}")
    data = another(tmp_path / "any", "varied.csv", rows)
    assert command("probe", data, model, tmp_path / "series", *SHORT, "--fold", "all") == 0
    for part in ("f1", "f2"):
        assert command("probe", data, model, tmp_path / part, *SHORT, "--fold", part) == 0
        folders = (tmp_path / "series" / part / "seed0", tmp_path / part)
        found = [np.load(folder / "predictions.npz")["logits"] for folder in folders]
        np.testing.assert_array_equal(*found)


def test_a_kernel_that_the_device_lacks_is_refused(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command("finetune", table, model, tmp_path / "run", *SHORT, "--kernel", "cudnn") == 2
    assert refused(capsys.readouterr().err, "--kernel cudnn needs an NVIDIA GPU")


@pytest.mark.parametrize("options", [("--log-every", "0"), ("--workers", "-1")])
def test_options_are_refused_before_anything_is_made(
    table: Path, model: Path, tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture
) -> None:
    assert command("probe", table, model, tmp_path / "run", *SHORT, *options) == 2
    assert refused(capsys.readouterr().err, "--log-every must be at least 1")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--learning-rates", "nan"), "a probe needs learning_rates above 0"),
        (("--learning-rates", "1", "inf"), "a probe needs learning_rates above 0"),
        (("--batch-size", "1"), "one clip has no variance"),
        (("--frames", "1000000000"), "beyond 100000"),
        (("--weight-decay", "1e30"), "lower --learning-rates"),
    ],
)
def test_a_mistake_of_a_probe_is_one_sentence(
    table: Path,
    model: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture,
) -> None:
    assert command("probe", table, model, tmp_path / "run", *SHORT, *options) == 2
    assert refused(capsys.readouterr().err, sentence)


def test_a_probe_has_neither_masks_nor_a_limit_of_its_gradient() -> None:
    for field in ("clip_norm", "mask_time_ratio", "mask_frequency_ratio"):
        with pytest.raises(UserError, match="masks and clip_norm are of fine-tuning"):
            SupervisedConfig(LOG_MEL, mode="probe", **{field: 0.3})


@pytest.mark.parametrize(
    ("tested", "options", "sentence"),
    [("", (), "no clip of the part 'test' has a label"), ("low", ("--loss", "ce"), "give --loss bce")],
)
def test_several_labels_need_their_loss_and_something_to_score(
    table: Path, model: Path, tmp_path: Path, tested: str, options: tuple[str, ...], sentence: str,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    labels = {"f0": tested, "f1": "low", "f2": "low;high", "f3": "high"}
    rows = [f"{name},{labels[fold]},{fold}" for name, _, fold in rows_of(table)]
    data = another(table, "several.csv", rows, "filename,labels,fold")
    assert command("finetune", data, model, tmp_path / "run", *SHORT, *options) == 2
    assert refused(capsys.readouterr().err, sentence)


def test_sound_without_a_header_is_named(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (table.parent / "x.raw").write_bytes(bytes(1000))
    data = another(table, "raw.csv", [*map(",".join, rows_of(table)), "x.raw,low,f2"])
    assert command("probe", data, model, tmp_path / "run", *SHORT) == 2
    assert refused(
        capsys.readouterr().err, "x.raw: cannot be decoded as sound (it has no header that says the rate)"
    )


@pytest.mark.slow
def test_pictures_need_no_published_run(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("n0", "n1"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(2):
                pixels = generator.integers(0, 255, (30, 30, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{number}.JPEG")
    pictures = dataclasses.replace(LOG_MEL, input_size=(224, 672), patch_size=(16, 48), front_end="rgb_224")
    model = write_model(tmp_path / "pictures.safetensors", pictures, decoder=False)
    options = ("--epochs", "1", "--warmup-epochs", "0", "--batch-size", "4")
    assert command("finetune", tmp_path / "data", model, tmp_path / "run", *options) == 0


def test_masks_leave_whole_windows() -> None:
    windows = dataclasses.replace(LOG_MEL, class_token=False, mask_ratio=0.5, encoder_windows=(25, 0))
    SupervisedConfig(windows, mask_time_ratio=0.5)
    with pytest.raises(UserError, match="must divide the 35 tokens that masks leave"):
        SupervisedConfig(windows, mask_time_ratio=0.3)


@pytest.mark.parametrize("after", [False, True])
def test_a_probe_reads_the_scene_embedding(tmp_path: Path, after: bool) -> None:
    """Also of a fine-tuned model, which is normalised after the mean."""
    small = dataclasses.replace(LOG_MEL, norm_after_pooling=after)
    encoder = load_model(str(write_model(tmp_path / "small.safetensors", small, decoder=False))).encoder
    config = SupervisedConfig(small, mode="probe", pooling="hear", drop_path=0.0, input_frames=80)
    features = np.random.default_rng(0).standard_normal((2, 80, 80)).astype(np.float32)
    params = init_params(small, jax.random.key(0))["encoder"]
    columns = encoder.columns(encoder.tokens(torch.from_numpy(features.reshape(4, 40, 80))))
    expected = encoder.normalise_pooled(columns.reshape(2, 20, -1).mean(dim=1), LAST_LAYER)
    found = frozen_features(params, jnp.asarray(features), config)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
