"""The encoder against the released code's output and against plain formulas."""

import dataclasses

import golden
import numpy as np
import pytest
import torch
from golden_audio_mae import load, needs_golden

from hear_mwmae import ModelConfig
from hear_mwmae.encoder import Block, Encoder, released_sinusoids_2d, sinusoids_2d

# Measured: 2.2e-6.
FEATURE_TOLERANCE = 1e-5
SMALL = ModelConfig(width=32, depth=2, heads=4, decoder_width=16, decoder_depth=1, decoder_heads=2)
SMALL_AUDIO_MAE = dataclasses.replace(SMALL, conventions="audio_mae", class_token=True)


def small_encoder(config: ModelConfig = SMALL, seed: int = 0) -> Encoder:
    encoder = Encoder(config)
    encoder.initialise(torch.Generator().manual_seed(seed))
    return encoder.requires_grad_(False)


@pytest.mark.parametrize("name", golden.NAMES)
def test_features_are_those_of_the_released_code(name: str) -> None:
    arrays = golden.compact()
    ours = golden.model(name).encoder(torch.from_numpy(arrays["imgs"][..., 0]))
    expected = arrays[f"{name}/forward_features"]
    np.testing.assert_allclose(ours.numpy(), expected, atol=FEATURE_TOLERANCE, rtol=0)


@golden.needs_full
@pytest.mark.parametrize("name", golden.NAMES)
def test_tokens_of_the_full_set(name: str) -> None:
    arrays = np.load(golden.FULL / f"pretrain_{name}.npz")
    ours = golden.model(name, golden.FULL).encoder.tokens(torch.from_numpy(arrays["imgs"][..., 0]))
    np.testing.assert_allclose(ours.numpy(), arrays["feat:encoder_norm"], atol=FEATURE_TOLERANCE, rtol=0)


@golden.needs_full
def test_bfloat16_checkpoint_within_one_per_cent() -> None:
    name = "mwmae_small_bfloat16"
    arrays = np.load(golden.FULL / f"pretrain_{name}.npz")
    ours = golden.model(name, golden.FULL).encoder(torch.from_numpy(arrays["imgs"][..., 0])).numpy()
    expected = arrays["forward_features"]
    assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected)


@pytest.mark.parametrize("grid", [(50, 5), (40, 16)])
def test_position_codes_before_training(grid: tuple[int, int]) -> None:
    expected = golden.compact()[f"position_codes_{grid[0]}x{grid[1]}"][0]
    np.testing.assert_allclose(sinusoids_2d(grid, 16).numpy(), expected, atol=1e-6, rtol=0)


@needs_golden
@pytest.mark.parametrize(("width", "columns"), [(48, 64), (32, 64), (48, 32), (48, 8)])
def test_position_codes_of_the_released_audio_mae(width: int, columns: int) -> None:
    expected = load("masks")[f"position_table/width{width}_frames{16 * columns}"][1:]
    np.testing.assert_allclose(released_sinusoids_2d((columns, 8), width), expected, atol=1e-6, rtol=0)
    config = dataclasses.replace(
        SMALL_AUDIO_MAE,
        input_size=(16 * columns, 128),
        front_end="fbank_128",
        patch_size=(16, 16),
        width=width,
        position_grid="audiomae-released",
    )
    codes = small_encoder(config).position_codes
    np.testing.assert_allclose(codes[1:], expected, atol=1e-6, rtol=0)
    assert not codes[0].any()


@pytest.mark.parametrize("config", [SMALL, SMALL_AUDIO_MAE])
def test_block_follows_its_formula(config: ModelConfig) -> None:
    """One block, head by head, in float64."""
    block = small_encoder(config).double().blocks[0]
    x = torch.randn(7, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = config.conventions == "audio_mae"
    torch.testing.assert_close(block(x[None])[0], plain_block(block, x, exact=exact), atol=1e-12, rtol=0)


def plain_block(block: Block, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
    def norm(x: torch.Tensor) -> torch.Tensor:
        variance = x.var(dim=1, correction=0, keepdim=True)
        return (x - x.mean(dim=1, keepdim=True)) / torch.sqrt(variance + 1e-6)

    qkv = norm(x) @ block.attention.qkv.weight.T
    heads = []
    for head in range(4):
        query, key, value = (qkv[:, 32 * part + 8 * head : 32 * part + 8 * head + 8] for part in range(3))
        heads.append(torch.softmax(query @ key.T / 8**0.5, dim=1) @ value)
    x = x + torch.cat(heads, dim=1) @ block.attention.out.weight.T
    hidden = norm(x) @ block.mlp.hidden.weight.T
    tanh = torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3))
    gelu = 0.5 * hidden * (1 + (torch.erf(hidden / 2**0.5) if exact else tanh))
    return x + gelu @ block.mlp.out.weight.T


def test_patches_are_time_major() -> None:
    chunk = torch.arange(200 * 80, dtype=torch.float32).reshape(1, 200, 80)
    patches = small_encoder().patches(chunk)
    assert torch.equal(patches[0, 2 * 5 + 3], chunk[0, 8:12, 48:64].flatten())


def test_output_concatenates_the_bands_of_a_column() -> None:
    for class_token in (False, True):
        encoder = small_encoder(dataclasses.replace(SMALL, class_token=class_token))
        chunk = torch.randn(1, 200, 80, generator=torch.Generator().manual_seed(2))
        tokens = encoder.tokens(chunk)[0, int(class_token) :]
        assert encoder(chunk).shape == (1, 50, 160)
        assert torch.equal(encoder(chunk)[0, 7], tokens[35:40].flatten())


def test_initialisation_is_that_of_the_released_code_and_repeats() -> None:
    encoder = small_encoder(dataclasses.replace(SMALL, class_token=True))
    again = small_encoder(dataclasses.replace(SMALL, class_token=True))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))
    assert encoder.patch_embed.weight.abs().max() <= (6 / (64 + 64 * 32)) ** 0.5
    assert encoder.blocks[0].attention.qkv.weight.abs().max() <= (6 / (32 + 96)) ** 0.5
    assert not encoder.position_codes[0].any()
    torch.testing.assert_close(encoder.position_codes[1:], sinusoids_2d((50, 5), 32), atol=0, rtol=0)


def test_audio_maes_columns_are_means_over_bands() -> None:
    encoder = small_encoder(SMALL_AUDIO_MAE)
    chunk = torch.randn(1, 200, 80, generator=torch.Generator().manual_seed(2))
    tokens = encoder.tokens(chunk)[0, 1:]
    assert encoder(chunk).shape == (1, 50, 32)
    torch.testing.assert_close(encoder(chunk)[0, 7], tokens[35:40].mean(dim=0), atol=1e-6, rtol=0)


def test_a_norm_after_pooling_is_of_means_of_the_last_blocks_tokens() -> None:
    before = small_encoder(SMALL_AUDIO_MAE)
    after = small_encoder(dataclasses.replace(SMALL_AUDIO_MAE, norm_after_pooling=True))
    chunk = torch.randn(1, 200, 80, generator=torch.Generator().manual_seed(2))
    *_, last_block, normalised = before.layers(chunk)
    torch.testing.assert_close(after.tokens(chunk), last_block, atol=0, rtol=0)
    torch.testing.assert_close(after(chunk), before.norm(before.columns(last_block)), atol=0, rtol=0)
    torch.testing.assert_close(before(chunk), before.columns(normalised), atol=0, rtol=0)
    assert torch.equal(after.normalise_pooled(last_block, "block2"), last_block)


def test_initialisation_of_audio_mae_is_that_of_its_released_code() -> None:
    encoder = small_encoder(SMALL_AUDIO_MAE)
    largest = (6 / (64 + 32)) ** 0.5
    assert 0.9 * largest < encoder.patch_embed.weight.abs().max() <= largest
    assert 0.8 / 8 < encoder.patch_embed.bias.abs().max() <= 1 / 8
    assert not encoder.blocks[0].mlp.out.bias.any()
    torch.testing.assert_close(encoder.position_codes[1:], sinusoids_2d((50, 5), 32), atol=0, rtol=0)
