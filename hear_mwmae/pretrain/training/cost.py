"""What a model and its training cost: parameters, arithmetic, memory; and how fast a device could be.

Parameters and operations follow from the configuration alone, without JAX.
"""

import dataclasses
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hear_mwmae import processor
from hear_mwmae.config import LOCAL_WINDOW, POSITION_HIDDEN, ModelConfig

if TYPE_CHECKING:
    import jax
    from jaxtyping import Array, PyTree


# Dense bfloat16 operations per second of one JAX device, by how its `device_kind` begins; vendors' data
# sheets (NVIDIA: half of the figures "with sparsity"). The longer of two names stands first.
PEAK_FLOPS = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L4": 121e12,
    # Of these two a JAX device is one of the chip's two cores.
    "TPU v2": 45e12 / 2,
    "TPU v3": 123e12 / 2,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model; the position codes count, as the released code trains them."""

    encoder: int
    encoder_without_codes: int
    """What the paper calls the size of a model (Table 6)."""
    decoder: int

    @property
    def total(self) -> int:
        """Parameters of encoder and decoder."""
        return self.encoder + self.decoder


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training takes on one device."""

    state: int
    """Parameters, gradients and the optimiser's two moments in float32, and a bfloat16 copy if needed."""
    activations: int
    """What the forward pass keeps for the backward pass."""

    @property
    def total(self) -> int:
        """Bytes of state and activations."""
        return self.state + self.activations


def warn_of_emulation(precision: str) -> None:
    """Say where bfloat16, which published runs train in, is no faster than float32."""
    import jax  # What is counted here needs none of it.

    emulated = jax.default_backend() == "cpu" and processor.multiplies_bf16() is False
    if precision == "bfloat16" and emulated and jax.process_index() == 0:
        text = processor.describe_bf16(emulated=processor.IN_JAX)
        warnings.warn(text, processor.SlowPrecisionWarning, stacklevel=2)


def parameter_count(config: ModelConfig) -> ParameterCount:
    """Count the parameters of a model from its shapes."""
    pixels = _pixels(config)
    bare = (pixels + 1) * config.width + 2 * config.width + config.class_token * config.width
    bare += config.depth * _block_parameters(config, config.width, config.encoder_windows)
    codes = (config.tokens + config.class_token) * config.width
    width = config.decoder_width
    # Embedding, mask token, position codes, norm, prediction.
    decoder = (config.width + 1) * width + width + config.decoder_tokens * width + 2 * width
    decoder += (width + 1) * pixels * (1 + (config.objective != "reconstruction"))
    decoder += config.decoder_depth * _block_parameters(config, width, config.decoder_windows)
    if config.decoder_attention == "local":
        decoder += config.decoder_depth * _position_parameters(config)
    return ParameterCount(bare + codes, bare, decoder)


def train_flops_per_crop(config: ModelConfig) -> float:
    """Operations of the matrix products in one training step, per crop; a multiply-add counts two.

    The backward pass takes twice the forward pass. The encoder sees the kept tokens and the class token, the
    decoder all tokens; a head's products are as long as its window. What is computed a second time to save
    memory does not count, so that a utilisation from this number is of the model, not of the machine.
    """
    pixels, encoded = _pixels(config), config.kept_tokens + config.class_token
    products = encoder_products(config, config.kept_tokens)
    products += encoded * config.width * config.decoder_width
    local = [LOCAL_WINDOW**2] * config.decoder_heads if config.decoder_attention == "local" else None
    products += config.decoder_depth * _block_products(
        config, config.decoder_width, config.decoder_tokens, local or config.decoder_windows
    )
    products += config.decoder_tokens * config.decoder_width * pixels
    if config.objective != "reconstruction":
        masked = config.tokens - config.kept_tokens
        products += masked * pixels * (config.decoder_width + masked)
    return 3 * 2.0 * products


def encoder_products(config: ModelConfig, patches: int) -> int:
    """Count the multiply-adds of the encoder's matrix products over so many patches and the class token."""
    rows = patches + config.class_token
    blocks = config.depth * _block_products(config, config.width, rows, config.encoder_windows)
    return patches * _pixels(config) * config.width + blocks


def training_memory(
    config: ModelConfig, *, batch: int, precision: str = "bfloat16", remat: bool = False, shards: int = 1
) -> TrainingMemory:
    """Estimate the memory that training takes on one device, from what the model's own gradient keeps.

    With `remat` the gradient keeps the inputs of all blocks and, while it computes a block again, all of that
    block; one of the encoder's and one of the decoder's are counted. The temporary arrays of a compiler come
    on top: a tenth to a third on a CPU.

    Args:
        batch: crops on the device at a time: the batch over devices and accumulation steps.
        shards: devices that share one copy of parameters, gradients and moments; the copies that they gather
            are counted as kept.
    """
    # What is split is gathered, in the type of the products, where it is used.
    gathered = 2 if precision != "float32" else 4 if shards > 1 else 0
    per_parameter = 4 * 4 / shards + gathered
    kept = _bytes_kept_per_crop(config, precision, remat=remat)
    if remat:
        one_block = dataclasses.replace(config, depth=1, decoder_depth=1)
        kept += _bytes_kept_per_crop(one_block, precision, remat=False)
    return TrainingMemory(round(per_parameter * parameter_count(config).total), batch * kept)


def _bytes_kept_per_crop(config: ModelConfig, precision: str, *, remat: bool) -> int:
    """Bytes that the forward pass keeps for the backward pass, found by tracing; nothing is computed."""
    import jax
    import jax.numpy as jnp

    from hear_mwmae.pretrain.model.mae import forward, init_params

    def kept(params: "PyTree", features: "Array", noise: "Array") -> "PyTree":
        def loss(params: "PyTree") -> "Array":
            out = forward(params, features, noise, config, dtype=jnp.dtype(precision), remat=remat)
            return out["loss"]

        return jax.vjp(loss, params)[1]

    def size(batch: int) -> int:
        inputs = [
            jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
            for shape in (config.input_size, (config.mask_draws,))
        ]
        arrays = jax.tree.leaves(jax.eval_shape(kept, params, *inputs))
        return sum(array.size * array.dtype.itemsize for array in arrays)

    params = jax.eval_shape(lambda key: init_params(config, key), jax.random.key(0))
    # The difference leaves out what does not grow with the batch: the parameters themselves.
    return size(2) - size(1)


def peak_flops(device: "jax.Device") -> float | None:
    """Dense bfloat16 operations per second that the vendor states for a device; None for one not listed."""
    words = device.device_kind.replace("-", " ") + " "
    return next((peak for name, peak in PEAK_FLOPS.items() if words.startswith(f"{name} ")), None)


def measured_peak(precision: str = "float32", *, seconds: float = 0.1) -> float:
    """Measure the operations per second of one large square matrix product on the first device.

    The size doubles until a product takes `seconds`, or has 16384 rows; the best of three counts.
    """
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)
    size, best = 512, 0.0
    while True:
        matrix = jnp.ones((size, size), precision)
        product(matrix, matrix).block_until_ready()
        shortest = min(_seconds_of(product, matrix) for _ in range(3))
        best = max(best, 2 * size**3 / shortest)
        if shortest >= seconds or size >= 16384:
            return best
        size *= 2


def _seconds_of(product: "jax.stages.Wrapped", matrix: "jax.Array") -> float:
    start = time.perf_counter()
    product(matrix, matrix).block_until_ready()
    return time.perf_counter() - start


def _pixels(config: ModelConfig) -> int:
    return config.patch_size[0] * config.patch_size[1]


def _block_parameters(config: ModelConfig, width: int, windows: Sequence[int]) -> int:
    hidden = config.mlp_ratio * width
    dense = (width + 1) * 3 * width + (width + 1) * width + (width + 1) * hidden + (hidden + 1) * width
    biases = sum(2 * window - 1 for window in windows if window) if config.relative_position_bias else 0
    return dense + 4 * width + biases


def _position_parameters(config: ModelConfig) -> int:
    """Those of a local block's temperatures and of the network that makes its position bias."""
    return config.decoder_heads + 3 * POSITION_HIDDEN + (POSITION_HIDDEN + 1) * config.decoder_heads


def _block_products(config: ModelConfig, width: int, tokens: int, windows: Sequence[int]) -> int:
    """Multiply-adds of one block: the dense layers, then scores and weighted sums of every head."""
    dense = (4 + 2 * config.mlp_ratio) * width**2
    seen = [window or tokens for window in windows] or [tokens]
    return tokens * (dense + 2 * width * sum(seen) // len(seen))
