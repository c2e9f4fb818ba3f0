"""What supervised training departs from: files, other lengths, position codes."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from small_models import KALDI, LOG_MEL, write_model

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.initialise import init_params, position_codes
from hear_mwmae.supervised.training.initial import adapt_codes, describe_codes, read_encoder, with_frames

LONGER, SHORTER = with_frames(LOG_MEL, 80), with_frames(LOG_MEL, 20)


def codes_of(model: object) -> np.ndarray:
    return np.asarray(init_params(model, jax.random.key(0))["encoder"]["position_codes"])


def test_fewer_columns_keep_the_codes_of_the_first() -> None:
    codes = codes_of(LOG_MEL)
    found = adapt_codes(codes, LOG_MEL, SHORTER, source="file")
    np.testing.assert_array_equal(found, codes[: 1 + 5 * 5])
    assert describe_codes(LOG_MEL, SHORTER) == "position codes of the first 5 of 10 columns"


def test_trained_codes_are_interpolated_in_time() -> None:
    codes = np.zeros((51, 16), np.float32)
    codes[0] = 7
    codes[1:] = np.repeat(np.arange(10.0), 5)[:, None]  # the number of the column
    found = adapt_codes(codes, LOG_MEL, LONGER, source="file")
    np.testing.assert_array_equal(found[0], 7)
    columns = found[1:].reshape(20, 5, 16)
    middles = np.clip((np.arange(20) + 0.5) / 2 - 0.5, 0, 9)
    np.testing.assert_allclose(columns, np.broadcast_to(middles[:, None, None], columns.shape), atol=1e-5)
    assert describe_codes(LOG_MEL, LONGER) == "position codes interpolated from 10 to 20 columns"


def test_fixed_codes_go_on_as_they_began() -> None:
    longer = with_frames(KALDI, 128)
    found = adapt_codes(codes_of(KALDI), KALDI, longer, source="file")
    np.testing.assert_allclose(found[1:], position_codes(longer, longer.width), atol=1e-6)
    np.testing.assert_array_equal(found[: 1 + KALDI.tokens], codes_of(KALDI))
    assert describe_codes(KALDI, longer) == "position codes continued from 4 to 8 columns"


def test_swapped_codes_of_released_files_cannot_go_on() -> None:
    released = dataclasses.replace(KALDI, position_grid="audiomae-released")
    with pytest.raises(UserError, match=r"file: its position codes are of 4 columns .* at most 64 frames"):
        adapt_codes(codes_of(released), released, with_frames(released, 128), source="file")


def test_an_encoder_is_read_for_another_length(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors", LOG_MEL, decoder=False)
    encoder = read_encoder(path, SHORTER)
    assert encoder["position_codes"].shape == (26, 16)
    weight = init_params(LOG_MEL, jax.random.key(0))["encoder"]["blocks"]["mlp"]["hidden"]["weight"]
    np.testing.assert_array_equal(encoder["blocks"]["mlp"]["hidden"]["weight"], weight)
    with pytest.raises(UserError, match="heads is 2, not 4"):
        read_encoder(path, dataclasses.replace(SHORTER, heads=4))
    (tmp_path / "bad.safetensors").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"bad\.safetensors"):
        read_encoder(tmp_path / "bad.safetensors", SHORTER)
