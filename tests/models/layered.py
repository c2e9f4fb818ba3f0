"""A HEAR module that exposes its layers: powers of the level of a clip and of frames; faults on request."""

from collections.abc import Sequence

import torch

FRAME = 400
POWERS = {"first": 1, "second": 2, "third": 3}


class Layered(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 3
    timestamp_embedding_size = 3

    def __init__(self, fault: str):
        super().__init__()
        self.layer_embedding_sizes = [1, 2] if fault == "sizes" else dict(POWERS)
        self.fault = fault
        self.calls = 0

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return audio.unfold(1, FRAME, FRAME).square().mean(-1, keepdim=True).sqrt()


def load_model(model_file_path: str = "", *, fault: str = "none") -> Layered:
    return Layered(fault)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: Layered, layers: Sequence[str] | None = None
) -> tuple[torch.Tensor, torch.Tensor] | list[tuple[torch.Tensor, torch.Tensor]]:
    level = model(audio)
    times = (25.0 * torch.arange(level.shape[1])).expand(len(audio), -1)
    # Layer n has n numbers, the first n powers of the level.
    found = [
        (torch.cat([level**power for power in range(1, POWERS[name] + 1)], -1), times)
        for name in layers or ["third"]
    ]
    return found if layers else found[0]


def get_scene_embeddings(
    audio: torch.Tensor, model: Layered, layers: Sequence[str] | None = None
) -> torch.Tensor | list[torch.Tensor]:
    if model.fault == "one" and layers:
        return get_timestamp_embeddings(audio, model)[0].mean(1)
    found = [x.mean(1) for x, _ in get_timestamp_embeddings(audio, model, layers or ["third"])]
    return found if layers else found[0]
