"""What baselines share (released files, parts of long sound, the wrapper), and those that learnt nothing."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patch_references import check_hear_rules, sound

from evaluation.baselines import wrap
from evaluation.baselines.chunks import FrameGrid, equal_parts
from evaluation.baselines.weights import ReleasedFile
from evaluation.baselines.wrap import FrameModel, get_scene_embeddings, get_timestamp_embeddings
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.parse import parse_model
from hear_mwmae import UserError, log_mel, random_init


class Windows(torch.nn.Module):
    """Frames of 400 samples every 320, the first three samples of each; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(audio.shape))
        return audio.unfold(1, 400, 320)[..., :3]


def wrapped(**options: object) -> FrameModel:
    return FrameModel(Windows(), sample_rate=16000, embedding_size=3, hop=320, window=400, **options)


@given(st.integers(1, 500), st.integers(1, 60))
def test_parts_are_few_equal_and_whole(length: int, longest: int) -> None:
    parts = equal_parts(length, longest)
    assert [index for part in parts for index in part] == list(range(length))
    assert len(parts) == -(-length // longest)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 5000))
def test_a_grid_counts_frames_as_a_convolution_does_and_fits_sound_to_them(samples: int) -> None:
    grid = FrameGrid(window=400, hop=320)
    audio = torch.ones(1, samples)
    padded = grid.pad(audio)
    assert grid.count(samples) == padded.unfold(1, 400, 320).shape[1]
    fitted = grid.fit(audio)
    frames = fitted.unfold(1, 400, 320).shape[1]
    assert fitted.shape[1] == (frames - 1) * 320 + 400
    assert frames == max(1, len(range(200, samples + 1, 320)))  # middles inside


def test_parts_give_what_the_whole_gives() -> None:
    audio = sound(5.03, clips=3)
    whole, parts = wrapped(), wrapped(longest_seconds=1.0)
    expected, times = get_timestamp_embeddings(audio, whole)
    found, same_times = get_timestamp_embeddings(audio, parts)
    assert torch.equal(found, expected)
    assert torch.equal(times, same_times)
    assert times[0, :2].tolist() == [12.5, 32.5]
    assert (len(whole.network.calls), len(parts.network.calls)) == (1, 6)
    torch.testing.assert_close(get_scene_embeddings(audio, parts), expected.mean(dim=1), rtol=0, atol=1e-6)


def test_a_wrapped_network_follows_hears_rules() -> None:
    check_hear_rules(wrap, wrapped(), hop_ms=20)


def test_the_time_of_a_clip_shorter_than_a_frame_lies_in_the_clip() -> None:
    for samples, expected in ((1, 0.0625), (160, 10.0), (200, 12.5), (399, 12.5), (720, 32.5)):
        _, times = get_timestamp_embeddings(torch.zeros(2, samples), wrapped())
        assert times[:, -1].tolist() == [expected] * 2


def test_a_batch_of_long_clips_goes_in_several_passes() -> None:
    model = wrapped()
    get_scene_embeddings(torch.zeros(7, 16000 * 20), model)
    assert [clips for clips, _ in model.network.calls] == [3, 3, 1]


def test_wrong_sizes_are_one_sentence() -> None:
    model = FrameModel(Windows(), sample_rate=16000, embedding_size=3, hop=160)
    with pytest.raises(
        EvaluationError, match="gives 49 frames of 16000 samples where a hop of 160 and a window of"
    ):
        get_scene_embeddings(torch.zeros(1, 16000), model)


def test_a_released_file_is_found_and_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ReleasedFile("model.pt", "download it from example.org")
    assert file.locate() is None
    with pytest.raises(
        EvaluationError, match=r"^there is no model.pt in .*: download it from example.org, and put"
    ):
        file.find()
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path))
    path = tmp_path / "model.pt"
    path.write_bytes(b"content")
    assert file.locate() == file.find() == path
    assert file.find(str(path)) == file.find(str(tmp_path)) == path
    with pytest.raises(
        EvaluationError, match=r"^there is no file .*other.pt: correct the path, or download it"
    ):
        file.find(str(tmp_path / "other.pt"))
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(path))
    with pytest.raises(
        EvaluationError, match=r"^\$HEAR_MWMAE_WEIGHTS = .* is not a folder; correct or unset it"
    ):
        file.find()


def test_log_mel_follows_hears_rules_and_its_definition() -> None:
    model = log_mel.load_model()
    check_hear_rules(log_mel, model, hop_ms=10)
    audio = sound(1.0)
    frames, times = log_mel.get_timestamp_embeddings(audio, model)
    assert frames.shape == (2, 100, 80)
    assert times[0, -1] == 990
    scenes = log_mel.get_scene_embeddings(audio, model).double().numpy()
    double = frames.double().numpy()
    assert abs(scenes[:, :80] - double.mean(axis=1)).max() < 1e-5
    assert abs(scenes[:, 80:] - double.std(axis=1)).max() < 1e-5
    with pytest.raises(UserError, match="log-mel statistics have no weights; leave out @x"):
        log_mel.load_model("x")


def test_random_encoders_go_by_name_and_seed_and_never_by_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mae_t.safetensors").write_bytes(b"not even read")
    monkeypatch.setenv("HEAR_MWMAE_WEIGHTS", str(tmp_path))
    first, again = (HearModel(parse_model("hear_mwmae.random_init@mae_t"), "cpu") for _ in range(2))
    other = HearModel(parse_model("hear_mwmae.random_init@mae_t", {"seed": 1}), "cpu")
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert not first.pretrained
    audio = sound(1.0).numpy()
    assert (first.scene_embeddings(audio) == again.scene_embeddings(audio)).all()
    assert abs(first.scene_embeddings(audio) - other.scene_embeddings(audio)).max() > 0.1
    with pytest.raises(UserError, match="There is no model 'mae_x'"):
        random_init.load_model("mae_x")
