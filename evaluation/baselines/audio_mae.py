"""AudioMAE ("Masked Autoencoders that Listen") as a HEAR module: any size of it, from its authors' files.

Without a path it finds the released `pretrained.pth`; reading, network, front end and pooling are those of
`hear_mwmae.audio_mae_b`, which takes the base size alone and its converted file.

Not tested on the real weights, which could not be downloaded; tested on small random ones of the same layout,
and against what the authors' code computed from such.
"""

from evaluation.baselines.weights import ReleasedFile
from evaluation.errors import EvaluationError
from hear_mwmae import loading
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings
from hear_mwmae.errors import UserError

__all__ = ["WEIGHTS", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = ReleasedFile(
    "pretrained.pth",
    "download the pre-trained checkpoint that the README of github.com/facebookresearch/AudioMAE links to",
)


def load_model(model_file_path: str = "") -> EmbeddingModel:
    """Return the model; without a path, `pretrained.pth` in $HEAR_MWMAE_WEIGHTS or the cache.

    Raises EvaluationError: no file, or one that is not such a model.
    """
    path = WEIGHTS.find(model_file_path)
    try:
        return loading.load_model(str(path))
    except UserError as error:
        raise EvaluationError(str(error).rstrip(".")) from error
