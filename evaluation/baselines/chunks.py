"""Long sound in bounded memory: cut into equal parts at frame borders, so that frames stay evenly spaced.

The rule for every baseline: as few parts as possible, none longer than the model's limit, lengths that differ
by one frame at most. No frame is computed twice and none is lost: a part reads the few samples beyond its end
that its last frame sees.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def equal_parts(length: int, longest: int) -> list[range]:
    """Cut `range(length)` into as few parts of at most `longest` as there can be, all about equally long."""
    parts = max(1, -(-length // longest))
    borders = [length * part // parts for part in range(parts + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(borders)]


@dataclass(frozen=True)
class FrameGrid:
    """Frames of `window` samples every `hop` samples, the first of which starts with the sound."""

    window: int
    hop: int

    def pad(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips padded"]:
        """Fill sound shorter than one frame up to one frame with silence at its end."""
        return F.pad(audio, (0, max(0, self.window - audio.shape[1])))

    def fit(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips fitted"]:
        """Let sound end with the last frame whose middle lies in it, cut or filled up with silence."""
        last = max(0, audio.shape[1] - self.window // 2) // self.hop
        return F.pad(audio, (0, last * self.hop + self.window - audio.shape[1]))

    def count(self, samples: int) -> int:
        """Return the number of frames that lie in so many samples, at least one."""
        return 1 + max(0, samples - self.window) // self.hop

    def part(self, audio: Float[Tensor, "clips samples"], frames: range) -> Float[Tensor, "clips part"]:
        """Return the samples that consecutive frames see; with the last one all that is left.

        The remainder belongs to no frame, but a network may hear it: one with group norms does.
        """
        is_last = frames.stop == self.count(audio.shape[1])
        stop = audio.shape[1] if is_last else (frames.stop - 1) * self.hop + self.window
        return audio[:, frames.start * self.hop : stop]

    def centres_ms(self, count: int, sample_rate: int) -> Float[Tensor, "count"]:
        """Return the middle of each of the first `count` frames in ms."""
        middles = torch.arange(count, dtype=torch.float64) * self.hop + self.window / 2
        return (middles * 1000 / sample_rate).float()
