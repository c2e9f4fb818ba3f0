"""Embeddings of sound from MAE and MW-MAE encoders, behind the HEAR API.

Every name in `NAMED_MODELS` is a HEAR module of its own (`hear_mwmae.mw_mae_b`, ...);
`hear_mwmae.from_checkpoint` serves any exported or released checkpoint; `hear_mwmae.pretrain` trains models.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hear_mwmae.config import NAMED_MODELS, ModelConfig
from hear_mwmae.errors import UserError

if TYPE_CHECKING:
    from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings
    from hear_mwmae.loading import load_model, save_model

__all__ = [
    "NAMED_MODELS",
    "EmbeddingModel",
    "ModelConfig",
    "UserError",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "save_model",
]


def __getattr__(name: str) -> object:
    """Import what needs torch at its first use, so that pre-training never loads torch beside JAX."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    of_loading = name in ("load_model", "save_model")
    return getattr(import_module("hear_mwmae.loading" if of_loading else "hear_mwmae.embedding"), name)
