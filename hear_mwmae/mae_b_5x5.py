"""MAE Base, 5x5 patches, 4 decoder layers (Table 1, MAE-B-5x5-4l) as a HEAR module."""

from hear_mwmae import loading
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "", *, precision: str = "float32", timestamps: str = "hear"
) -> EmbeddingModel:
    """Load this model; see `hear_mwmae.loading.load_model` for paths and options."""
    return loading.load_model(model_file_path, model="mae_b_5x5", precision=precision, timestamps=timestamps)
