"""The model against the released code: masked forward pass, loss, all gradients, embeddings."""

import dataclasses
import itertools
from functools import partial

import golden_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hear_mwmae.config import ModelConfig, paper_windows
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.initialise import init_params, sinusoids, sinusoids_2d
from hear_mwmae.pretrain.model.mae import Params, embed, patchify, unpatchify
from hear_mwmae.pretrain.model.mae import forward as eager_forward
from hear_mwmae.pretrain.model.masks import mask_noise, random_mask

KINDS = ("mwmae", "mae")
# Measured: 2e-6 in features and predictions of size 1, 2e-6 of the gradient's norm.
TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 2e-5
SMALL = ModelConfig(width=32, depth=2, heads=4, decoder_width=32, decoder_depth=2)
MW_SMALL = dataclasses.replace(SMALL, decoder_windows=paper_windows(250))

# Operation by operation, every one of them would be compiled for itself.
forward = jax.jit(eager_forward, static_argnames=("config", "dtype", "remat", "intermediates"))
draw_params = jax.jit(init_params, static_argnums=0)


def golden(kind: str, precision: str = "float32") -> tuple[dict[str, np.ndarray], ModelConfig, Params]:
    name = f"{kind}_small_{precision}"
    return (
        golden_jax.load(f"pretrain_{name}"),
        golden_jax.SMALL[kind],
        golden_jax.checkpoint_params(name),
    )


@golden_jax.needs_golden
@pytest.mark.parametrize("kind", KINDS)
def test_masked_forward_pass_is_that_of_the_released_code(kind: str) -> None:
    arrays, config, params = golden(kind)
    features = jnp.asarray(arrays["imgs"][..., 0])
    ours = forward(params, features, jnp.asarray(arrays["noise"]), config)
    assert np.array_equal(ours["mask"], arrays["mask"])
    np.testing.assert_allclose(ours["target"], arrays["target"], atol=0)
    np.testing.assert_allclose(ours["prediction"], arrays["pred"], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(ours["loss"], arrays["loss"], rtol=1e-6)
    embeddings = jax.jit(partial(embed, config=config))(params, features)
    np.testing.assert_allclose(embeddings, arrays["forward_features"], atol=TOLERANCE, rtol=0)


@golden_jax.needs_golden
@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_normalised_patches(kind: str) -> None:
    arrays, config, params = golden(kind)
    config = dataclasses.replace(config, norm_pix_loss=True)
    ours = forward(params, jnp.asarray(arrays["imgs"][..., 0]), jnp.asarray(arrays["noise"]), config)
    np.testing.assert_allclose(ours["loss"], arrays["loss_norm_pix"], rtol=1e-6)


@golden_jax.needs_golden
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_released_code(kind: str, remat: bool) -> None:
    arrays, config, params = golden(kind)
    theirs = {name.removeprefix("grad/"): array for name, array in arrays.items() if "grad/" in name}
    ours = jax.grad(
        lambda params: forward(
            params, jnp.asarray(arrays["imgs"][..., 0]), jnp.asarray(arrays["noise"]), config, remat=remat
        )["loss"]
    )(params)
    ours = dict(jax.tree_util.tree_leaves_with_path(ours))
    ours = {"/".join(key.key for key in path): np.asarray(array) for path, array in ours.items()}
    if kind == "mwmae":
        assert len(ours) == len({golden_jax.own_name(name)[0] for name in theirs})
    for name, array in theirs.items():
        own, block = golden_jax.own_name(name)
        gradient = ours[own] if block is None else ours[own][block]
        difference = np.linalg.norm(gradient.ravel() - array.ravel())
        assert difference < GRADIENT_TOLERANCE * np.linalg.norm(array), name


@golden_jax.needs_golden
def test_intermediates_are_those_of_the_released_code() -> None:
    arrays, config, params = golden("mwmae")
    features, noise = jnp.asarray(arrays["imgs"][..., 0]), jnp.asarray(arrays["noise"])
    out = forward(params, features, noise, config, intermediates=True)
    for head, block in itertools.product(range(8), range(2)):
        theirs = arrays[f"pre:decoder_block_0{block}/wmha_block/attn_heads_{head}"]
        ours = out["decoder"]["head_outputs"][block, :, :, head]
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
    for head in range(8):
        theirs = arrays[f"pre:decoder_block_00/wmha_block/attn_heads_{head}:attn_sample0"]
        ours = out["decoder"]["attention"][str(head)][0, 0]
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
    for block in range(2):
        theirs = arrays[f"pre:encoder_block_0{block}"]
        np.testing.assert_allclose(out["encoder"]["block"][block], theirs, atol=TOLERANCE, rtol=0)


@golden_jax.needs_golden
def test_bfloat16_is_within_one_per_cent() -> None:
    arrays, config, params = golden("mwmae", "bfloat16")
    features, noise = jnp.asarray(arrays["imgs"][..., 0]), jnp.asarray(arrays["noise"])
    ours = forward(params, features, noise.astype(jnp.float32), config, dtype=jnp.bfloat16)
    assert np.array_equal(ours["mask"], arrays["mask"])
    difference = np.linalg.norm(np.asarray(ours["prediction"]) - arrays["pred"])
    assert difference < 0.01 * np.linalg.norm(arrays["pred"])
    assert abs(float(ours["loss"]) - float(arrays["loss"])) < 0.01 * float(arrays["loss"])


@golden_jax.needs_golden
@pytest.mark.parametrize("grid", [(50, 5), (50, 10), (40, 16), (25, 5), (25, 10)])
def test_position_codes_are_those_of_the_released_code(grid: tuple[int, int]) -> None:
    arrays = golden_jax.load("extras")
    both = arrays[f"pos2d/{grid[0]}x{grid[1]}/f32"][0]
    np.testing.assert_allclose(sinusoids_2d(grid, 16), both, atol=1e-5, rtol=0)
    tokens = grid[0] * grid[1]
    # Angles up to 640 in float32: the reference's own rounding.
    np.testing.assert_allclose(
        sinusoids(np.arange(tokens), 16), arrays[f"pos1d/{tokens}/f32"][0], atol=5e-5, rtol=0
    )


def test_every_sample_has_a_mask_of_its_own_and_keeps_a_fifth() -> None:
    mask = random_mask(mask_noise(jax.random.key(0), 64, 250), 50)
    assert (mask.masked.sum(axis=1) == 200).all()
    assert len({bytes(np.asarray(row)) for row in mask.masked}) == 64
    rows = np.arange(64)[:, None]
    assert not np.asarray(mask.masked)[rows, mask.kept].any()
    everything = np.concatenate([mask.kept, np.full((64, 200), -1)], axis=1)
    restored = np.take_along_axis(everything, np.asarray(mask.restore), axis=1)
    assert np.array_equal(restored >= 0, mask.masked == 0)
    assert np.array_equal(restored[restored >= 0], np.nonzero(mask.masked == 0)[1])


def test_kept_tokens_are_rounded_down_but_not_by_floating_point() -> None:
    grids = {(4, 16): 50, (8, 16): 25, (4, 8): 100, (5, 5): 128, (8, 8): 50}
    kept = {patch: dataclasses.replace(SMALL, patch_size=patch).kept_tokens for patch in grids}
    assert kept == grids
    ratios = {0.2: 200, 0.3: 175, 0.7: 75, 0.75: 62, 0.85: 37, 0.9: 25}
    assert {ratio: dataclasses.replace(SMALL, mask_ratio=ratio).kept_tokens for ratio in ratios} == ratios


VARIANTS = {
    "mae with class token": dataclasses.replace(SMALL, class_token=True),
    "mw-mae with class token": dataclasses.replace(MW_SMALL, class_token=True),
    "without bias tables": dataclasses.replace(MW_SMALL, relative_position_bias=False),
    "windows in the encoder": dataclasses.replace(MW_SMALL, encoder_windows=(5, 10, 25, 0)),
    "8x16": dataclasses.replace(
        SMALL, patch_size=(8, 16), decoder_heads=4, decoder_windows=paper_windows(125)
    ),
    "other grid": dataclasses.replace(SMALL, input_size=(104, 80), patch_size=(8, 8), decoder_heads=4),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_variant_learns_from_every_parameter(config: ModelConfig, dtype: jnp.dtype) -> None:
    """Gradients are finite, and none is zero everywhere; parameters stay float32."""
    params = draw_params(config, jax.random.key(1))
    features = jax.random.normal(jax.random.key(2), (3, *config.input_size))
    noise = mask_noise(jax.random.key(3), 3, config.tokens)
    loss, gradients = jax.value_and_grad(
        lambda params: forward(params, features, noise, config, dtype=dtype)["loss"]
    )(params)
    assert loss.dtype == jnp.float32
    assert 0.5 < loss < 3
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert gradient.dtype == jnp.float32, path
        assert bool(jnp.isfinite(gradient).all()), path
        assert bool(jnp.any(gradient != 0)), path


@pytest.mark.parametrize(("dtype", "exact"), [(jnp.float32, True), (jnp.bfloat16, False)])
def test_float32_is_float32_on_accelerators_too(dtype: jnp.dtype, exact: bool) -> None:
    """Their default is to round the factors of a product."""
    params = jax.eval_shape(partial(init_params, MW_SMALL), jax.random.key(1))
    shapes = [jax.ShapeDtypeStruct((2, *shape), jnp.float32) for shape in (MW_SMALL.input_size, (250,))]

    def loss(params: Params, features: jax.Array, noise: jax.Array) -> jax.Array:
        return forward(params, features, noise, MW_SMALL, dtype=dtype)["loss"]

    lines = jax.jit(jax.grad(loss)).lower(params, *shapes).as_text().splitlines()
    products = ["precision = [HIGHEST, HIGHEST]" in line for line in lines if "dot_general" in line]
    assert len(products) > 20
    assert all(products) if exact else not any(products)


def test_fixed_position_codes_get_no_gradient() -> None:
    config = dataclasses.replace(SMALL, position_codes="fixed")
    params = draw_params(config, jax.random.key(1))
    features = jax.random.normal(jax.random.key(2), (2, 200, 80))
    noise = mask_noise(jax.random.key(3), 2, config.tokens)
    gradients = jax.grad(lambda params: forward(params, features, noise, config)["loss"])(params)
    assert not gradients["encoder"]["position_codes"].any()
    assert not gradients["decoder"]["position_codes"].any()
    assert gradients["decoder"]["mask_token"].any()


def test_the_loss_sees_masked_patches_only() -> None:
    params = draw_params(SMALL, jax.random.key(1))
    features = jax.random.normal(jax.random.key(2), (2, 200, 80))
    out = forward(params, features, mask_noise(jax.random.key(3), 2, 250), SMALL)
    per_patch = np.square(np.asarray(out["prediction"] - out["target"])).mean(axis=-1)
    assert float(out["loss"]) == pytest.approx(per_patch[np.asarray(out["mask"]) == 1].mean(), rel=1e-6)


@pytest.mark.parametrize("patch_size", [(4, 16), (8, 8), (5, 5)])
def test_patches_are_put_back_where_they_were(patch_size: tuple[int, int]) -> None:
    config = dataclasses.replace(SMALL, patch_size=patch_size)
    features = jnp.arange(2 * 200 * 80.0).reshape(2, 200, 80)
    patches = patchify(features, patch_size)
    bands = 80 // patch_size[1]
    second = features[0, : patch_size[0], patch_size[1] : 2 * patch_size[1]]
    assert np.array_equal(patches[0, 1], second.ravel())
    assert np.array_equal(
        patches[0, bands], features[0, patch_size[0] : 2 * patch_size[0], : patch_size[1]].ravel()
    )
    assert np.array_equal(unpatchify(patches, config), features)


def test_initialisation_has_the_released_codes_spreads() -> None:
    config = dataclasses.replace(MW_SMALL, width=768, depth=1, decoder_width=384)
    params = draw_params(config, jax.random.key(0))
    encoder, decoder = params["encoder"], params["decoder"]
    assert float(encoder["patch_embed"]["weight"].std()) == pytest.approx(0.0064, rel=0.02)
    bound = (6 / (768 + 3 * 768)) ** 0.5
    assert float(jnp.abs(encoder["blocks"]["attention"]["qkv"]["weight"]).max()) == pytest.approx(
        bound, rel=0.01
    )
    assert float(decoder["embed"]["weight"].std()) == pytest.approx(768**-0.5, rel=0.02)
    assert float(decoder["mask_token"].std()) == pytest.approx(0.02, rel=0.2)
    table = decoder["blocks"]["attention"]["bias_tables"]["5"]
    assert float(table.std()) == pytest.approx((0.02 / 249) ** 0.5, rel=0.1)
    first, second = decoder["blocks"]["mlp"]["out"]["weight"]
    assert not jnp.array_equal(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_windows": (5, 125, 0, 0)}, "must divide the 50 and the 250 tokens"),
        ({"encoder_windows": (5, 10)}, "2 encoder_windows for 4 heads"),
        ({"encoder_windows": (5, 5, 0, 0), "class_token": True}, "set class_token to false"),
        ({"mask_ratio": 0.999}, "keeps 0 of 250 tokens"),
        ({"mask_ratio": float("nan")}, "mask_ratio nan is not between 0 and 1"),
        ({"width": 30, "heads": 3}, "width 30 is no multiple of 4"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SMALL, **change)
