"""A tiny HEAR module whose weights torch does not know of: a numpy array, read from the path given."""

import numpy as np
import torch


class Hidden(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 2

    def __init__(self, scale: np.ndarray):
        super().__init__()
        self.scale = scale


def load_model(model_file_path: str = "") -> Hidden:
    return Hidden(np.load(model_file_path) if model_file_path else np.ones(2, np.float32))


def get_scene_embeddings(audio: torch.Tensor, model: Hidden) -> torch.Tensor:
    return audio[:, :2] * torch.from_numpy(model.scale)
