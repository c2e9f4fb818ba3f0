"""A tiny HEAR module that handles only one clip at a time, needs 44.1 kHz and answers in half precision."""

import torch


class Moments(torch.nn.Module):
    sample_rate = 44100
    scene_embedding_size = 4

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        (clip,) = audio
        change = clip.diff(prepend=clip[:1])
        return torch.stack([clip.std(), clip.abs().max(), change.std(), change.abs().mean()])[None].half()


def load_model(model_file_path: str = "") -> Moments:
    return Moments()


def get_scene_embeddings(audio: torch.Tensor, model: Moments) -> torch.Tensor:
    return model(audio)
