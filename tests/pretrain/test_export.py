"""The exported file: every tensor where the torch side wants it, and equal embeddings in both frameworks."""

import dataclasses
import functools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hear_mwmae.config import ModelConfig, paper_windows
from hear_mwmae.convert import decoder_shapes, encoder_shapes
from hear_mwmae.errors import UserError
from hear_mwmae.loading import load_model
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.model.mae import Params, embed
from hear_mwmae.pretrain.training.export import export_model, export_tensors, import_params
from hear_mwmae.weights import build_encoder, read_model_file

MAE = ModelConfig(width=96, depth=3, heads=4, class_token=True, decoder_width=32, decoder_depth=2)
MW_MAE = dataclasses.replace(MAE, class_token=False, decoder_windows=paper_windows(250))
CASES = {
    "mae 4x16": MAE,
    "mae 8x16": dataclasses.replace(MAE, patch_size=(8, 16)),
    "mw-mae 4x16": MW_MAE,
    "mw-mae 5x5": dataclasses.replace(
        MW_MAE, patch_size=(5, 5), decoder_heads=16, decoder_windows=paper_windows(640)
    ),
    "mw-mae with class token": dataclasses.replace(MW_MAE, class_token=True),
    "windows in the encoder": dataclasses.replace(MW_MAE, encoder_windows=(2, 10, 25, 0)),
    "without bias tables": dataclasses.replace(
        MW_MAE, encoder_windows=(2, 10, 25, 0), relative_position_bias=False
    ),
}
# Measured: 2e-6; embeddings are of size 1.
PARITY = 1e-5


def drawn(config: ModelConfig) -> Params:
    """Parameters away from their initial values, so that no bias or scale is left out unnoticed."""
    return jax.tree.map(lambda leaf: leaf, _drawn(config))  # Dictionaries of its own for every test.


@functools.cache
def _drawn(config: ModelConfig) -> Params:
    params = jax.jit(init_params, static_argnums=0)(config, jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    generator = np.random.default_rng(1)
    return jax.tree.unflatten(
        tree, [leaf + 0.05 * generator.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves]
    )


@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
def test_both_frameworks_give_the_same_embeddings(config: ModelConfig, tmp_path: Path) -> None:
    params, path = drawn(config), tmp_path / "model.safetensors"
    export_model(path, params, config, provenance={"step": 7})
    weights = read_model_file(path, decoder=True)
    assert weights.config == config
    assert weights.provenance == {"step": 7}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    assert shapes == encoder_shapes(config) | decoder_shapes(config)
    features = np.random.default_rng(2).standard_normal((3, *config.input_size)).astype(np.float32)
    ours = jax.jit(partial(embed, config=config))(params, jnp.asarray(features))
    with torch.no_grad():
        theirs = build_encoder(weights, str(path))(torch.from_numpy(features))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=PARITY, rtol=0)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_a_file_read_back_has_the_same_parameters(config: ModelConfig, tmp_path: Path) -> None:
    params, path = drawn(config), tmp_path / "model.safetensors"
    export_model(path, params, config, provenance={})
    back, read = import_params(path)
    assert back == config
    assert jax.tree.structure(read) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_a_file_without_a_decoder_is_not_read_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    export_model(path, drawn(MAE), MAE, provenance={}, decoder=False)
    with pytest.raises(UserError, match=r"no model file with an encoder and a decoder \('decoder"):
        import_params(path)


def test_half_precision_without_the_decoder(tmp_path: Path) -> None:
    params, path = drawn(MAE), tmp_path / "model.safetensors"
    export_model(path, params, MAE, provenance={}, decoder=False, dtype="float16")
    tensors = read_model_file(path, decoder=True).tensors
    assert set(tensors) == set(encoder_shapes(MAE))
    exact = export_tensors(params)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(tensor.float().numpy(), exact[name], rtol=1e-3, atol=1e-6)


def test_values_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    params, path = drawn(MAE), tmp_path / "model.safetensors"
    params["encoder"]["norm"]["weight"] = params["encoder"]["norm"]["weight"].at[3].set(1e6)
    with pytest.raises(UserError, match=r"encoder\.norm\.weight is not finite in float16"):
        export_model(path, params, MAE, provenance={}, dtype="float16")
    assert not list(tmp_path.iterdir())


def test_a_model_of_images_embeds_no_sound(tmp_path: Path) -> None:
    config = dataclasses.replace(
        MAE, input_size=(224, 672), patch_size=(16, 48), front_end="rgb_224", depth=1, decoder_depth=1
    )
    path = tmp_path / "model.safetensors"
    export_model(path, drawn(config), config, provenance={})
    with pytest.raises(UserError, match="front end rgb_224 does not embed sound"):
        load_model(str(path))
