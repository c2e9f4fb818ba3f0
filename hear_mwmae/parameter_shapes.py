"""Names and shapes of all parameters of a model, from its configuration alone: nothing is built."""

from hear_mwmae.config import POSITION_HIDDEN, ModelConfig

Shapes = dict[str, tuple[int, ...]]


def _block_shapes(prefix: str, width: int, hidden: int) -> Shapes:
    shapes: Shapes = {}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{prefix}{norm}.weight": (width,), f"{prefix}{norm}.bias": (width,)}
    layers = {
        "attention.qkv": (3 * width, width),
        "attention.out": (width, width),
        "mlp.hidden": (hidden, width),
        "mlp.out": (width, hidden),
    }
    for name, shape in layers.items():
        shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
    return shapes


def _bias_table_shapes(prefix: str, config: ModelConfig, windows: tuple[int, ...]) -> Shapes:
    heads = [head for head, window in enumerate(windows) if window and config.relative_position_bias]
    return {f"{prefix}attention.bias_tables.{head}": (2 * windows[head] - 1,) for head in heads}


def _local_attention_shapes(prefix: str, heads: int) -> Shapes:
    return {
        f"{prefix}attention.temperature": (heads,),
        f"{prefix}attention.position_mlp.hidden.weight": (POSITION_HIDDEN, 2),
        f"{prefix}attention.position_mlp.hidden.bias": (POSITION_HIDDEN,),
        f"{prefix}attention.position_mlp.out.weight": (heads, POSITION_HIDDEN),
        f"{prefix}attention.position_mlp.out.bias": (heads,),
    }


def encoder_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every encoder parameter in a model file."""
    width, pixels = config.width, config.patch_size[0] * config.patch_size[1]
    shapes: Shapes = {
        "encoder.patch_embed.weight": (width, pixels),
        "encoder.patch_embed.bias": (width,),
        "encoder.position_codes": (config.tokens + config.class_token, width),
        "encoder.norm.weight": (width,),
        "encoder.norm.bias": (width,),
    }
    if config.class_token:
        shapes["encoder.class_token"] = (width,)
    for index in range(config.depth):
        prefix = f"encoder.blocks.{index}."
        shapes |= _block_shapes(prefix, width, config.mlp_ratio * width)
        shapes |= _bias_table_shapes(prefix, config, config.encoder_windows)
    return shapes


def decoder_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every decoder parameter in a model file."""
    width, pixels = config.decoder_width, config.patch_size[0] * config.patch_size[1]
    shapes: Shapes = {
        "decoder.embed.weight": (width, config.width),
        "decoder.embed.bias": (width,),
        "decoder.mask_token": (width,),
        "decoder.position_codes": (config.decoder_tokens, width),
        "decoder.norm.weight": (width,),
        "decoder.norm.bias": (width,),
        "decoder.predict.weight": (pixels, width),
        "decoder.predict.bias": (pixels,),
    }
    for index in range(config.decoder_depth):
        prefix = f"decoder.blocks.{index}."
        shapes |= _block_shapes(prefix, width, config.mlp_ratio * width)
        shapes |= _bias_table_shapes(prefix, config, config.decoder_windows)
        if config.decoder_attention == "local":
            shapes |= _local_attention_shapes(prefix, config.decoder_heads)
    if config.objective != "reconstruction":
        shapes |= {"decoder.contrast.weight": (pixels, width), "decoder.contrast.bias": (pixels,)}
    return shapes
