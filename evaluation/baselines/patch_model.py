"""What SSaST and BEATs have in common: patches of a Kaldi filter bank, averaged over frequency.

One embedding per column of patches (16 frames: 160 ms), the mean over its bands; a scene's embedding is the
mean over columns, which is the mean over all patch tokens. Columns are cut and stitched as
`evaluation.baselines.wrap` says, in parts of 10.24 s at most: 1024 frames, the input of SSaST in training
(BEATs, trained on clips of 10 s, has relative positions and no such limit).
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from evaluation.baselines.wrap import FrameModel
from hear_mwmae.kaldi_fbank import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE, KaldiFbank

INPUT_FRAMES = 1024
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
"""Statistics of AudioSet's filter banks by which SSaST was trained, in natural log units."""


class PatchModel(FrameModel):
    """A HEAR model that reads (filter bank - mean) / (2 std); subclasses say how in `encode`.

    Args:
        network, layer_names, width: The network, the names of its layers in order, and the length of all
            their embeddings.
        frames_per_column, input_frames: Frames of 10 ms that one column of patches covers, and that one part
            has at most.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        layer_names: list[str],
        width: int,
        window: Literal["hanning", "povey"] = "hanning",
        mean: float = AUDIOSET_MEAN,
        std: float = AUDIOSET_STD,
        frames_per_column: int = 16,
        input_frames: int = INPUT_FRAMES,
    ) -> None:
        super().__init__(
            network,
            sample_rate=SAMPLE_RATE,
            embedding_size=width,
            hop=frames_per_column * HOP_LENGTH,
            window=(frames_per_column - 1) * HOP_LENGTH + FRAME_LENGTH,
            longest_seconds=input_frames * HOP_LENGTH / SAMPLE_RATE,
        )
        self.layer_embedding_sizes = dict.fromkeys(layer_names, width)
        self.fbank = KaldiFbank(window)
        self.mean = mean
        self.std = std

    def prepare(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips fitted"]:
        """Take away each clip's mean; end it with the last column whose middle lies in it."""
        return self.grid.fit(audio - audio.mean(dim=1, keepdim=True))

    def normalise(self, fbank: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Return what the network reads; its deviation is 0.5, not 1."""
        return (fbank - self.mean) / (2 * self.std)
