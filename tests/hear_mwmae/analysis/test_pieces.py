"""Pieces: cut, filled up and normalised as pre-training does, and stitched in order."""

import numpy as np
import pytest
import small_models

from hear_mwmae.analysis.pieces import Normalisation, analyse, columns_with, cut, real_columns, stitch
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data import crops
from hear_mwmae.pretrain.data.log_mel import standardise

kinds = pytest.mark.parametrize("config", small_models.CONFIGS.values(), ids=small_models.CONFIGS)


@kinds
@pytest.mark.parametrize("frames", [1, 30, 40, 64, 65, 200])
def test_pieces_are_stitched_in_order(config, frames: int) -> None:
    values = np.arange(frames * 3).reshape(frames, 3)
    pieces = cut(values, config)
    assert {piece.shape for piece in pieces} == {(config.input_size[0], 3)}
    np.testing.assert_array_equal(stitch(pieces, frames), values)


def test_a_short_clip_is_filled_up_as_in_training() -> None:
    log_mel = np.random.default_rng(0).normal(-5, 3, (25, 80)).astype(np.float32)
    [piece] = cut(log_mel, small_models.LOG_MEL)
    expected = standardise(log_mel)[crops.reflected_positions(25, 40)]
    np.testing.assert_array_equal(piece, log_mel[crops.reflected_positions(25, 40)])
    np.testing.assert_allclose(
        Normalisation.of(small_models.LOG_MEL, log_mel).apply(piece), expected, atol=1e-6
    )

    fbank = np.random.default_rng(0).normal(-5, 3, (25, 128)).astype(np.float32)
    [piece] = cut(fbank, small_models.KALDI)
    normalised = Normalisation.of(small_models.KALDI, fbank).apply(piece)
    np.testing.assert_allclose(normalised[:25], (fbank + 4.2677393) / (2 * 4.5689974), atol=1e-6)
    np.testing.assert_allclose(normalised[25:], 0.467, atol=1e-3)


@kinds
def test_normalising_is_undone(config) -> None:
    log_mel = np.random.default_rng(0).normal(-5, 3, (9, config.input_size[1])).astype(np.float32)
    one = Normalisation.of(config, log_mel)
    np.testing.assert_allclose(one.undo(one.apply(log_mel)), log_mel, atol=1e-5)


def test_columns_with_sound_and_with_marked_frames() -> None:
    assert real_columns(small_models.LOG_MEL, 40) == [10]
    assert real_columns(small_models.LOG_MEL, 85) == [10, 10, 2]
    assert real_columns(small_models.KALDI, 65) == [4, 1]
    marked = np.zeros(30, bool)
    marked[27] = True
    # Frame 27 of 30 comes back, reflected, as frame 31.
    [columns] = columns_with(marked, small_models.LOG_MEL)
    np.testing.assert_array_equal(np.flatnonzero(columns), [6, 7])
    [columns] = columns_with(marked, small_models.KALDI)
    np.testing.assert_array_equal(np.flatnonzero(columns), [1])


@kinds
@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.ones(1, np.float32), "has 1 samples at 16000 Hz, and one frame needs"),
        (np.zeros(8000, np.float32), "is silent"),
        (np.ones(601 * 16000, np.float32), "is longer than 600 s"),
    ],
)
def test_sounds_that_no_model_could_do_anything_with(config, samples: np.ndarray, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        analyse(small_models.trained(config), samples)
