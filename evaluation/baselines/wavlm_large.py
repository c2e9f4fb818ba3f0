"""WavLM Large (94,000 h from three corpora) as a HEAR module; see `evaluation.baselines.huggingface`."""

from pathlib import Path

from evaluation.baselines import huggingface
from evaluation.baselines.hub import LARGE, HubModel
from evaluation.baselines.huggingface import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["WEIGHTS", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = HubModel("microsoft/wavlm-large", {"model_type": "wavlm", **LARGE})


def load_model(model_file_path: str | Path = "") -> huggingface.HuggingFaceModel:
    """Load the model from a folder, $HEAR_MWMAE_WEIGHTS or the hub's cache; EvaluationError if not there."""
    return huggingface.load_model(model_file_path, model=WEIGHTS)
