"""The encoder against the released code's output and against plain formulas."""

import dataclasses

import golden
import numpy as np
import pytest
import torch

from hear_mwmae import ModelConfig
from hear_mwmae.encoder import Block, Encoder, sinusoids_2d

# Measured: 2.2e-6.
FEATURE_TOLERANCE = 1e-5
SMALL = ModelConfig(width=32, depth=2, heads=4, decoder_width=16, decoder_depth=1, decoder_heads=2)


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


def test_block_follows_its_formula() -> None:
    """One block, head by head, in float64."""
    block = small_encoder().double().blocks[0]
    x = torch.randn(7, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(block(x[None])[0], plain_block(block, x), atol=1e-12, rtol=0)


def plain_block(block: Block, x: torch.Tensor) -> torch.Tensor:
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
    gelu = 0.5 * hidden * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
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
