"""How Audio-MAE's clips are cut, filled, normalised and embedded; MW-MAE's are in test_embedding.py."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from golden_audio_mae import load, needs_golden
from hypothesis import given
from hypothesis import strategies as st

from hear_mwmae import EmbeddingModel, UserError, get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.chunks import FbankChunks, chunks_for
from hear_mwmae.config import AUDIO_MAE_B, BASE, ModelConfig
from hear_mwmae.encoder import Encoder
from hear_mwmae.kaldi_fbank import KaldiFbank

# Measured: 7.4e-4 in single cells, 2.4e-6 on average.
LARGEST_FEATURE_DIFFERENCE = 3e-3
MEAN_FEATURE_DIFFERENCE = 2e-5
TOLERANCE = 1e-5
SMALL = dataclasses.replace(
    AUDIO_MAE_B,
    input_size=(64, 128),
    width=32,
    depth=2,
    heads=2,
    decoder_width=16,
    decoder_attention="global",
)
OWN_STATISTICS = dataclasses.replace(SMALL, feature_mean=0.0, feature_std=0.0)
AFTER = dataclasses.replace(SMALL, norm_after_pooling=True)
LENGTHS = (1, 399, 3959, 3960, 16000, 24321, 16000, 40000)


def small_model(config: ModelConfig = SMALL, **options: str) -> EmbeddingModel:
    encoder = Encoder(config)
    encoder.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(encoder.norm.bias, generator=torch.Generator().manual_seed(1))
    return EmbeddingModel(encoder, **options)


def random_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(length, generator=generator) * 0.4 - 0.1 for length in lengths]


def plain_chunks(clip: torch.Tensor, config: ModelConfig) -> list[tuple[np.ndarray, int]]:
    """Chunks of one clip and their columns, frame by frame: 16 frames every 2560 samples make a column."""
    middles = range(1400, len(clip) + 1, 2560)
    columns = max(1, len(middles))
    sound = torch.zeros(columns * 2560 + 240)
    heard = min(len(clip), len(sound))
    sound[:heard] = (clip - clip.mean())[:heard]
    frames = KaldiFbank("hanning")(sound[None])[0].numpy()
    assert len(frames) == 16 * columns
    whole, per_chunk = config.input_size[0], config.input_size[0] // 16
    parts = np.array_split(np.arange(columns), -(-columns // per_chunk))
    borders = [columns * i // len(parts) for i in range(len(parts) + 1)]
    # The same lengths as numpy's, which puts the longer ones first.
    assert sorted(np.diff(borders)) == sorted(map(len, parts))
    chunks = []
    for start, stop in itertools.pairwise(borders):
        part = frames[16 * start : 16 * stop]
        if config.feature_std:
            filled = np.concatenate([part, np.zeros((whole - len(part), 128), np.float32)])
            filled = (filled - config.feature_mean) / (2 * config.feature_std)
        else:
            std = frames.std(ddof=1)
            own = (part - frames.mean()) / (std + 1e-8) if std > 1e-5 else np.zeros_like(part)
            filled = np.pad(own, [(0, whole - len(part)), (0, 0)], mode="reflect")
        chunks.append((filled, stop - start))
    return chunks


@given(st.integers(1, 3_000_000))
def test_clips_are_cut_into_as_few_and_as_equal_parts_as_can_be(samples: int) -> None:
    chunks = FbankChunks(AUDIO_MAE_B)
    columns = chunks.column_count(samples)
    assert columns == max(1, len(range(1400, samples + 1, 2560)))
    parts = chunks.columns_of_chunks(columns)
    assert sum(parts) == columns
    assert len(parts) == -(-columns // 64)
    assert max(parts) - min(parts) <= 1
    times = chunks.centres_ms(samples)
    assert len(times) == columns
    assert 0 < times[-1] <= 1000 * samples / 16000 + 1e-3


@pytest.mark.parametrize("config", [SMALL, OWN_STATISTICS])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_are_those_of_the_plain_way(config: ModelConfig, size: int) -> None:
    clips = [*random_clips(*LENGTHS), torch.full((5000,), 0.3)]
    batches = list(chunks_for(config).batches(clips, size))
    expected = [chunk for clip in clips for chunk, _ in plain_chunks(clip, config)]
    assert [len(batch) for batch in batches] == [
        len(expected[i : i + size]) for i in range(0, len(expected), size)
    ]
    np.testing.assert_allclose(torch.cat(batches), np.stack(expected), atol=5e-5, rtol=0)


@needs_golden
@pytest.mark.parametrize("case", ["audioset_clip0_10s", "audioset_clip1_10s", "audioset_clip2_3p3s"])
def test_features_are_those_of_the_released_front_end(case: str) -> None:
    arrays = load("frontend")
    clip = arrays[f"audio/{arrays[f'{case}/clip']}"][: int(arrays[f"{case}/n_samples"])]
    chunks = FbankChunks(AUDIO_MAE_B)
    [(found,)] = chunks.batches([torch.from_numpy(clip.astype(np.float32) / 32768)], 1)
    expected = arrays[f"{case}/normalised"].copy()
    # Released code hears all whole frames; here a clip ends with its last column.
    real = 16 * chunks.column_count(len(clip))
    count = min(real, int(arrays[f"{case}/n_frames"]))
    difference = np.abs(found.numpy()[:count] - expected[:count])
    assert difference.max() < LARGEST_FEATURE_DIFFERENCE
    assert difference.mean() < MEAN_FEATURE_DIFFERENCE
    np.testing.assert_allclose(found[real:], 4.2677393 / (2 * 4.5689974), rtol=1e-6)


@pytest.mark.parametrize("config", [SMALL, OWN_STATISTICS, AFTER])
def test_one_ragged_call_equals_the_plain_way(config: ModelConfig) -> None:
    model = small_model(config)
    clips = random_clips(*LENGTHS)
    scenes = model.scene_embeddings(clips)
    embeddings, times = model.timestamp_embeddings(clips)
    for clip, scene, columns, at in zip(clips, scenes, embeddings, times, strict=True):
        plain = []
        for chunk, count in plain_chunks(clip, config):
            tokens = model.encoder.tokens(torch.from_numpy(chunk)[None].float())[0, 1:]
            plain.append(tokens.reshape(4, 8, 32).mean(dim=1)[:count])
        plain = torch.cat(plain)
        mean = plain.mean(dim=0)
        if config.norm_after_pooling:
            plain, mean = model.encoder.norm(plain), model.encoder.norm(mean)
        torch.testing.assert_close(columns, plain, atol=5 * TOLERANCE, rtol=0)
        torch.testing.assert_close(scene, mean, atol=5 * TOLERANCE, rtol=0)
        middles = torch.arange(len(plain)) * 160 + 87.5
        torch.testing.assert_close(at, middles.clamp_max(len(clip) / 16))


def test_batch_composition_does_not_change_a_clip() -> None:
    model = small_model()
    clips = random_clips(*LENGTHS)
    together = model.scene_embeddings(clips)
    for index in (0, 5, 7):
        alone = model.scene_embeddings([clips[index]])[0]
        torch.testing.assert_close(alone, together[index], atol=TOLERANCE, rtol=0)


def test_layers_that_are_normalised_after_pooling() -> None:
    audio = torch.stack(random_clips(16000, 16000))
    before, after = small_model(), small_model(AFTER)
    names = ["norm", "block2", "block1"]
    assert list(after.layer_embedding_sizes) == ["block1", "block2", "norm"]
    plain, found = (get_scene_embeddings(audio, model, layers=names) for model in (before, after))
    for ours, theirs in zip(found[1:], plain[1:], strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    torch.testing.assert_close(found[0], after.encoder.norm(found[1]), atol=TOLERANCE, rtol=0)
    assert not torch.allclose(found[0], plain[0], atol=0.01)
    (frames, _), (of_block, _) = get_timestamp_embeddings(audio, after, layers=names[:2])
    torch.testing.assert_close(frames, after.encoder.norm(of_block), atol=TOLERANCE, rtol=0)


def test_times_are_centres_unless_spread_evenly_is_asked_for() -> None:
    audio = torch.zeros(1, 16000)
    _, times = get_timestamp_embeddings(audio, small_model())
    assert times.tolist() == [[87.5, 247.5, 407.5, 567.5, 727.5, 887.5]]
    _, times = get_timestamp_embeddings(audio, small_model(timestamps="hear"))
    torch.testing.assert_close(times, torch.arange(6)[None] * 1000 / 6)


def test_bf16_is_within_one_per_cent_of_float32() -> None:
    audio = torch.stack(random_clips(40000))
    for config in (SMALL, AFTER):
        exact = get_scene_embeddings(audio, small_model(config))
        rough = get_scene_embeddings(audio, small_model(config, precision="bf16"))
        assert rough.dtype == torch.float32
        assert 0 < (exact - rough).norm() < 0.01 * exact.norm()


def test_bad_audio_is_named() -> None:
    for audio, sentence in [
        (torch.zeros(2, 0), "Clip 0 is empty"),
        (torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), "Clip 1 holds NaN"),
    ]:
        with pytest.raises(UserError, match=sentence):
            get_scene_embeddings(audio, small_model())
    with pytest.raises(UserError, match="No clips"):
        small_model().timestamp_embeddings([])


def test_a_model_of_pictures_has_no_chunks() -> None:
    pictures = dataclasses.replace(BASE, input_size=(224, 672), patch_size=(16, 48), front_end="rgb_224")
    with pytest.raises(UserError, match="front end rgb_224 does not embed sound"):
        chunks_for(pictures)
