"""What the tests of AudioMAE, SSaST and BEATs share: released layouts with random weights, slow formulas."""

from types import ModuleType

import numpy as np
import torch
from scipy.special import erf

WIDTH, DEPTH, HEADS = 128, 2, 2


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights large enough that every one of them shows in the output; norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        scale = 0.2 if len(shape) < 2 or "pos_embed" in name else 1.5 / np.prod(shape[1:]) ** 0.5
        tensors[name] = noise * scale + float("norm" in name and name.endswith("weight"))
    return tensors


def vit_shapes(width: int, depth: int, patch: tuple[int, int], rows: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a vision transformer of timm with a class token."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, rows, width),
        "patch_embed.proj.weight": (width, 1, *patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    linears = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for index in range(depth):
        for name, (outputs, inputs) in linears.items():
            shapes[f"blocks.{index}.{name}.weight"] = (outputs * width, inputs * width)
            shapes[f"blocks.{index}.{name}.bias"] = (outputs * width,)
        for norm in ("norm1", "norm2"):
            shapes[f"blocks.{index}.{norm}.weight"] = shapes[f"blocks.{index}.{norm}.bias"] = (width,)
    return shapes


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
    """By its formula, over the last axis."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * weight + bias


def gelu(x: np.ndarray) -> np.ndarray:
    """The exact one."""
    return x * (1 + erf(x / np.sqrt(2))) / 2


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def naive_vit(x: np.ndarray, weights: dict[str, np.ndarray], heads: int) -> list[np.ndarray]:
    """Blocks and last normalisation, one head after the other, of tokens [tokens, width]; float64."""
    found = []
    size = x.shape[1] // heads
    for index in range(DEPTH):
        w = {name.removeprefix(f"blocks.{index}."): value for name, value in weights.items()}
        normed = layer_norm(x, w["norm1.weight"], w["norm1.bias"], 1e-6)
        query, key, value = np.split(normed @ w["attn.qkv.weight"].T + w["attn.qkv.bias"], 3, axis=1)
        mixed = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / np.sqrt(size)
            mixed[:, part] = softmax(scores) @ value[:, part]
        x = x + mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]
        normed = layer_norm(x, w["norm2.weight"], w["norm2.bias"], 1e-6)
        hidden = gelu(normed @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"])
        x = x + hidden @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
        found.append(x)
    return [*found, layer_norm(x, weights["norm.weight"], weights["norm.bias"], 1e-6)]


def as_float64(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The tensors as numpy arrays."""
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def sound(seconds: float, clips: int = 2, rate: int = 16000) -> torch.Tensor:
    """Noise that grows louder, different in every clip."""
    samples = max(1, round(seconds * rate))
    noise = torch.rand(clips, samples, generator=torch.Generator().manual_seed(1)) - 0.5
    return noise * torch.linspace(0.1, 1, samples) * torch.linspace(0.5, 1, clips)[:, None]


def check_hear_rules(module: ModuleType, model: torch.nn.Module, *, hop_ms: float) -> None:
    """What hear-validator asks, and that clips do not see their batch mates; times lie inside the clip."""
    assert isinstance(model, torch.nn.Module)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for seconds in (0.3, 1.07, 3.74):
        audio = sound(seconds, rate=model.sample_rate)
        scenes = module.get_scene_embeddings(audio, model)
        embeddings, times = module.get_timestamp_embeddings(audio, model)
        assert scenes.shape == (2, model.scene_embedding_size)
        assert embeddings.shape == (2, times.shape[1], model.timestamp_embedding_size)
        assert scenes.dtype == embeddings.dtype == times.dtype == torch.float32
        assert torch.isfinite(embeddings).all()
        assert (times.diff(dim=1) - hop_ms).abs().sum() < 1e-2 * times.shape[1]
        assert times.min() >= 0
        assert 1000 * seconds - 1.6 * hop_ms < times.max() <= 1000 * seconds
        alone = module.get_scene_embeddings(audio[1:], model)
        torch.testing.assert_close(alone, scenes[1:], rtol=1e-4, atol=1e-5)
    for samples in (1, 399, 401):
        silence = torch.zeros(1, samples)
        assert torch.isfinite(module.get_scene_embeddings(silence, model)).all()
        embeddings, times = module.get_timestamp_embeddings(silence, model)
        assert torch.isfinite(embeddings).all()
        assert 0 <= times.min() <= times.max() <= 1000 * samples / model.sample_rate + 1e-3


def check_layers(module: ModuleType, model: torch.nn.Module, names: list[str]) -> None:
    """The layers asked for, in the order asked for; the last is what comes without asking."""
    assert list(model.layer_embedding_sizes) == names
    audio = sound(1.5)
    scenes = module.get_scene_embeddings(audio, model, layers=names[::-1])
    frames = module.get_timestamp_embeddings(audio, model, layers=names[:1])
    assert [scene.shape[1] for scene in scenes] == [model.layer_embedding_sizes[n] for n in names[::-1]]
    torch.testing.assert_close(scenes[0], module.get_scene_embeddings(audio, model), rtol=0, atol=0)
    torch.testing.assert_close(frames[0][0].mean(dim=1), scenes[-1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(scenes[0], scenes[-1])
