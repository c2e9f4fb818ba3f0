"""The training command's settings: where they come from, and what is refused."""

import json
from pathlib import Path

import pytest
from sounds import write_tones

from hear_mwmae import processor
from hear_mwmae.config import NAMED_MODELS, ModelConfig, paper_windows
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.__main__ import _parser, main, train_config
from hear_mwmae.pretrain.configs import find_run
from hear_mwmae.pretrain.data.prepare import Options, prepare
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.cost import warn_of_emulation

RUN = ["--data", "data", "--workdir", "run"]


def settings(*arguments: str) -> TrainConfig:
    return train_config(_parser().parse_args([*arguments, *RUN]))


def test_a_named_model_has_the_papers_settings() -> None:
    assert settings("--model", "mae_t") == TrainConfig(NAMED_MODELS["mae_t"].config)


def test_a_published_run_is_taken_as_it_is_or_changed_where_told() -> None:
    assert settings("--config", "table7:mw_mae_5x5") == find_run("table7:mw_mae_5x5").train
    changed = settings("--config", "table7:mw_mae_5x5", "--tiny", "--epochs", "3", "--decay", "mask")
    assert changed.model == find_run("table7:mw_mae_5x5", tiny=True).train.model
    assert (changed.epochs, changed.decay_all, changed.decay_tokens) == (3, False, False)
    changed = settings("--config", "table7:mw_mae_5x5", "--decay", "tokens", "--min-learning-rate", "1e-6")
    assert (changed.min_learning_rate, changed.decay_all, changed.decay_tokens) == (1e-6, False, True)


def test_settings_survive_json() -> None:
    for arguments in ([], ["--epochs", "3", "--warmup-epochs", "0.5", "--clip-norm", "1", "--decay", "mask"]):
        config = settings("--model", "mw_mae_t", *arguments)
        assert TrainConfig.from_json(config.to_json()) == config


def test_a_run_rolls_and_amplifies_where_told() -> None:
    config = settings("--model", "audio_mae_b", "--roll", "--gain")
    assert (config.roll, config.gain) == (True, True)
    assert TrainConfig.from_json(config.to_json()) == config
    config = settings("--model", "audio_mae_b", "--no-roll")
    assert (config.roll, config.gain) == (False, False)


def test_settings_of_before_there_were_variations_are_read() -> None:
    values = json.loads(settings("--model", "mae_t").to_json())
    del values["roll"], values["gain"]
    config = TrainConfig.from_json(json.dumps(values))
    assert (config.roll, config.gain) == (False, False)
    with pytest.raises(UserError, match="roll = 1 in the configuration has the wrong type"):
        TrainConfig.from_json(json.dumps(values | {"roll": 1}))


def test_a_model_can_be_normalised_by_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds, data = write_tones(tmp_path / "sounds", [0.3] * 3), tmp_path / "data"
    manifest = prepare([sounds], data, options=Options(front_end="fbank_128"), workers=1)
    command = ["--model", "audio_mae_b", "--data", str(data), "--workdir", "run"]

    def model(*arguments: str) -> ModelConfig:
        return train_config(_parser().parse_args([*command, *arguments])).model

    for arguments in ([], ["--normalise", "model"]):
        assert model(*arguments) == NAMED_MODELS["audio_mae_b"].config
    found = model("--normalise", "data", "--model-options", '{"mask_ratio": 0.7, "feature_std": 0}')
    assert (found.feature_mean, found.feature_std) == (manifest.feature_mean, manifest.feature_std)
    assert found.mask_ratio == 0.7
    path = data / "manifest.json"
    values = json.loads(path.read_text())
    del values["feature_mean"], values["feature_std"]
    path.write_text(json.dumps(values))
    assert main([*command, "--normalise", "data"]) == 2
    error = capsys.readouterr().err
    assert "its manifest tells no deviation of its values; prepare the data again into another" in error
    assert error.count("\n") == 1


def test_fields_of_the_model_can_be_changed() -> None:
    model = settings("--model", "mae_t", "--model-options", '{"class_token": false}').model
    assert not model.class_token
    options = '{"patch_size": [8, 16], "decoder_windows": "paper", "position_codes": "fixed"}'
    model = settings("--model", "mw_mae_t", "--model-options", options).model
    assert model.decoder_windows == paper_windows(125)
    assert model.decoder_heads == 4
    assert model.position_codes == "fixed"
    options = '{"decoder_windows": [5, 5, 10, 10, 50, 50, 0, 0], "relative_position_bias": false}'
    model = settings("--model", "mw_mae_t", "--model-options", options).model
    assert model.decoder_windows == (5, 5, 10, 10, 50, 50, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mae_t", "--tiny"], "give it with --config"),
        (
            ["--config", "table7:mw_mae_6x6"],
            "There is no run 'table7:mw_mae_6x6'; use one of table7:mae_8x16",
        ),
        (["--model", "mae_t", "--model-options", "class_token"], "is not JSON"),
        (["--model", "mae_t", "--model-options", "[1]"], "is not a JSON object"),
        (["--model", "mae_t", "--model-options", '{"widht": 64}'], "unknown key 'widht'"),
        (["--model", "mw_mae_t", "--model-options", '{"patch_size": [8, 16]}'], "must divide the 125 tokens"),
        (["--model", "mae_t", "--epochs", "5"], "warmup_epochs 10 is not between 0 and the 5 epochs"),
        (["--model", "mae_t", "--epochs", "0"], "epochs 0 is not a number above 0"),
        (["--model", "mae_t", "--epochs", "inf"], "epochs inf is not a number above 0"),
        (["--model", "mae_t", "--beta2", "1"], "must be at least 0 and below 1"),
        (
            ["--model", "mae_t", "--gain"],
            "gain is taken off again where each clip is standardised by its own",
        ),
        (["--config", "table5:mae_m", "--roll"], "roll and gain are of sound, and the model reads pictures"),
        (["--model", "mae_t", "--normalise", "data"], "there is no such folder of prepared data"),
        (["--model", "mae_t"], "there is no such folder of prepared data"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *RUN]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("native", "precision", "warned"),
    [
        (False, "bfloat16", True),
        (False, "float32", False),
        (True, "bfloat16", False),
        (None, "bfloat16", False),
    ],
)
def test_bfloat16_is_warned_of_where_it_is_emulated(
    native: bool | None, precision: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "multiplies_bf16", lambda: native)
    config = settings("--model", "mae_t", "--precision", precision)
    if warned:
        with pytest.warns(processor.SlowPrecisionWarning, match="bf16 is computed in float32 and no faster"):
            warn_of_emulation(config.precision)
    else:
        warn_of_emulation(config.precision)


def test_options_of_a_model_that_no_reader_survives_are_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for options in ("[" * 100_000, '{"width": ' + "9" * 5000 + "}", '{"mask_ratio": NaN}', '{"x\x1b[2J": 1}'):
        assert main(["--model", "mae_t", "--model-options", options, *RUN]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert "\x1b" not in error
        assert len(error) < 400
