"""Clips of any length in, scene and timestamp embeddings out (paper section 4.2), and the functions of HEAR.

A clip's log-mel is standardised over the whole clip, cut into chunks of the encoder's input length, encoded
and stitched: one column of the result stands for one patch length of sound. The chunks of all clips of a
call share encoder batches.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from hear_mwmae.config import ModelConfig
from hear_mwmae.encoder import Encoder
from hear_mwmae.errors import UserError
from hear_mwmae.frontend import (
    FRONT_END,
    HOP_MS,
    SAMPLE_RATE,
    LogMel,
    frame_count,
    split_chunks,
    standardise,
)

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
TIMESTAMPS = ("hear", "centre")
# Chunks per encoder pass. On a CPU the Base model is as fast with 2 as with 16, the Tiny one wants 8 or more.
CPU_BATCH = 8
ACCELERATOR_BATCH = 128


class EmbeddingModel(nn.Module):
    """A HEAR model: front end, encoder, pooling. It may be moved to any device.

    Attributes:
        sample_rate: rate of the waveforms it takes, in Hz.
        scene_embedding_size, timestamp_embedding_size: length of one embedding.
        pretrained: False where the weights are random.
        weights_path: file or directory that the weights came from, "" where they are random.

    Raises:
        UserError: an unknown precision or kind of timestamps.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        weights_path: str = "",
        precision: str = "float32",
        timestamps: str = "hear",
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise UserError(f"There is no precision {precision!r}; use one of {', '.join(PRECISIONS)}.")
        if timestamps not in TIMESTAMPS:
            raise UserError(f"There are no timestamps {timestamps!r}; use one of {', '.join(TIMESTAMPS)}.")
        front_end = encoder.config.front_end
        if front_end != FRONT_END:
            raise UserError(f"A model of front end {front_end} does not embed sound: load a {FRONT_END} one.")
        self.log_mel = LogMel()
        self.encoder = encoder.to(PRECISIONS[precision]).requires_grad_(False)
        self.timestamps = timestamps
        self.weights_path = weights_path
        self.pretrained = weights_path != ""
        self.sample_rate = SAMPLE_RATE
        self.scene_embedding_size = self.config.embedding_size
        self.timestamp_embedding_size = self.config.embedding_size
        self.eval()

    @property
    def config(self) -> ModelConfig:
        """The shape of the model."""
        return self.encoder.config

    @torch.no_grad()
    def scene_embeddings(self, clips: Sequence[Float[Tensor, " _"]]) -> Float[Tensor, "clips size"]:
        """Embed clips of any lengths, in [-1, 1] at 16 kHz: the mean over each clip's columns, float32.

        Raises:
            UserError: an empty clip, or one that is not finite.
        """
        chunks, counts = self._chunks(clips)
        columns = torch.tensor([self.column_count(len(clip)) for clip in clips], device=chunks.device)
        sums = torch.cat([batch.sum(dim=1) for batch in self._encoded(chunks, self._kept(clips, chunks))])
        totals = torch.stack([of_clip.sum(dim=0) for of_clip in sums.split(counts)])
        return totals / columns[:, None]

    @torch.no_grad()
    def timestamp_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]]
    ) -> tuple[list[Float[Tensor, "columns size"]], list[Float[Tensor, " columns"]]]:
        """Embed every column of clips of any lengths, in [-1, 1] at 16 kHz; also return the times in ms.

        Raises:
            UserError: an empty clip, or one that is not finite.
        """
        chunks, counts = self._chunks(clips)
        encoded = torch.cat(list(self._encoded(chunks, self._kept(clips, chunks))))
        stitched = [of_clip.flatten(0, 1) for of_clip in encoded.split(counts)]
        lengths = [len(clip) for clip in clips]
        embeddings = [s[: self.column_count(n)] for s, n in zip(stitched, lengths, strict=True)]
        return embeddings, [self.column_times(n).to(chunks.device) for n in lengths]

    def column_count(self, samples: int) -> int:
        """Columns of a clip: every patch length of which at least one frame is real."""
        return -(-frame_count(samples) // self.config.patch_size[0])

    def column_times(self, samples: int) -> Float[Tensor, " columns"]:
        """Time of every column in ms.

        "hear" spreads the columns evenly over the clip from 0 on, as the released code does; "centre" gives
        the middle of the frames of each column, which for the last one may lie just past the clip's end.
        """
        columns, frames = self.column_count(samples), self.config.patch_size[0]
        index = torch.arange(columns, dtype=torch.float64)
        if self.timestamps == "centre":
            return ((index * frames + (frames - 1) / 2) * HOP_MS).float()
        return (index * (1000 * samples / SAMPLE_RATE / columns)).float()

    def _chunks(
        self, clips: Sequence[Float[Tensor, " _"]]
    ) -> tuple[Float[Tensor, "chunks frames bands"], list[int]]:
        """Standardised log-mel chunks of all clips, and how many each clip has."""
        if len(clips) == 0:
            raise UserError("No clips were given: give at least one.")
        of_clip: list[Tensor] = [torch.empty(0)] * len(clips)
        by_length: dict[int, list[int]] = {}
        for index, clip in enumerate(clips):
            by_length.setdefault(len(clip), []).append(index)
        for indices in by_length.values():
            audio = torch.stack([clips[index] for index in indices]).to(self.log_mel.window)
            _check(audio, indices)
            features = split_chunks(standardise(self.log_mel(audio)), self.config.input_size[0])
            for index, chunks in zip(indices, features, strict=True):
                of_clip[index] = chunks
        return torch.cat(of_clip), [len(chunks) for chunks in of_clip]

    def _kept(
        self, clips: Sequence[Float[Tensor, " _"]], chunks: Float[Tensor, "chunks frames bands"]
    ) -> Float[Tensor, "chunks columns 1"]:
        """1 for the columns that hold sound, 0 for those that are all padding."""
        per_chunk = self.config.grid[0]
        kept = torch.zeros(len(chunks) * per_chunk)
        start = 0
        for clip in clips:
            columns = self.column_count(len(clip))
            kept[start : start + columns] = 1
            start += -(-columns // per_chunk) * per_chunk
        return kept.reshape(-1, per_chunk, 1).to(chunks.device)

    def _encoded(
        self, chunks: Float[Tensor, "chunks frames bands"], kept: Float[Tensor, "chunks columns 1"]
    ) -> Iterator[Float[Tensor, "batch columns size"]]:
        size = CPU_BATCH if chunks.device.type == "cpu" else ACCELERATOR_BATCH
        for batch, batch_kept in zip(chunks.split(size), kept.split(size), strict=True):
            yield self.encoder(batch).float() * batch_kept


def _check(audio: Float[Tensor, "clips samples"], indices: Sequence[int]) -> None:
    if audio.shape[1] == 0:
        raise UserError(f"Clip {indices[0]} is empty: every clip needs at least one sample.")
    finite = audio.isfinite().all(dim=1)
    if not finite.all():
        bad = indices[int((~finite).nonzero()[0])]
        raise UserError(f"Clip {bad} holds NaN or infinite samples: repair it or leave it out.")


def _clips(audio: Shaped[Tensor, "..."]) -> tuple[Float[Tensor, " samples"], ...]:
    """Rows of a HEAR batch; a single waveform counts as a batch of one."""
    if not isinstance(audio, Tensor):
        raise UserError(
            f"The audio is a {type(audio).__name__}; give a torch tensor of shape (clips, samples)."
        )
    if audio.ndim not in (1, 2) or not audio.is_floating_point() or audio.shape[0] == 0:
        raise UserError(
            f"The audio is {audio.dtype} of shape {tuple(audio.shape)}; give floating-point waveforms in "
            "[-1, 1] of shape (clips, samples)."
        )
    return torch.atleast_2d(audio).unbind()


def get_scene_embeddings(audio: Shaped[Tensor, "..."], model: EmbeddingModel) -> Float[Tensor, "clips size"]:
    """HEAR: embed floating-point clips of one length, (clips, samples) or (samples,), one vector per clip.

    Raises:
        UserError: audio that is not finite, empty, or not floating point of shape (clips, samples).
    """
    return model.scene_embeddings(_clips(audio))


def get_timestamp_embeddings(
    audio: Shaped[Tensor, "..."], model: EmbeddingModel
) -> tuple[Float[Tensor, "clips columns size"], Float[Tensor, "clips columns"]]:
    """HEAR: embed floating-point clips of one length, one vector per patch length of sound; also times in ms.

    Raises:
        UserError: audio that is not finite, empty, or not floating point of shape (clips, samples).
    """
    embeddings, times = model.timestamp_embeddings(_clips(audio))
    return torch.stack(embeddings), torch.stack(times)
