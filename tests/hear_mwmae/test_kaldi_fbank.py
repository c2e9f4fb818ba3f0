"""The Kaldi filter bank against numbers of kaldi-native-fbank 1.22.5 (its C++ code is Kaldi's own)."""

import numpy as np
import pytest
import torch
from paths import DATA

from hear_mwmae.kaldi_fbank import BANDS, LOG_FLOOR, KaldiFbank

COPY = DATA / "kaldi_fbank.npz"


@pytest.mark.parametrize(("window", "scale"), [("hanning", 1.0), ("povey", 32768.0)])
def test_equal_to_kaldi(window: str, scale: float) -> None:
    golden = np.load(COPY)
    audio = torch.from_numpy(golden["audio"].astype(np.float32) / 32768 * scale)
    found = KaldiFbank(window)(audio[None])[0].numpy()
    # Measured: 3.2e-4 at most, in bands of one bin; 4e-6 in the median.
    np.testing.assert_allclose(found, golden[window], rtol=0, atol=1e-3)
    assert np.median(np.abs(found - golden[window])) < 2e-5


def test_silence_is_the_floor_and_one_band_is_empty() -> None:
    fbank = KaldiFbank("hanning")
    assert torch.equal(fbank(torch.zeros(1, 400)), torch.full((1, 1, BANDS), LOG_FLOOR).log())
    assert (fbank.filters.sum(dim=0) == 0).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (160000, 998)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert KaldiFbank("povey")(torch.zeros(1, samples)).shape == (1, frames, BANDS)
