"""MW-MAE Base, 4x16 patches, 4 decoder layers (Table 1, MW-MAE-B-4x16-4l) as a HEAR module."""

from hear_mwmae import loading
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "", *, precision: str = "float32", timestamps: str = "hear"
) -> EmbeddingModel:
    """Load this model; see `hear_mwmae.loading.load_model` for paths and options."""
    return loading.load_model(model_file_path, model="mw_mae_b", precision=precision, timestamps=timestamps)
