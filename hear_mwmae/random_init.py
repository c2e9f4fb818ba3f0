"""Our encoders as they are before any training, the row that shows what the architecture alone is worth.

`hear_mwmae.random_init@mw_mae_b` takes the name of a model of `hear_mwmae` in the place of weights
and never looks for trained ones. Its rows are marked, and `evaluation.run` wants `--allow-random-init`.
"""

import torch

from hear_mwmae import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.config import named_model
from hear_mwmae.encoder import Encoder

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS_ARE_NAMES = True
"""What follows the @ is a name and no path."""


def load_model(model_file_path: str = "mw_mae_t", *, seed: int = 0) -> EmbeddingModel:
    """Return the named model with the weights that its pre-training would start from, drawn with this seed.

    Raises UserError: no such model.
    """
    encoder = Encoder(named_model(model_file_path or "mw_mae_t").config)
    encoder.initialise(torch.Generator().manual_seed(seed))
    return EmbeddingModel(encoder)
