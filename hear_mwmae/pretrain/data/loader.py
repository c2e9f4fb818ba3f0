"""Batches of standardised log-mel crops out of prepared data, on Grain.

One pure function of the step decides which clips and which crops a batch holds. So the global batches of a
run are the same rows in the same order whatever the number of hosts, worker processes and threads, and the
position in the data is one number.
"""

import copy
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grain
import numpy as np
import pyarrow
from absl import flags
from jaxtyping import Float, Float16, Int

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.log_mel import STD_OFFSET
from hear_mwmae.pretrain.data.manifest import Manifest, read_index, read_manifest
from hear_mwmae.pretrain.data.records import DecodedClip, ShardReader, check_finite
from hear_mwmae.pretrain.data.shared_memory import check_shared_memory, start_quiet_tracker
from hear_mwmae.pretrain.data.worker import start_reader

# Streams of random numbers of one seed.
ORDER_STREAM, CROP_STREAM = 0, 1
MOST_THREADS = 16
# Of a float16 widened to 32 bits: its one sign, 5 bits of exponent, 10 of fraction.
SIGN_EXPONENT_FRACTION = np.uint32(0x8FFFE000).astype(np.int32)
EXPONENT_CORRECTION = np.float32(2.0 ** (127 - 15))
# Training never runs out of batches; the training loop decides when to stop.
ENDLESS = 1 << 48


@dataclass(frozen=True)
class ClipSet:
    """Clips of prepared data that a run uses."""

    manifest: Manifest
    ids: pyarrow.ChunkedArray
    shards: Int[np.ndarray, " clips"]
    """Position in `manifest.shards`."""
    rows: Int[np.ndarray, " clips"]
    """Row within the shard."""
    frames: Int[np.ndarray, " clips"]

    def __len__(self) -> int:
        return len(self.rows)


def load_clips(directory: Path | str, *, data_fraction: float = 1.0) -> ClipSet:
    """Read which clips a folder holds, and keep a share of them.

    A clip belongs to the share if the hash of its id, mapped to [0, 1), lies below `data_fraction`: a smaller
    share lies within a larger one (Table 10).

    Raises:
        UserError: what `read_manifest` and `read_index` raise, or a share without any clip.
    """
    manifest = read_manifest(directory)
    index = read_index(manifest)
    if data_fraction < 1:
        kept = [hash_position(clip_id) < data_fraction for clip_id in index["id"].to_pylist()]
        index = index.filter(pyarrow.array(kept))
    if len(index) == 0:
        raise UserError(
            f"{directory}: a data fraction of {data_fraction} leaves none of the {manifest.clips} clips."
        )
    columns = {name: index[name].to_numpy() for name in ("shard", "row", "frames")}
    return ClipSet(manifest, index["id"], columns["shard"], columns["row"], columns["frames"])


def hash_position(clip_id: str) -> float:
    """Map a clip's id to a number in [0, 1) that looks random but never changes."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:6]) / 2**48


def training_batches(
    clips: ClipSet,
    *,
    frames: int,
    batch_size: int,
    crops_per_clip: int = 1,
    seed: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
    threads: int | None = None,
) -> "BatchIterator":
    """Iterate without end over a host's part of the training batches.

    Every epoch takes the clips in a new order; those that fill no batch are left out, others each time. A
    clip is read once for `crops_per_clip` crops at independent offsets, which lie side by side in the batch.
    Host p of P holds rows [p B / P, (p + 1) B / P) of each batch of B.

    Args:
        clips: what to train on.
        frames: length of a crop.
        batch_size: crops in a batch over all hosts.
        crops_per_clip: crops from one read of a clip.
        seed: decides order and offsets.
        process_index: this host.
        process_count: number of hosts.
        workers: processes that read ahead, 0 for none; each has `threads` threads.
        threads: batches that a process works on at once; by default all processes together have one per
            processor, and none has more than 16.

    Raises:
        UserError: a batch that crops per clip x hosts do not divide, or too few clips for one batch.
    """
    plan = TrainingPlan(len(clips), batch_size, crops_per_clip, seed, process_index, process_count)
    return BatchIterator(_BatchSource(clips, frames, plan), workers=workers, threads=threads)


def validation_batches(clips: ClipSet, *, frames: int, batch_size: int) -> "BatchIterator":
    """Iterate once over the centre crops of all clips in the order of the index, the same on every host.

    Every clip comes exactly once; the last batch holds what is left and may be smaller.
    """
    return BatchIterator(_BatchSource(clips, frames, ValidationPlan(len(clips), batch_size)))


class BatchPlan(Protocol):
    """Which clips and crops the batches of one host hold."""

    @property
    def steps(self) -> int:
        """Number of batches."""

    @property
    def crops(self) -> int:
        """Crops of each clip."""

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of this host's part of batch `step`, as indices into the clip set."""

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """First frames of the crops, each below the clip's entry in `choices`."""


@dataclass(frozen=True)
class TrainingPlan:
    """Shuffled clips at random offsets, for ever."""

    clips: int
    batch_size: int
    crops: int
    seed: int
    process_index: int
    process_count: int

    def __post_init__(self) -> None:
        if self.batch_size % (self.crops * self.process_count):
            raise UserError(
                f"A batch of {self.batch_size} is no multiple of crops per clip x hosts ({self.crops} x "
                f"{self.process_count}); change --batch-size or --crops-per-clip."
            )
        if self.batches_per_epoch == 0:
            raise UserError(
                f"{self.clips} clips give {self.clips * self.crops} crops, too few for one batch of "
                f"{self.batch_size}: lower --batch-size or raise --crops-per-clip."
            )

    @property
    def steps(self) -> int:
        """More than any run takes."""
        return ENDLESS

    @property
    def clips_per_batch(self) -> int:
        """Clips of a batch over all hosts."""
        return self.batch_size // self.crops

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one pass over the clips."""
        return self.clips // self.clips_per_batch

    def _part(self) -> slice:
        """Share of this host in the clips of a batch; the hosts' shares lie one behind the other."""
        share = self.clips_per_batch // self.process_count
        return slice(self.process_index * share, (self.process_index + 1) * share)

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of this host's part of batch `step`."""
        epoch, batch = divmod(step, self.batches_per_epoch)
        start = batch * self.clips_per_batch
        return epoch_order(self.clips, self.seed, epoch)[start : start + self.clips_per_batch][self._part()]

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Uniform over all valid offsets. Every host draws for the whole batch and takes its part."""
        generator = _generator(self.seed, CROP_STREAM, step)
        uniform = generator.random((self.clips_per_batch, self.crops))[self._part()]
        return (uniform * choices[:, None]).astype(np.int64)


@dataclass(frozen=True)
class ValidationPlan:
    """Every clip once, its centre crop."""

    clips: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Batches that hold every clip."""
        return -(-self.clips // self.batch_size)

    @property
    def crops(self) -> int:
        """One."""
        return 1

    def clips_of(self, step: int) -> Int[np.ndarray, " clips"]:
        """Clips of batch `step`."""
        return np.arange(step * self.batch_size, min((step + 1) * self.batch_size, self.clips))

    def offsets(self, step: int, choices: Int[np.ndarray, " clips"]) -> Int[np.ndarray, "clips crops"]:
        """Offsets of the centre crops."""
        return (choices[:, None] - 1) // 2


def _generator(seed: int, stream: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, stream]))


@functools.lru_cache(maxsize=4)
def epoch_order(clips: int, seed: int, epoch: int) -> Int[np.ndarray, " clips"]:
    """Order of the clips in an epoch."""
    return _generator(seed, ORDER_STREAM, epoch).permutation(clips)


class _BatchSource:
    """Random access to the batches of one host, from batch `first` on."""

    def __init__(self, clips: ClipSet, frames: int, plan: BatchPlan, first: int = 0) -> None:
        manifest = clips.manifest
        paths = [manifest.path(shard) for shard in manifest.shards]
        self._reader = ShardReader(paths, [shard.clips for shard in manifest.shards])
        self._shards, self._rows, self._clip_frames = clips.shards, clips.rows, clips.frames
        self._frames, self._bands, self._plan, self._first = frames, manifest.bands, plan, first

    def starting_at(self, first: int) -> "_BatchSource":
        """Return the same batches from batch `first` on."""
        moved = copy.copy(self)
        moved._first = first
        return moved

    def __len__(self) -> int:
        return max(0, self._plan.steps - self._first)

    @property
    def batch_bytes(self) -> int:
        """Size of a whole batch of this host."""
        crops = len(self._plan.clips_of(0)) * self._plan.crops
        return crops * self._frames * self._bands * np.dtype(np.float32).itemsize

    def __getitem__(self, index: int) -> Float[np.ndarray, "crops frames bands"]:
        step = self._first + index
        chosen = self._plan.clips_of(step)
        lengths = self._clip_frames[chosen]
        offsets = self._plan.offsets(step, np.maximum(lengths - self._frames, 0) + 1)
        batch = np.empty((*offsets.shape, self._frames, self._bands), np.float32)
        rows = zip(self._shards[chosen].tolist(), self._rows[chosen].tolist(), strict=True)
        for number, (shard, row) in enumerate(rows):
            clip = self._reader.read(shard, row, frames=int(lengths[number]))
            try:
                for crop, offset in zip(batch[number], offsets[number].tolist(), strict=True):
                    write_crop(clip, offset, crop)
            except ValueError as error:
                raise self._reader.damaged(shard, row, error) from None
        return batch.reshape(-1, self._frames, self._bands)


def write_crop(clip: DecodedClip, first: int, out: Float[np.ndarray, "frames bands"]) -> None:
    """Write a standardised crop into `out`; a clip shorter than it is continued by its own reflections.

    Mean and standard deviation are those of the whole clip, known from its record, so that only the crop is
    converted to float32.

    Raises:
        ValueError: the clip has other bands than `out`, or the crop is not finite.
    """
    frames, wanted = len(clip.log_mel), len(out)
    if clip.log_mel.shape[1] != out.shape[1]:
        raise ValueError(f"{clip.log_mel.shape[1]} bands, not {out.shape[1]}")
    if clip.std == 0:
        out[...] = 0
        return
    if frames >= wanted:
        values = clip.log_mel[first : first + wanted]
    else:
        values = clip.log_mel[reflected_positions(frames, wanted)]
    check_finite(values)
    widen(values, out)
    out -= clip.mean
    out /= np.float32(clip.std) + STD_OFFSET


def widen(values: Float16[np.ndarray, "*shape"], out: Float[np.ndarray, "*shape"]) -> None:
    """Write finite float16 values as float32: the conversion of numpy, exactly, in a third of its time.

    Sign, exponent and fraction move to their places as integers; the product corrects the exponent's bias.
    """
    bits = out.view(np.int32)
    np.left_shift(values.view(np.int16), 13, out=bits, dtype=np.int32)
    # The sign was copied into the bits above the exponent, where only one of them belongs.
    bits &= SIGN_EXPONENT_FRACTION
    out *= EXPONENT_CORRECTION


def reflected_positions(frames: int, wanted: int) -> Int[np.ndarray, " wanted"]:
    """Positions 0 .. frames - 1, then back and forth, ends not repeated, as embedding fills its chunks."""
    period = max(1, 2 * (frames - 1))
    position = np.arange(wanted) % period
    return np.minimum(position, period - position)


class BatchIterator(grain.DatasetIterator[Float[np.ndarray, "crops frames bands"]]):
    """Batches of one host in order; its state is the number of the next batch, whatever workers and hosts.

    With worker processes the arrays live in shared memory.

    Raises:
        UserError: there is too little of it, or a worker process was ended.
    """

    def __init__(self, source: _BatchSource, *, workers: int = 0, threads: int | None = None) -> None:
        super().__init__()
        self._source, self._workers = source, workers
        share = (os.cpu_count() or 1) // max(1, workers)
        self._threads = max(1, min(MOST_THREADS, share)) if threads is None else threads
        self._step = 0
        self._batches: grain.DatasetIterator | None = None
        check_shared_memory(workers, source.batch_bytes)

    def __next__(self) -> Float[np.ndarray, "crops frames bands"]:
        batches = self._begun()
        try:
            batch = next(batches)
        except RuntimeError as error:
            if "Worker process was terminated" not in str(error):
                raise
            raise UserError(
                "A process that reads the data was ended, perhaps for want of memory. Run the same command, "
                "with fewer --workers, to go on from the last checkpoint."
            ) from None
        self._step += 1
        return batch

    def start_prefetch(self) -> None:
        """Begin to read ahead, if not begun."""
        self._begun()

    def _begun(self) -> grain.DatasetIterator:
        if self._batches is None:
            self._batches = iter(self._dataset())
            self._batches.start_prefetch()
        return self._batches

    def _dataset(self) -> grain.IterDataset:
        source = self._source.starting_at(self._step)
        ahead = grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=self._threads)
        dataset = grain.MapDataset.source(source).to_iter_dataset(ahead)
        if self._workers and not flags.FLAGS.is_parsed():
            # Grain's worker processes ask for command-line flags of its own, which must be settled by then.
            flags.FLAGS.mark_as_parsed()
        if self._workers:
            start_quiet_tracker()
        # Worker w of W takes the batches w, w + W, ...: whole batches, so that their content stays the same.
        processes = grain.MultiprocessingOptions(num_workers=self._workers)
        return dataset.mp_prefetch(processes, worker_init_fn=start_reader)

    def get_state(self) -> dict[str, int]:
        """Return the number of the next batch as `{"step": ...}`."""
        return {"step": self._step}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue with the batch of that number."""
        self._stop()
        self._step = state["step"]

    def close(self) -> None:
        """End threads and processes."""
        self._stop()
        super().close()

    def _stop(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None
