"""Any network from waveforms to frames as a HEAR model, in five lines:

from evaluation.baselines.wrap import FrameModel, get_scene_embeddings, get_timestamp_embeddings

def load_model(path=""):
    network = MyNetwork(path)       # [clips, samples] -> [clips, frames, 512], a frame every 10 ms
    return FrameModel(network, sample_rate=16000, embedding_size=512, hop=160)
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.baselines.chunks import FrameGrid, equal_parts
from evaluation.errors import EvaluationError

LONGEST_SECONDS = 30.0
SECONDS_AT_ONCE = 64.0
"""Sound per pass of a network, so that a batch of long clips needs no more memory than one of short ones."""

Frames = Float[Tensor, "clips frames size"]


class FrameModel(nn.Module):
    """A HEAR model around a network that gives one embedding per frame.

    A scene's embedding is the mean over its frames, a frame's time is its middle. Clips longer than
    `longest_seconds` go through the network in equal parts without overlap, as `evaluation.baselines.chunks`
    says; clips shorter than one frame are filled up with silence.

    Args:
        network: Called with [clips, samples] float32 and answers with [clips, frames, size], a frame every
            `hop` samples from the start on. What it gives beyond the last whole frame is cut off.
        hop, window: Samples from frame to frame, and those that one frame sees at least (default: `hop`).
        longest_seconds: Time from the first frame of a part to the first of the next, at most.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        sample_rate: int,
        embedding_size: int,
        hop: int,
        window: int | None = None,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.sample_rate = sample_rate
        self.scene_embedding_size = embedding_size
        self.timestamp_embedding_size = embedding_size
        self.grid = FrameGrid(window or hop, hop)
        self._longest = max(1, round(longest_seconds * sample_rate / hop))
        self.eval()

    def prepare(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips samples"]:
        """Return the clips as the network wants them, before they are cut: here, as they are."""
        return audio

    def encode(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> list[Frames]:
        """Return the frames of one part for each of the layers; without layers, the output alone."""
        return [self.network(audio)]

    def parts(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> Iterator[list[Frames]]:
        """Yield the frames of all clips, part by part in the order of time, as `encode` gives them.

        Raises EvaluationError: the network gives fewer frames than its hop and window say.
        """
        audio = self.grid.pad(self.prepare(audio))
        for part in equal_parts(self.grid.count(audio.shape[1]), self._longest):
            samples = self.grid.part(audio, part)
            at_once = max(1, int(SECONDS_AT_ONCE * self.sample_rate / samples.shape[1]))
            passes = [self.encode(clips, layers) for clips in samples.split(at_once)]
            found = passes[0][0].shape[1]
            if found < len(part):
                raise EvaluationError(
                    f"the network gives {found} frames of {samples.shape[1]} samples where a hop of "
                    f"{self.grid.hop} and a window of {self.grid.window} make {len(part)}; correct them"
                )
            yield [torch.cat(of_layer)[:, : len(part)].float() for of_layer in zip(*passes, strict=True)]


@torch.no_grad()
def get_scene_embeddings(
    audio: Float[Tensor, "clips samples"], model: FrameModel, layers: Sequence[str] = ()
) -> Float[Tensor, "clips size"] | list[Float[Tensor, "clips size"]]:
    """HEAR: the mean over the frames of every clip; with `layers`, one result for each."""
    sums, count = None, 0
    for part in model.parts(audio, layers):
        count += part[0].shape[1]
        of_part = torch.stack([frames.sum(dim=1) for frames in part])
        sums = of_part if sums is None else sums + of_part
    assert sums is not None  # the shortest sound has a part, too
    means = list(sums / count)
    return means if layers else means[0]


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Float[Tensor, "clips samples"], model: FrameModel, layers: Sequence[str] = ()
) -> tuple[Frames, Float[Tensor, "clips frames"]] | list[tuple[Frames, Float[Tensor, "clips frames"]]]:
    """HEAR: every frame and its middle in ms, in the clip; with `layers`, one result for each."""
    stitched = [torch.cat(parts, dim=1) for parts in zip(*model.parts(audio, layers), strict=True)]
    times = model.grid.centres_ms(stitched[0].shape[1], model.sample_rate)
    # The middle of the only frame of a very short clip lies in the silence that it was filled up with.
    times = times.clamp_max(1000 * audio.shape[1] / model.sample_rate)
    times = times.to(audio.device).expand(len(audio), -1)
    results = [(frames, times) for frames in stitched]
    return results if layers else results[0]
