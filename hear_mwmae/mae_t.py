"""MAE Tiny, 4x16 patches (Table 8, ViT-T MAE) as a HEAR module."""

from hear_mwmae import loading
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "", *, precision: str = "float32", timestamps: str = "hear"
) -> EmbeddingModel:
    """Load this model; see `hear_mwmae.loading.load_model` for paths and options."""
    return loading.load_model(model_file_path, model="mae_t", precision=precision, timestamps=timestamps)
