"""Batches of normalised crops of spectrograms out of prepared data, on Grain.

One pure function of the step decides which clips and which crops a batch holds. So the global batches of a
run are the same rows in the same order whatever the number of hosts, worker processes and threads, and the
position in the data is one number.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import grain
import numpy as np
import pyarrow
from absl import flags
from jaxtyping import Float, Int

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.data.batch_plans import BatchPlan, TrainingPlan, ValidationPlan
from hear_mwmae.pretrain.data.crops import Normalisation, Variation, write_crop
from hear_mwmae.pretrain.data.manifest import Manifest, read_index, read_manifest
from hear_mwmae.pretrain.data.records import ShardReader
from hear_mwmae.pretrain.data.shared_memory import check_shared_memory, start_quiet_tracker
from hear_mwmae.pretrain.data.worker import start_reader

Crops = Float[np.ndarray, "crops frames bands"]
BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
MOST_THREADS = 16


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
    normalisation: Normalisation | None = None,
    roll: bool = False,
    gain: bool = False,
    workers: int = 0,
    threads: int | None = None,
) -> "BatchIterator[Crops]":
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
        normalisation: of the model; None to standardise each clip by its own mean and deviation.
        roll: roll the clip in time to a random frame, for every crop anew (see `Variation`).
        gain: amplify its waveform by Beta(10, 10) + 0.5, for every crop anew; of use with a `normalisation`.
        workers: processes that read ahead, 0 for none; each has `threads` threads.
        threads: batches that a process works on at once; by default all processes together have one per
            processor, and none has more than 16.

    Raises:
        UserError: a batch that crops per clip x hosts do not divide, or too few clips for one batch.
    """
    plan = TrainingPlan(
        len(clips), batch_size, crops_per_clip, seed, process_index, process_count, roll, gain
    )
    return BatchIterator(_BatchSource(clips, frames, plan, normalisation), workers=workers, threads=threads)


def validation_batches(
    clips: ClipSet, *, frames: int, batch_size: int, normalisation: Normalisation | None = None
) -> "BatchIterator[Crops]":
    """Iterate once over the centre crops of all clips in the order of the index, the same on every host.

    Every clip comes exactly once; the last batch holds what is left and may be smaller.
    """
    return BatchIterator(_BatchSource(clips, frames, ValidationPlan(len(clips), batch_size), normalisation))


class _BatchSource:
    """Random access to the batches of one host."""

    def __init__(
        self, clips: ClipSet, frames: int, plan: BatchPlan, normalisation: Normalisation | None
    ) -> None:
        manifest = clips.manifest
        paths = [manifest.path(shard) for shard in manifest.shards]
        self._reader = ShardReader(paths, [shard.clips for shard in manifest.shards])
        self._shards, self._rows, self._clip_frames = clips.shards, clips.rows, clips.frames
        self._frames, self._bands, self._plan = frames, manifest.bands, plan
        self._normalisation = normalisation

    def __len__(self) -> int:
        return self._plan.steps

    @property
    def batch_bytes(self) -> int:
        """Size of a whole batch of this host."""
        crops = len(self._plan.clips_of(0)) * self._plan.crops
        return crops * self._frames * self._bands * np.dtype(np.float32).itemsize

    def __getitem__(self, step: int) -> Crops:
        chosen = self._plan.clips_of(step)
        lengths = self._clip_frames[chosen]
        offsets = self._plan.offsets(step, np.maximum(lengths - self._frames, 0) + 1)
        starts, gains = self._plan.starts(step, lengths), self._plan.gains(step)
        batch = np.empty((*offsets.shape, self._frames, self._bands), np.float32)
        rows = zip(self._shards[chosen].tolist(), self._rows[chosen].tolist(), strict=True)
        for number, (shard, row) in enumerate(rows):
            clip = self._reader.read(shard, row, frames=int(lengths[number]))
            try:
                places = zip(*(each[number].tolist() for each in (offsets, starts, gains)), strict=True)
                for crop, (offset, start, gain) in zip(batch[number], places, strict=True):
                    write_crop(clip, offset, crop, self._normalisation, Variation(start, gain))
            except ValueError as error:
                raise self._reader.damaged(shard, row, error) from None
        return batch.reshape(-1, self._frames, self._bands)


class BatchSource(Protocol[BatchT_co]):
    """Random access to the batches of one host, which worker processes get a pickled copy of."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> BatchT_co: ...

    @property
    def batch_bytes(self) -> int:
        """Size of a whole batch of this host."""


@dataclass(frozen=True)
class _Remaining(Generic[BatchT_co]):
    """The batches of a source from batch `first` on."""

    source: BatchSource[BatchT_co]
    first: int

    def __len__(self) -> int:
        return max(0, len(self.source) - self.first)

    def __getitem__(self, index: int) -> BatchT_co:
        return self.source[self.first + index]


class BatchIterator(grain.DatasetIterator[BatchT]):
    """Batches of one host in order; its state is the number of the next batch, whatever workers and hosts.

    With worker processes the arrays live in shared memory.

    Raises:
        UserError: there is too little of it, or a worker process was ended.
    """

    def __init__(self, source: BatchSource[BatchT], *, workers: int = 0, threads: int | None = None) -> None:
        super().__init__()
        self._source, self._workers = source, workers
        share = (os.cpu_count() or 1) // max(1, workers)
        self._threads = max(1, min(MOST_THREADS, share)) if threads is None else threads
        self._step = 0
        self._batches: grain.DatasetIterator | None = None
        check_shared_memory(workers, source.batch_bytes)

    def __next__(self) -> BatchT:
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
        source = _Remaining(self._source, self._step)
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
