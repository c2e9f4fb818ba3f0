"""Clips of any length in, scene and timestamp embeddings out (paper section 4.2), and the functions of HEAR.

A clip's log-mel is standardised over the whole clip, cut into chunks of the encoder's input length, encoded
and stitched: one column of the result stands for one patch length of sound. The chunks of all clips of a
call share encoder batches.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from hear_mwmae.config import PRECISIONS, TIMESTAMPS, ModelConfig
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

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
# Chunks per encoder pass. On a CPU the Base model is as fast with 2 as with 16, the Tiny one wants 8 or more.
CPU_BATCH = 8
ACCELERATOR_BATCH = 128
LAST = ("norm",)
Frames = tuple[Float[Tensor, "clips columns size"], Float[Tensor, "clips columns"]]


class EmbeddingModel(nn.Module):
    """A HEAR model: front end, encoder, pooling. It may be moved to any device.

    Attributes:
        sample_rate: rate of the waveforms it takes, in Hz.
        scene_embedding_size, timestamp_embedding_size: length of one embedding.
        layer_embedding_sizes: the same for every layer by name: block1, block2, ..., and norm, the last.
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
        self.encoder = encoder.to(_DTYPES[precision]).requires_grad_(False)
        self.timestamps = timestamps
        self.weights_path = weights_path
        self.pretrained = weights_path != ""
        self.sample_rate = SAMPLE_RATE
        self.scene_embedding_size = self.config.embedding_size
        self.timestamp_embedding_size = self.config.embedding_size
        self.layer_embedding_sizes = dict.fromkeys(encoder.layer_names, self.config.embedding_size)
        self.eval()

    @property
    def config(self) -> ModelConfig:
        """The shape of the model."""
        return self.encoder.config

    def scene_embeddings(self, clips: Sequence[Float[Tensor, " _"]]) -> Float[Tensor, "clips size"]:
        """Embed clips of any lengths, in [-1, 1] at 16 kHz: the mean over each clip's columns, float32.

        Raises:
            UserError: an empty clip, or one that is not finite.
        """
        return self.layer_scene_embeddings(clips, LAST)[0]

    @torch.no_grad()
    def layer_scene_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]], layers: Sequence[str]
    ) -> list[Float[Tensor, "clips size"]]:
        """Do the same with each of these layers' columns, in one pass.

        Raises:
            UserError: no such layer, an empty clip, or one that is not finite.
        """
        chunks, counts = self._chunks(clips)
        columns = torch.tensor([self.column_count(len(clip)) for clip in clips], device=chunks.device)
        encoded = self._encoded(chunks, self._kept(clips, chunks), layers)
        sums = torch.cat([batch.sum(dim=2) for batch in encoded], dim=1)
        totals = torch.stack([of_clip.sum(dim=1) for of_clip in sums.split(counts, dim=1)], dim=1)
        return list(totals / columns[:, None])

    def timestamp_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]]
    ) -> tuple[list[Float[Tensor, "columns size"]], list[Float[Tensor, " columns"]]]:
        """Embed every column of clips of any lengths, in [-1, 1] at 16 kHz; also return the times in ms.

        Raises:
            UserError: an empty clip, or one that is not finite.
        """
        embeddings, times = self.layer_timestamp_embeddings(clips, LAST)
        return embeddings[0], times

    @torch.no_grad()
    def layer_timestamp_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]], layers: Sequence[str]
    ) -> tuple[list[list[Float[Tensor, "columns size"]]], list[Float[Tensor, " columns"]]]:
        """Do the same with each of these layers' columns, in one pass; the times are those of all layers.

        Raises:
            UserError: no such layer, an empty clip, or one that is not finite.
        """
        chunks, counts = self._chunks(clips)
        encoded = torch.cat(list(self._encoded(chunks, self._kept(clips, chunks), layers)), dim=1)
        lengths = [len(clip) for clip in clips]
        embeddings = [
            [
                of_clip.flatten(0, 1)[: self.column_count(n)]
                for of_clip, n in zip(of_layer.split(counts), lengths, strict=True)
            ]
            for of_layer in encoded
        ]
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
        self,
        chunks: Float[Tensor, "chunks frames bands"],
        kept: Float[Tensor, "chunks columns 1"],
        layers: Sequence[str],
    ) -> Iterator[Float[Tensor, "layers batch columns size"]]:
        names = self.encoder.layer_names
        if strangers := [name for name in layers if name not in names]:
            raise UserError(f"There is no layer {strangers[0]!r}; there are {', '.join(names)}.")
        depth = 1 + max(map(names.index, layers))
        size = CPU_BATCH if chunks.device.type == "cpu" else ACCELERATOR_BATCH
        for batch, batch_kept in zip(chunks.split(size), kept.split(size), strict=True):
            reached = zip(names[:depth], self.encoder.layers(batch), strict=False)
            found = {name: self.encoder.columns(tokens) for name, tokens in reached if name in layers}
            yield torch.stack([found[name] for name in layers]).float() * batch_kept


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


def get_scene_embeddings(
    audio: Shaped[Tensor, "..."], model: EmbeddingModel, layers: Sequence[str] | None = None
) -> Float[Tensor, "clips size"] | list[Float[Tensor, "clips size"]]:
    """HEAR: embed floating-point clips of one length, (clips, samples) or (samples,), one vector per clip.

    With `layers`, names of `model.layer_embedding_sizes`, a list of what each of them gives.

    Raises:
        UserError: no such layer, or audio that is not finite, empty, or not floating point of shape (clips,
            samples).

    Example:
        >>> from hear_mwmae import load_model
        >>> get_scene_embeddings(torch.zeros(2, 16000), load_model(model="mw_mae_t")).shape
        torch.Size([2, 960])
    """
    found = model.layer_scene_embeddings(_clips(audio), LAST if layers is None else layers)
    return found[0] if layers is None else found


def get_timestamp_embeddings(
    audio: Shaped[Tensor, "..."], model: EmbeddingModel, layers: Sequence[str] | None = None
) -> Frames | list[Frames]:
    """HEAR: embed floating-point clips of one length, one vector per patch length of sound; also times in ms.

    With `layers`, names of `model.layer_embedding_sizes`, a list of what each of them gives.

    Raises:
        UserError: no such layer, or audio that is not finite, empty, or not floating point of shape (clips,
            samples).

    Example:
        >>> from hear_mwmae import load_model
        >>> frames, times = get_timestamp_embeddings(torch.zeros(2, 16000), load_model(model="mw_mae_t"))
        >>> frames.shape, times.shape
        (torch.Size([2, 26, 960]), torch.Size([2, 26]))
    """
    found, times = model.layer_timestamp_embeddings(_clips(audio), LAST if layers is None else layers)
    frames = [(torch.stack(embeddings), torch.stack(times)) for embeddings in found]
    return frames[0] if layers is None else frames
