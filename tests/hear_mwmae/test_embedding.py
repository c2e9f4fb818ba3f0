"""Chunking, stitching, pooling and times, against the released code's output and against the plain way."""

import golden
import numpy as np
import pytest
import torch

from hear_mwmae import (
    EmbeddingModel,
    ModelConfig,
    UserError,
    embedding,
    get_scene_embeddings,
    get_timestamp_embeddings,
)
from hear_mwmae.encoder import Encoder
from hear_mwmae.frontend import LogMel, split_chunks, standardise

# From the released log-mels; measured: 2.4e-6 for scenes and timestamps, 0 for the times.
EMBEDDING_TOLERANCE = 1e-5
# From waveforms, whose transform other processors round otherwise (`golden.assert_equal_spectra`): 2.4e-6 on
# the AMD EPYC that made the arrays, 1.0e-4 on an Intel Xeon.
WAVEFORM_TOLERANCE = 3e-4
TIME_TOLERANCE_MS = 1e-3
# Measured: at most 2e-6 between batches of different make-up.
BATCH_TOLERANCE = 1e-5
LENGTHS = (1, 150, 201, 400, 8000, 31999, 32000, 40000, 63999, 90001)


def random_clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(length, generator=generator) * 0.4 - 0.2 for length in lengths]


def small_model(**options: object) -> EmbeddingModel:
    shape = {"width": 32, "depth": 2, "heads": 4, "decoder_width": 16, "decoder_heads": 2} | options
    encoder = Encoder(ModelConfig(**shape))
    encoder.initialise(torch.Generator().manual_seed(0))
    return EmbeddingModel(encoder)


def plain_columns(model: EmbeddingModel, clip: torch.Tensor) -> torch.Tensor:
    """One clip, chunk by chunk, padded by numpy, as the released code does it."""
    features = standardise(LogMel()(clip[None]))[0].numpy()
    padded = np.pad(features, [(0, -len(features) % 200), (0, 0)], mode="reflect")
    chunks = torch.from_numpy(padded).reshape(-1, 200, 80)
    encoded = torch.cat([model.encoder(chunk[None])[0] for chunk in chunks])
    return encoded[: -(-len(features) // model.config.patch_size[0])]


def compare(name: str, folder: object, arrays: dict[str, np.ndarray], audio: torch.Tensor) -> int:
    """Check every length that `arrays` holds; return how many."""
    model = golden.model(name, folder)
    lengths = [key.removesuffix("/n_samples") for key in arrays if key.endswith("/n_samples")]
    for length in lengths:
        clips = audio[:, : int(arrays[f"{length}/n_samples"])]
        scenes = get_scene_embeddings(clips, model)
        np.testing.assert_allclose(scenes, arrays[f"{length}/scene"], atol=WAVEFORM_TOLERANCE, rtol=0)
        embeddings, times = get_timestamp_embeddings(clips, model)
        np.testing.assert_allclose(times, arrays[f"{length}/ts_ms"], atol=TIME_TOLERANCE_MS, rtol=0)
        if f"{length}/ts_emb" in arrays:
            expected = arrays[f"{length}/ts_emb"]
            found = embeddings[: len(expected)]
            np.testing.assert_allclose(found, expected, atol=WAVEFORM_TOLERANCE, rtol=0)
    return len(lengths)


@pytest.mark.parametrize("name", golden.NAMES)
def test_embeddings_are_those_of_the_released_code(name: str) -> None:
    arrays = golden.compact()
    own = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
    assert compare(name, golden.COMPACT, own, golden.audio(arrays["audio_int16"])) == 9


@pytest.mark.parametrize("name", golden.NAMES)
def test_embeddings_of_the_released_log_mels(name: str) -> None:
    arrays = golden.compact()
    features = standardise(torch.from_numpy(arrays["log_mel_2s"]).transpose(1, 2))
    chunks = split_chunks(features, 200)
    columns = golden.model(name).encoder(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2]).flatten(1, 2)
    scenes = columns[:, :51].mean(dim=1)
    np.testing.assert_allclose(scenes, arrays[f"{name}/2s/scene"], atol=EMBEDDING_TOLERANCE, rtol=0)


@golden.needs_full
@pytest.mark.parametrize("name", golden.NAMES)
def test_embeddings_of_the_full_set(name: str) -> None:
    audio = golden.audio(np.load(golden.FULL / "logmel_torchaudio.npz")["audio_int16"])
    with np.load(golden.FULL / f"embed_{name}.npz") as arrays:
        assert compare(name, golden.FULL, dict(arrays), audio) == 10


@golden.needs_full
def test_a_bfloat16_run_within_one_per_cent_of_float32() -> None:
    name = "mwmae_small_bfloat16"
    audio = golden.audio(np.load(golden.FULL / "logmel_torchaudio.npz")["audio_int16"])
    expected = np.load(golden.FULL / f"embed_{name}.npz")["10s/scene"]
    ours = get_scene_embeddings(audio, golden.model(name, golden.FULL)).numpy()
    assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", golden.NAMES)
def test_bf16_is_within_one_per_cent_of_float32(name: str) -> None:
    clips = golden.audio(golden.compact()["audio_int16"])
    exact = get_scene_embeddings(clips, golden.model(name))
    rough = get_scene_embeddings(clips, golden.model(name, precision="bf16"))
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("patch_size", [(4, 16), (5, 5), (8, 8)])
def test_one_ragged_call_equals_the_plain_way(patch_size: tuple[int, int]) -> None:
    model = small_model(patch_size=patch_size)
    clips = random_clips(*LENGTHS)
    scenes = model.scene_embeddings(clips)
    embeddings, times = model.timestamp_embeddings(clips)
    for clip, scene, columns, at in zip(clips, scenes, embeddings, times, strict=True):
        plain = plain_columns(model, clip)
        torch.testing.assert_close(columns, plain, atol=BATCH_TOLERANCE, rtol=0)
        torch.testing.assert_close(scene, plain.mean(dim=0), atol=BATCH_TOLERANCE, rtol=0)
        assert at.shape == plain.shape[:1]


def test_batch_composition_and_micro_batches_do_not_change_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    clips = random_clips(*LENGTHS)
    together = model.scene_embeddings(clips)
    for index in (0, 4, 9):
        torch.testing.assert_close(
            model.scene_embeddings([clips[index]])[0], together[index], atol=BATCH_TOLERANCE, rtol=0
        )
    backwards = model.scene_embeddings(clips[::-1]).flip(0)
    torch.testing.assert_close(backwards, together, atol=BATCH_TOLERANCE, rtol=0)
    monkeypatch.setattr(embedding, "CPU_BATCH", 3)
    torch.testing.assert_close(model.scene_embeddings(clips), together, atol=BATCH_TOLERANCE, rtol=0)


def test_chunks_of_many_clips_fill_the_encoder_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    sizes: list[int] = []
    model.encoder.patch_embed.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    model.scene_embeddings(random_clips(*[100] * 5, *[40000] * 3))
    assert sizes == [8, 3]


def test_a_single_waveform_counts_as_a_batch_of_one() -> None:
    model = small_model()
    clips = torch.stack(random_clips(5000, 5000))
    both = get_scene_embeddings(clips, model)
    torch.testing.assert_close(get_scene_embeddings(clips[1], model), both[1:], atol=BATCH_TOLERANCE, rtol=0)
    embeddings, times = get_timestamp_embeddings(clips[1], model)
    assert embeddings.shape == (1, 8, 160)
    assert times.shape == (1, 8)


def test_silence_is_embedded_as_zeros_are() -> None:
    model = small_model()
    expected = model.encoder(torch.zeros(1, 200, 80))[0].mean(dim=0)
    for samples in (31999, 12 * 32000 - 1):
        ours = get_scene_embeddings(torch.zeros(1, samples), model)[0]
        torch.testing.assert_close(ours, expected, atol=BATCH_TOLERANCE, rtol=0)


@pytest.mark.parametrize(("patch_size", "first", "step"), [((4, 16), 15, 40), ((5, 5), 20, 50)])
def test_true_centres(patch_size: tuple[int, int], first: float, step: float) -> None:
    model = small_model(patch_size=patch_size)
    centred = EmbeddingModel(model.encoder, timestamps="centre")
    times = centred.column_times(160000)
    assert torch.equal(times, first + step * torch.arange(len(times)))
    spread = model.column_times(160000)
    assert spread[0] == 0
    assert spread[-1] < 10000


def test_long_clips_keep_even_times_inside_the_clip() -> None:
    model = small_model()
    times = model.column_times(3600 * 16000)
    assert times[-1] < 3600_000
    assert (times.diff() - times.diff().mean()).abs().max() < 0.3


def test_embeddings_need_no_gradient_but_a_probe_can_train_on_them() -> None:
    embeddings = small_model().scene_embeddings(random_clips(5000))
    assert not embeddings.requires_grad
    torch.nn.Linear(160, 2)(embeddings).sum().backward()


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        (torch.zeros(2, 0), "Clip 0 is empty"),
        (torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), "Clip 1 holds NaN"),
        (torch.tensor([float("inf")]), "Clip 0 holds NaN or infinite"),
        (torch.zeros(2, 100, dtype=torch.int16), "int16 of shape \\(2, 100\\)"),
        (torch.zeros(2, 1, 100), "of shape \\(2, 1, 100\\)"),
        (torch.zeros(0, 100), "of shape \\(0, 100\\)"),
    ],
)
def test_bad_audio_is_named(audio: torch.Tensor, sentence: str) -> None:
    model = small_model()
    for embed in (get_scene_embeddings, get_timestamp_embeddings):
        with pytest.raises(UserError, match=sentence):
            embed(audio, model)


def test_no_clips_and_unknown_options_are_named() -> None:
    model = small_model()
    with pytest.raises(UserError, match="No clips"):
        model.scene_embeddings([])
    with pytest.raises(UserError, match="precision 'fp8'"):
        EmbeddingModel(model.encoder, precision="fp8")
    with pytest.raises(UserError, match="timestamps 'end'"):
        EmbeddingModel(model.encoder, timestamps="end")


@golden.needs_full
@pytest.mark.parametrize("name", golden.NAMES)
def test_layers_are_those_of_the_released_code(name: str) -> None:
    arrays = np.load(golden.FULL / f"pretrain_{name}.npz")
    encoder = golden.model(name, golden.FULL).encoder
    found = dict(
        zip(encoder.layer_names, encoder.layers(torch.from_numpy(arrays["imgs"][..., 0])), strict=True)
    )
    assert list(found)[-1] == "norm"
    for number in range(encoder.config.depth):
        expected = arrays[f"feat:encoder_block_{number:02}"]
        np.testing.assert_allclose(found[f"block{number + 1}"], expected, atol=EMBEDDING_TOLERANCE, rtol=0)


def test_layers_are_embedded_in_one_pass_as_if_they_were_the_last() -> None:
    """A model whose later layers are taken out embeds what the layer before them makes."""
    audio = torch.stack(random_clips(40000, 40000))
    model, cut = small_model(), small_model()
    cut.encoder.blocks[1] = cut.encoder.norm = torch.nn.Identity()
    assert model.layer_embedding_sizes == dict.fromkeys(("block1", "block2", "norm"), 160)
    last, first = get_scene_embeddings(audio, model, layers=["norm", "block1"])
    torch.testing.assert_close(last, get_scene_embeddings(audio, model), atol=0, rtol=0)
    torch.testing.assert_close(first, get_scene_embeddings(audio, cut), atol=BATCH_TOLERANCE, rtol=0)
    assert not torch.allclose(first, last, atol=0.1)
    frames = get_timestamp_embeddings(audio, model, layers=["norm", "block1"])
    for (found, times), whole in zip(frames, (model, cut), strict=True):
        expected, expected_times = get_timestamp_embeddings(audio, whole)
        torch.testing.assert_close(found, expected, atol=BATCH_TOLERANCE, rtol=0)
        torch.testing.assert_close(times, expected_times, atol=0, rtol=0)


def test_layers_after_the_last_one_asked_for_are_not_computed() -> None:
    model = small_model()
    model.encoder.blocks[1].register_forward_hook(lambda *_: pytest.fail("a block too far"))
    (scene,) = get_scene_embeddings(torch.stack(random_clips(400)), model, layers=["block1"])
    assert scene.shape == (1, 160)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(UserError, match="no layer 'block3'; there are block1, block2, norm"):
        get_scene_embeddings(torch.zeros(1, 400), small_model(), layers=["norm", "block3"])
