"""Tiny encoders of the Hugging Face kind with random weights, saved as the real ones are."""

import warnings
from pathlib import Path

import torch
import transformers

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONVOLUTIONS = {
    **SIZES,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 64,
    "pad_token_id": 0,
}

KINDS = {
    "wav2vec2-base": ("Wav2Vec2", CONVOLUTIONS, True),
    "wav2vec2-large": ("Wav2Vec2", {**CONVOLUTIONS, **STABLE}, True),
    "hubert-base": ("Hubert", CONVOLUTIONS, True),
    "hubert-large": ("Hubert", {**CONVOLUTIONS, **STABLE}, True),
    "wavlm-base": ("WavLM", CONVOLUTIONS, False),
    "wavlm-large": ("WavLM", {**CONVOLUTIONS, **STABLE, "conv_bias": False}, True),
    "whisper": ("Whisper", WHISPER, None),
    "ast": ("AST", SIZES, None),
}
"""Class of the model, its sizes, and whether its waveforms are normalised (None: it takes spectrograms)."""
WAVEFORM = [kind for kind, (_, _, normalise) in KINDS.items() if normalise is not None]


def save(kind: str, folder: Path) -> Path:
    """Write a model of this kind, its weights drawn with seed 0, with its feature extractor."""
    name, sizes, normalise = KINDS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            # The library starts with weights so small that hardly anything of the sound gets through.
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    extractor(name, normalise).save_pretrained(folder)
    return folder


def extractor(name: str, normalise: bool | None) -> transformers.SequenceFeatureExtractor:
    """Return the feature extractor that belongs to a model class."""
    if normalise is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one of AST's bands is empty, which the library remarks on
            return getattr(transformers, f"{name}FeatureExtractor")()
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=normalise)
