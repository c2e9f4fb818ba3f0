"""WavLM Base (960 h of LibriSpeech) as a HEAR module; see `evaluation.baselines.huggingface`."""

from pathlib import Path

from evaluation.baselines import huggingface
from evaluation.baselines.hub import BASE, HubModel
from evaluation.baselines.huggingface import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["WEIGHTS", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = HubModel("microsoft/wavlm-base", {"model_type": "wavlm", **BASE})


def load_model(model_file_path: str | Path = "") -> huggingface.HuggingFaceModel:
    """Load the model from a folder, $HEAR_MWMAE_WEIGHTS or the hub's cache; EvaluationError if not there."""
    return huggingface.load_model(model_file_path, model=WEIGHTS)
