"""Tiny random weights of every baseline that has weights, saved as the released ones are."""

import argparse
from pathlib import Path
from typing import Any

import torch
from patch_references import DEPTH, WIDTH, random_tensors, vit_shapes

SSAST_PATCHES = {"patch": (16, 16), "frame": (128, 2)}
BEATS_CONFIG = {
    "input_patch_size": 16,
    "embed_dim": 24,
    "conv_bias": False,
    "encoder_layers": 2,
    "encoder_embed_dim": 32,
    "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 4,
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "deep_norm": True,
    "dropout": 0.1,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "relative_position_embedding": True,
    "num_buckets": 16,
    "max_distance": 20,
    "gru_rel_pos": True,
    "finetuned_model": False,
}


def audio_mae() -> dict[str, torch.Tensor]:
    """Encoder and a global decoder of one block."""
    width = 32
    block = vit_shapes(width, 1, (16, 16), 513)
    decoder = {
        f"decoder_{name}": shape for name, shape in block.items() if name.startswith(("b", "n", "pos"))
    }
    decoder |= {
        "mask_token": (1, 1, width),
        "decoder_embed.weight": (width, WIDTH),
        "decoder_embed.bias": (width,),
    }
    decoder |= {"decoder_pred.weight": (256, width), "decoder_pred.bias": (256,)}
    return random_tensors(vit_shapes(WIDTH, DEPTH, (16, 16), 513) | decoder)


def ssast_shapes(width: int, depth: int, patch: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Names without "module." and shapes, heads of pre-training included."""
    tokens = (128 // patch[0]) * (1024 // patch[1])
    transformer = vit_shapes(width, depth, patch, tokens + 2) | {"dist_token": (1, 1, width)}
    for head in ("head", "head_dist"):
        transformer |= {f"{head}.weight": (1000, width), f"{head}.bias": (1000,)}
    shapes = {f"v.{name}": shape for name, shape in transformer.items()} | {"mask_embed": (1, 1, width)}
    for head in ("cpredlayer", "gpredlayer"):
        shapes |= {f"{head}.0.weight": (width, width), f"{head}.0.bias": (width,)}
        shapes |= {f"{head}.2.weight": (256, width), f"{head}.2.bias": (256,)}
    return shapes


def ssast(kind: str) -> dict[str, torch.Tensor]:
    """A data-parallel state dict of a "patch" or a "frame" model."""
    tensors = random_tensors(ssast_shapes(WIDTH, DEPTH, SSAST_PATCHES[kind]))
    tensors |= {"p_input_fdim": torch.tensor(128), "p_input_tdim": torch.tensor(1024)}
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def beats_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes; every block has the table that all share."""
    width, inner, embed = (config[f"{n}embed_dim"] for n in ("encoder_", "encoder_ffn_", ""))
    heads, patch, kernel = config["encoder_attention_heads"], config["input_patch_size"], config["conv_pos"]
    shapes: dict[str, tuple[int, ...]] = {
        "post_extract_proj.weight": (width, embed),
        "post_extract_proj.bias": (width,),
        "patch_embedding.weight": (embed, 1, patch, patch),
        "layer_norm.weight": (embed,),
        "layer_norm.bias": (embed,),
        "encoder.pos_conv.0.bias": (width,),
        "encoder.pos_conv.0.weight_g": (1, 1, kernel),
        "encoder.pos_conv.0.weight_v": (width, width // config["conv_pos_groups"], kernel),
        "encoder.layer_norm.weight": (width,),
        "encoder.layer_norm.bias": (width,),
    }
    for index in range(config["encoder_layers"]):
        block = f"encoder.layers.{index}."
        linears = {f"self_attn.{name}_proj": (width, width) for name in ("k", "v", "q", "out")}
        linears |= {
            "self_attn.grep_linear": (8, width // heads),
            "fc1": (inner, width),
            "fc2": (width, inner),
        }
        for name, shape in linears.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{block}{name}.weight": (width,), f"{block}{name}.bias": (width,)}
        shapes[f"{block}self_attn.grep_a"] = (1, heads, 1, 1)
        shapes[f"{block}self_attn.relative_attention_bias.weight"] = (config["num_buckets"], heads)
    return shapes


def beats_table(index: int) -> str:
    """The name of a block's table of relative biases."""
    return f"encoder.layers.{index}.self_attn.relative_attention_bias.weight"


def beats() -> dict[str, torch.Tensor]:
    """Weights of a model of BEATS_CONFIG."""
    tensors = random_tensors(beats_shapes(BEATS_CONFIG))
    for index in range(BEATS_CONFIG["encoder_layers"]):
        tensors[beats_table(index)] = tensors[beats_table(0)] * (3 if index == 0 else 1)
    return tensors


def save(module: str, folder: Path) -> Path:
    """Write the weights of `audio_mae`, `ssast`, `ssast-frame` or `beats` under the released file's name."""
    if module == "audio_mae":
        name, content = "pretrained.pth", {"model": audio_mae(), "args": argparse.Namespace(lr=1e-3)}
    elif module == "beats":
        name, content = "BEATs_iter3.pt", {"cfg": BEATS_CONFIG, "model": beats()}
    else:
        name, content = "SSAST-Base-Patch-400.pth", ssast("frame" if module == "ssast-frame" else "patch")
    torch.save(content, folder / name)
    return folder / name
