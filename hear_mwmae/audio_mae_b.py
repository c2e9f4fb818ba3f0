"""Audio-MAE Base ("Masked Autoencoders that Listen"; Table 1, AudioMAE) as a HEAR module.

16 kHz, the mean of the waveform removed, 128 Kaldi bands normalised by AudioSet's mean and deviation, 16x16
patches of 1024 frames, time-major, class token first. One embedding per 160 ms is the mean over 8 bands, and
a scene's is the mean over those. How the MW-MAE paper pooled this model's tokens is not published.
"""

from hear_mwmae import loading
from hear_mwmae.embedding import EmbeddingModel, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "", *, precision: str = "float32", timestamps: str = "centre"
) -> EmbeddingModel:
    """Load this model, also from a file of the released code; see `hear_mwmae.loading.load_model`."""
    return loading.load_model(
        model_file_path, model="audio_mae_b", precision=precision, timestamps=timestamps
    )
