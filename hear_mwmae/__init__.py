"""Embeddings of sound from MAE and MW-MAE encoders, behind the HEAR API.

Every name in `NAMED_MODELS` is a HEAR module of its own (`hear_mwmae.mw_mae_b`, ...);
`hear_mwmae.from_checkpoint` serves any exported or released checkpoint.
"""

from hear_mwmae.config import NAMED_MODELS, ModelConfig
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.errors import UserError
from hear_mwmae.loading import load_model

__all__ = [
    "NAMED_MODELS",
    "EmbeddingModel",
    "ModelConfig",
    "UserError",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]
