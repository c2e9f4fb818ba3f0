"""From clips of any length to inputs of the encoder: where a clip is cut, and what its end is filled with.

MAE and MW-MAE: a clip's log-mel is standardised over the whole clip and cut into chunks one after the other,
the last of which is filled by reflection (MW-MAE paper, section 4.2). Audio-MAE: a clip ends with the last
column whose middle lies in it, is cut into as few and as equal parts as can be, and each is filled with rows
of 0 before it is normalised by the mean and deviation of the training data (supplement of Audio-MAE; how the
MW-MAE paper embedded it is not published).
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from hear_mwmae import frontend, kaldi_fbank
from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.frontend import SMALLEST_STD, STD_OFFSET, LogMel, frame_count, split_chunks, standardise
from hear_mwmae.kaldi_fbank import KaldiFbank

Clip = Float[Tensor, " _"]
"""A waveform of any length."""


class Chunks(nn.Module, ABC):
    """The front end of an embedding model; a chunk is one input of its encoder.

    Attributes:
        sample_rate: rate of the clips, in Hz.
        timestamps: when an embedding is if nobody says, one of `config.TIMESTAMPS`.
    """

    sample_rate: int
    timestamps: str

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def column_count(self, samples: int) -> int:
        """Return the columns of patches that a clip has."""

    @abstractmethod
    def columns_of_chunks(self, columns: int) -> list[int]:
        """Return how many of a clip's columns each of its chunks holds; the rest of a chunk is filled up."""

    @abstractmethod
    def centres_ms(self, samples: int) -> Float[Tensor, " columns"]:
        """Return the middle of each of a clip's columns, in ms."""

    @abstractmethod
    def batches(self, clips: Sequence[Clip], size: int) -> Iterator[Float[Tensor, "batch frames bands"]]:
        """Yield the chunks of all clips in order, `size` at a time.

        Raises:
            UserError: no clips, an empty one, or one that is not finite.
        """


class LogMelChunks(Chunks):
    """80 log-mel bands, for MAE and MW-MAE."""

    sample_rate = frontend.SAMPLE_RATE
    timestamps = "hear"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.log_mel = LogMel()

    def column_count(self, samples: int) -> int:
        """Return the columns of a clip: every patch length of which at least one frame is real."""
        return -(-frame_count(samples) // self.config.patch_size[0])

    def columns_of_chunks(self, columns: int) -> list[int]:
        """Return the columns of each chunk: all are full but the last."""
        per_chunk = self.config.grid[0]
        return [min(per_chunk, columns - start) for start in range(0, columns, per_chunk)]

    def centres_ms(self, samples: int) -> Float[Tensor, " columns"]:
        """Return the middle of the frames of each column; the last one may lie just past the clip's end."""
        frames = self.config.patch_size[0]
        index = torch.arange(self.column_count(samples), dtype=torch.float64)
        return ((index * frames + (frames - 1) / 2) * frontend.HOP_MS).float()

    def batches(self, clips: Sequence[Clip], size: int) -> Iterator[Float[Tensor, "batch frames bands"]]:
        """Yield the chunks of all clips, which are all in memory at once."""
        of_clip: list[Tensor] = [torch.empty(0)] * len(clips)
        for indices, audio in _by_length(clips, self.log_mel.window):
            features = split_chunks(standardise(self.log_mel(audio)), self.config.input_size[0])
            for index, chunks in zip(indices, features, strict=True):
                of_clip[index] = chunks
        yield from torch.cat(of_clip).split(size)


class FbankChunks(Chunks):
    """128 bands of Kaldi's filter bank, for Audio-MAE."""

    sample_rate = kaldi_fbank.SAMPLE_RATE
    timestamps = "centre"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.fbank = KaldiFbank("hanning")

    def column_count(self, samples: int) -> int:
        """Return the columns of a clip: those whose middle lies in it, at least one."""
        return 1 + max(0, samples - self._samples(1) // 2) // self._hop

    def columns_of_chunks(self, columns: int) -> list[int]:
        """Return the columns of each chunk, which differ by one at most."""
        return [stop - start for start, stop in self._parts(columns)]

    def centres_ms(self, samples: int) -> Float[Tensor, " columns"]:
        """Return the middle of each column, of a very short clip its end."""
        index = torch.arange(self.column_count(samples), dtype=torch.float64)
        middles = (index * self._hop + self._samples(1) / 2) * 1000 / self.sample_rate
        return middles.float().clamp_max(1000 * samples / self.sample_rate)

    def batches(self, clips: Sequence[Clip], size: int) -> Iterator[Float[Tensor, "batch frames bands"]]:
        """Yield the chunks of all clips, of which only a batch is in memory at once."""
        fitted: list[Tensor] = [torch.empty(0)] * len(clips)
        for indices, audio in _by_length(clips, self.fbank.window):
            length = self._samples(self.column_count(audio.shape[1]))
            centred = audio - audio.mean(dim=1, keepdim=True)
            for index, clip in zip(indices, F.pad(centred, (0, length - audio.shape[1])), strict=True):
                fitted[index] = clip
        parts = [part for clip in fitted for part in self._cut(clip)]
        for start in range(0, len(parts), size):
            yield self._features(parts[start : start + size])

    @property
    def _hop(self) -> int:
        """Samples from one column to the next."""
        return self.config.patch_size[0] * kaldi_fbank.HOP_LENGTH

    def _samples(self, columns: int) -> int:
        """Samples that so many columns see."""
        return columns * self._hop - kaldi_fbank.HOP_LENGTH + kaldi_fbank.FRAME_LENGTH

    def _parts(self, columns: int) -> Iterator[tuple[int, int]]:
        """First column, and the one after the last, of each of a clip's parts."""
        parts = -(-columns // self.config.grid[0])
        return itertools.pairwise(columns * part // parts for part in range(parts + 1))

    def _cut(self, clip: Clip) -> list[tuple[Clip, Float[Tensor, "2"]]]:
        """The sound of each part, with the mean of the clip's filter bank and what it is divided by."""
        columns = 1 + (len(clip) - self._samples(1)) // self._hop
        sounds = [
            clip[start * self._hop : start * self._hop + self._samples(stop - start)]
            for start, stop in self._parts(columns)
        ]
        if self.config.feature_std:
            scale = clip.new_tensor([self.config.feature_mean, 2 * self.config.feature_std])
        else:
            frames = torch.cat([self.fbank(sound[None])[0] for sound in sounds])
            std, mean = torch.std_mean(frames)
            scale = torch.stack([mean, torch.where(std < SMALLEST_STD, torch.inf, std + STD_OFFSET)])
        return [(sound, scale) for sound in sounds]

    def _features(
        self, parts: Sequence[tuple[Clip, Float[Tensor, "2"]]]
    ) -> Float[Tensor, "batch frames bands"]:
        """Filter banks of parts, filled up and normalised.

        By the data's statistics the fill is 0 before; by the clip's own it is the part's reflection, as in
        pre-training.
        """
        frames, whole = self.config.input_size[0], self._samples(self.config.grid[0])
        audio = torch.stack([F.pad(sound, (0, whole - len(sound))) for sound, _ in parts])
        fbank = self.fbank(audio)
        counts = [(len(sound) - kaldi_fbank.FRAME_LENGTH) // kaldi_fbank.HOP_LENGTH + 1 for sound, _ in parts]
        real = torch.tensor(counts, device=fbank.device)[:, None, None]
        position = torch.arange(frames, device=fbank.device)[None, :, None]
        if self.config.feature_std:
            fbank = fbank.where(position < real, 0.0)
        else:
            period = (2 * (real - 1)).clamp_min(1)
            reflected = torch.minimum(position % period, period - position % period)
            fbank = fbank.take_along_dim(reflected, dim=1)
        mean, divisor = torch.stack([scale for _, scale in parts]).T[:, :, None, None]
        return (fbank - mean) / divisor


def chunks_for(config: ModelConfig) -> Chunks:
    """Return the front end of a model.

    Raises:
        UserError: it is none of sound.
    """
    kinds: dict[str, type[Chunks]] = {"log_mel_80": LogMelChunks, "fbank_128": FbankChunks}
    if config.front_end not in kinds:
        raise UserError(
            f"A model of front end {config.front_end} does not embed sound: load one of {' or '.join(kinds)}."
        )
    return kinds[config.front_end](config)


def _by_length(
    clips: Sequence[Clip], like: Tensor
) -> Iterator[tuple[list[int], Float[Tensor, "clips samples"]]]:
    """Stack clips of one length, on the device and in the type of `like`, with their places among all."""
    if len(clips) == 0:
        raise UserError("No clips were given: give at least one.")
    of_length: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        of_length.setdefault(len(clip), []).append(index)
    for indices in of_length.values():
        audio = torch.stack([clips[index] for index in indices]).to(like)
        _check(audio, indices)
        yield indices, audio


def _check(audio: Float[Tensor, "clips samples"], indices: Sequence[int]) -> None:
    if audio.shape[1] == 0:
        raise UserError(f"Clip {indices[0]} is empty: every clip needs at least one sample.")
    if audio.is_meta:
        return  # it has a shape alone
    finite = audio.isfinite().all(dim=1)
    if not finite.all():
        bad = indices[int((~finite).nonzero()[0])]
        raise UserError(f"Clip {bad} holds NaN or infinite samples: repair it or leave it out.")
