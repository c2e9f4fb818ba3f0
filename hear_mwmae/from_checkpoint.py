"""Any exported model file or released checkpoint as a HEAR module: the shape is what the file states."""

from hear_mwmae.embedding import get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.loading import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
