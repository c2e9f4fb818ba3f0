"""Clips of any length in, scene and timestamp embeddings out (paper section 4.2), and the functions of HEAR.

A clip's spectrogram is cut into chunks of the encoder's input length (`hear_mwmae.chunks` says where),
encoded and stitched: one column of the result stands for one patch length of sound. The chunks of all clips
of a call share encoder batches.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from hear_mwmae.chunks import chunks_for
from hear_mwmae.config import PRECISIONS, TIMESTAMPS, ModelConfig
from hear_mwmae.encoder import LAST_LAYER, Encoder
from hear_mwmae.errors import UserError

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
# Chunks per encoder pass. On a CPU the Base model is as fast with 2 as with 16, the Tiny one wants 8 or more.
CPU_BATCH = 8
ACCELERATOR_BATCH = 128
LAST = (LAST_LAYER,)
Frames = tuple[Float[Tensor, "clips columns size"], Float[Tensor, "clips columns"]]


class EmbeddingModel(nn.Module):
    """A HEAR model: front end, encoder, pooling. It may be moved to any device.

    A model with `norm_after_pooling` normalises each scene's and each column's mean, so that a scene's
    embedding is not the mean of its columns'.

    Its parameters are frozen, and no graph is kept unless a clip asks for its gradient. After
    `requires_grad_(True)` it is fine-tuned as any module of torch: gradients reach every parameter that
    pre-training trains, through every function here, and never position codes that are "fixed". What the
    gradients need of all chunks of a call is then in memory at once. Weights in "bf16" get gradients too but
    round small updates away: fine-tune in float32.

    Args:
        encoder: of a model that reads sound.
        weights_path: where its weights come from.
        precision: one of `config.PRECISIONS`.
        timestamps: one of `config.TIMESTAMPS`; None is "hear" for MAE and MW-MAE, "centre" for Audio-MAE.

    Attributes:
        sample_rate: rate of the waveforms it takes, in Hz.
        scene_embedding_size, timestamp_embedding_size: length of one embedding.
        layer_embedding_sizes: the same for every layer by name: block1, block2, ..., and norm, the last.
        pretrained: False where the weights are random.
        weights_path: file or directory that the weights came from, "" where they are random.

    Raises:
        UserError: an unknown precision or kind of timestamps, or a model of pictures.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        weights_path: str = "",
        precision: str = "float32",
        timestamps: str | None = None,
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise UserError(f"There is no precision {precision!r}; use one of {', '.join(PRECISIONS)}.")
        if timestamps not in (None, *TIMESTAMPS):
            raise UserError(f"There are no timestamps {timestamps!r}; use one of {', '.join(TIMESTAMPS)}.")
        self.chunks = chunks_for(encoder.config)
        self.encoder = encoder.to(_DTYPES[precision]).requires_grad_(False)
        self.timestamps = timestamps or self.chunks.timestamps
        self.weights_path = weights_path
        self.pretrained = weights_path != ""
        self.sample_rate = self.chunks.sample_rate
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

    def layer_scene_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]], layers: Sequence[str]
    ) -> list[Float[Tensor, "clips size"]]:
        """Do the same with each of these layers' columns, in one pass.

        Raises:
            UserError: no such layer, an empty clip, or one that is not finite.
        """
        sums = torch.cat([batch.sum(dim=2) for batch in self._encoded(clips, layers)], dim=1)
        counts = [len(of_clip) for of_clip in self._columns_of_chunks(clips)]
        totals = torch.stack([of_clip.sum(dim=1) for of_clip in sums.split(counts, dim=1)], dim=1)
        columns = torch.tensor([self.column_count(len(clip)) for clip in clips], device=totals.device)
        means = totals / columns[:, None]
        return [self.encoder.normalise_pooled(mean, layer) for mean, layer in zip(means, layers, strict=True)]

    def timestamp_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]]
    ) -> tuple[list[Float[Tensor, "columns size"]], list[Float[Tensor, " columns"]]]:
        """Embed every column of clips of any lengths, in [-1, 1] at 16 kHz; also return the times in ms.

        Raises:
            UserError: an empty clip, or one that is not finite.
        """
        embeddings, times = self.layer_timestamp_embeddings(clips, LAST)
        return embeddings[0], times

    def layer_timestamp_embeddings(
        self, clips: Sequence[Float[Tensor, " _"]], layers: Sequence[str]
    ) -> tuple[list[list[Float[Tensor, "columns size"]]], list[Float[Tensor, " columns"]]]:
        """Do the same with each of these layers' columns, in one pass; the times are those of all layers.

        Raises:
            UserError: no such layer, an empty clip, or one that is not finite.
        """
        encoded = torch.cat(list(self._encoded(clips, layers)), dim=1)
        real = self._columns_of_chunks(clips)
        embeddings = []
        for of_layer, layer in zip(encoded, layers, strict=True):
            chunks = iter(self.encoder.normalise_pooled(of_layer, layer))
            embeddings.append([torch.cat([next(chunks)[:n] for n in of_clip]) for of_clip in real])
        return embeddings, [self.column_times(len(clip)).to(encoded.device) for clip in clips]

    def column_count(self, samples: int) -> int:
        """Columns of a clip, each of which has an embedding."""
        return self.chunks.column_count(samples)

    def column_times(self, samples: int) -> Float[Tensor, " columns"]:
        """Time of every column in ms.

        "hear" spreads the columns evenly over the clip from 0 on, as MW-MAE's released code does; "centre"
        gives the middle of the frames of each column.
        """
        if self.timestamps == "centre":
            return self.chunks.centres_ms(samples)
        columns = self.column_count(samples)
        index = torch.arange(columns, dtype=torch.float64)
        return (index * (1000 * samples / self.sample_rate / columns)).float()

    def _columns_of_chunks(self, clips: Sequence[Float[Tensor, " _"]]) -> list[list[int]]:
        """Columns of sound in every chunk of every clip."""
        return [self.chunks.columns_of_chunks(self.column_count(len(clip))) for clip in clips]

    def _encoded(
        self, clips: Sequence[Float[Tensor, " _"]], layers: Sequence[str]
    ) -> Iterator[Float[Tensor, "layers batch columns size"]]:
        """Columns of the chunks of all clips; those that are all padding are 0."""
        names = self.encoder.layer_names
        if strangers := [name for name in layers if name not in names]:
            raise UserError(f"There is no layer {strangers[0]!r}; there are {', '.join(names)}.")
        depth = 1 + max(map(names.index, layers))
        device = self.encoder.position_codes.device
        size = CPU_BATCH if device.type == "cpu" else ACCELERATOR_BATCH
        real = torch.tensor([count for of_clip in self._columns_of_chunks(clips) for count in of_clip])
        kept = (torch.arange(self.config.grid[0]) < real[:, None]).float()[:, :, None].to(device)
        for batch, batch_kept in zip(self.chunks.batches(clips, size), kept.split(size), strict=True):
            reached = zip(names[:depth], self.encoder.layers(batch), strict=False)
            found = {name: self.encoder.columns(tokens) for name, tokens in reached if name in layers}
            yield torch.stack([found[name] for name in layers]).float() * batch_kept


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
