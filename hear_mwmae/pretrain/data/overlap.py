"""Is an evaluation set in the pre-training data?

A high correlation alone says little: all drum strokes decay alike. Its Fisher transform is therefore
multiplied by the square root of the chunk's effective rank, the number of patterns that agree, and called
evidence: artanh(r) sqrt(rank).

Measured on 72 recordings (24 each of ESC-50, spoken digits and mridangam strokes), each planted 20 to 250 ms
behind the start of a clip in 7 ways: as it is, Opus at 24 kbit/s, MP3, gain 0.3, through 8 kHz, noise at
20 dB, and gain, 8 kHz and Opus together. Beside 6 hours of other sound the coarse search keeps all 504
copies, and all have evidence above 2 (smallest: ESC-50 2.60, digits 2.45, strokes 2.05). Of the 6532
recordings of the three sets that were compared with those 6 hours, 6 have more than 2, of which 2 are true
copies; half have less than 1.2. By correlation alone both overlap: planted copies have 0.67 and more, other
sounds up to 0.98.

What may be missed: copies of less than about 0.8 s out of longer recordings (one known excerpt of 0.5 s was),
or under other sound, or at another speed or pitch.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16
from numpy.lib.stride_tricks import sliding_window_view
from tqdm import tqdm

from hear_mwmae.audio import find_audio, read_sound
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.content import CheckedContent
from hear_mwmae.pretrain.data.log_mel import BANDS, HOP_MS, SAMPLE_RATE, log_mel
from hear_mwmae.pretrain.data.manifest import read_index, read_manifest
from hear_mwmae.pretrain.data.records import ShardReader

# Up to 3.5 kHz: what remains of a copy that went through a telephone's rate or a thrifty codec.
LOW_BANDS = 56
# Noise and codecs change what is 40 dB below the loudest frame of the third of a second on either side.
FLOOR = np.float32(40 * np.log(10) / 10)
NEIGHBOURHOOD = 65
LENGTHS = (32, 24, 16)
# Copies may be parts: a chunk of every half second of a recording is looked for.
SECTION = 50
# In units of log power, far below that of noise (about 0.5): digital silence, a steady tone.
SMALLEST_STD = 0.05
# The coarse search: means of so many frames and bands, every so many frames; places kept of every chunk.
POOL, STEP = 4, 2
CANDIDATES = 16
# Frames around a coarse place that are compared at full resolution.
NEAR = 3
# Correlations of one block of clips and chunks stay in the processor's cache.
BLOCK_FRAMES, BLOCK_CHUNKS = 4096, 1024
LARGEST_CORRELATION = 0.999
THRESHOLD = 2.0


@dataclass(frozen=True)
class Chunk:
    """What is looked for: a part of a recording."""

    recording: str
    frame: int
    values: Float16[np.ndarray, "frames bands"]
    """Normalised features."""
    rank: float
    """Effective rank of the values."""


@dataclass(frozen=True)
class Match:
    """A recording and the place in the data that is most similar to one of its chunks."""

    evidence: float
    correlation: float
    chunk_s: float
    recording: str
    recording_s: float
    clip: str
    clip_s: float


def features(spectrogram: Float[np.ndarray, "frames mels"]) -> Float[np.ndarray, "frames bands"]:
    """Cut a log-mel spectrogram down to what survives re-encoding: lower bands, raised to a moving floor."""
    from scipy.ndimage import maximum_filter1d  # takes half a second to load

    low = spectrogram[:, :LOW_BANDS].astype(np.float32)
    loudest = maximum_filter1d(low.max(axis=1), NEIGHBOURHOOD)
    return np.maximum(low, loudest[:, None] - FLOOR)


def normalise(
    windows: Float[np.ndarray, "windows frames bands"],
) -> tuple[Float[np.ndarray, "windows frames bands"], Float[np.ndarray, " windows"]]:
    """Remove gain, mean spectrum and loudness curve of every window, which unrelated sounds share; unit norm.

    Returns the windows, and their standard deviations before the division; where that is below `SMALLEST_STD`
    the norm stays below 1.
    """
    centred = windows - windows.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=2, keepdims=True)
    size = np.float32(centred[0].size)
    std = np.sqrt(np.square(centred).sum(axis=(1, 2)) / size)
    return centred / (np.maximum(std, SMALLEST_STD) * np.sqrt(size))[:, None, None], std


def effective_rank(windows: Float[np.ndarray, "windows frames bands"]) -> Float[np.ndarray, " windows"]:
    """Participation ratio of the squared singular values of windows of unit norm: 1 / |W W^T|^2."""
    return 1 / np.square(windows @ windows.swapaxes(1, 2)).sum(axis=(1, 2))


def chunks_of(recording: str, spectrogram: Float[np.ndarray, "frames mels"]) -> list[Chunk] | None:
    """Take the richest chunk of every section; none of silence, None of too short a sound.

    Richest is the one with the largest product of variance and effective rank.
    """
    # Half of the outermost frames is a reflection.
    values = features(spectrogram)[1:-1]
    length = next((length for length in LENGTHS if length <= len(values)), None)
    if length is None:
        return None
    chunks = []
    for first in range(0, len(values) - length + 1, SECTION):
        section = values[first : first + SECTION + length - 1]
        windows, std = normalise(_windows(section, length)[::STEP])
        audible = np.flatnonzero(std >= SMALLEST_STD)
        if len(audible):
            ranks = effective_rank(windows[audible])
            best = (np.square(std[audible]) * ranks).argmax()
            number = int(audible[best])
            values16 = windows[number].astype(np.float16)
            chunks.append(Chunk(recording, 1 + first + STEP * number, values16, float(ranks[best])))
    return chunks


def _windows(values: Float[np.ndarray, "frames bands"], length: int) -> Float[np.ndarray, "n length bands"]:
    return sliding_window_view(values, length, axis=0).swapaxes(1, 2)


class Candidates:
    """The places where coarse features (means of 4 frames and 4 bands, every 2 frames) correlate best.

    Of every chunk the best place in each block of clips competes for a few slots.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._scores = np.full((len(chunks), CANDIDATES), -np.inf, np.float32)
        self._places = np.zeros((len(chunks), CANDIDATES, 2), np.int64)
        lengths = np.array([len(chunk.values) for chunk in chunks])
        self._groups = {length: np.flatnonzero(lengths == length) for length in LENGTHS}
        self._queries = {
            length: np.stack([_coarse_query(chunks[number]) for number in members.tolist()])
            for length, members in self._groups.items()
            if len(members)
        }

    def add(self, clips: Sequence[tuple[int, Float[np.ndarray, "_ bands"]]]) -> None:
        """Compare all chunks with a block of clips, given as (number, features)."""
        coarse = [_coarse(values) for _, values in clips]
        values = np.concatenate(coarse)
        left = np.concatenate([np.arange(len(steps), 0, -1) for steps in coarse])
        frame = np.concatenate([STEP * np.arange(len(steps)) for steps in coarse])
        clip = np.repeat([number for number, _ in clips], [len(steps) for steps in coarse])
        for length, queries in self._queries.items():
            offsets = np.arange(0, length // STEP, POOL // STEP)
            starts = np.flatnonzero(left > offsets[-1])
            if not len(starts):
                continue
            windows = normalise(values[starts[:, None] + offsets])[0].reshape(len(starts), -1)
            places = np.stack([clip[starts], frame[starts]], axis=1)
            for first in range(0, len(queries), BLOCK_CHUNKS):
                scores = queries[first : first + BLOCK_CHUNKS] @ windows.T
                self._keep(self._groups[length][first : first + BLOCK_CHUNKS], scores, places)

    def _keep(self, chunks: np.ndarray, scores: np.ndarray, places: np.ndarray) -> None:
        best = scores.argmax(axis=1)
        score, slot = scores.max(axis=1), self._scores[chunks].argmin(axis=1)
        better = score > self._scores[chunks, slot]
        self._scores[chunks[better], slot[better]] = score[better]
        self._places[chunks[better], slot[better]] = places[best[better]]

    def by_clip(self) -> dict[int, list[tuple[int, int]]]:
        """Return (chunk, frame) of all places, by the number of their clip."""
        found: dict[int, list[tuple[int, int]]] = {}
        for chunk, slot in np.argwhere(self._scores > -np.inf).tolist():
            clip, frame = self._places[chunk, slot].tolist()
            found.setdefault(clip, []).append((chunk, frame))
        return found


def _coarse(values: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "steps coarse_bands"]:
    steps = len(values) // STEP
    pairs = values[: STEP * steps].reshape(steps, STEP, LOW_BANDS // POOL, POOL).mean(axis=(1, 3))
    return (pairs[:-1] + pairs[1:]) / 2


def _coarse_query(chunk: Chunk) -> Float[np.ndarray, " values"]:
    # A factor common to all places does not change their order.
    values = chunk.values.astype(np.float32)
    return values.reshape(len(values) // POOL, POOL, LOW_BANDS // POOL, POOL).mean(axis=(1, 3)).ravel()


def locate(chunk: Chunk, values: Float[np.ndarray, "frames bands"], frame: int) -> tuple[float, float]:
    """Correlation at full resolution, and the frame, at the best of the whole and half frames nearby."""
    first = max(0, frame - NEAR)
    near = values[first : frame + NEAR + len(chunk.values)]
    # A copy may begin between two frames; the mean of two resembles the one between them.
    both = ((first, near), (first + 0.5, (near[:-1] + near[1:]) / 2))
    found = []
    for start, part in both:
        if len(part) >= len(chunk.values):
            windows = normalise(_windows(part, len(chunk.values)))[0]
            correlations = np.tensordot(windows, chunk.values.astype(np.float32), 2)
            found.append((float(correlations.max()), start + int(correlations.argmax())))
    return max(found)


class PreparedClips:
    """The features of all clips of a folder that `prepare` wrote, one at a time."""

    def __init__(self, data: Path) -> None:
        """Open the folder.

        Raises:
            UserError: no finished preparation, or one of pictures.
        """
        self.manifest = read_manifest(data)
        if self.manifest.bands != BANDS:
            held = self.manifest.front_end
            raise UserError(f"{printable(data)}: holds {held}; give a folder prepared with log_mel_80.")
        self.index = read_index(self.manifest).to_pylist()
        self.content = CheckedContent(self.manifest)
        shards = self.manifest.shards
        self._reader = ShardReader([self.manifest.path(s) for s in shards], [s.clips for s in shards])

    def read(self, number: int) -> Float[np.ndarray, "frames bands"]:
        """Return the features of one clip."""
        entry = self.index[number]
        return features(self._reader.read(entry["shard"], entry["row"], frames=entry["frames"]).log_mel)

    def blocks(self) -> Iterator[list[tuple[int, Float[np.ndarray, "frames bands"]]]]:
        """Yield all clips with their numbers, so many at once that they have about `BLOCK_FRAMES` frames."""
        block, frames = [], 0
        for number in tqdm(range(len(self.index)), desc="searching", unit="clip", disable=None):
            block.append((number, self.read(number)))
            frames += len(block[-1][1])
            if frames >= BLOCK_FRAMES or number == len(self.index) - 1:
                yield block
                block, frames = [], 0


def read_recordings(paths: Sequence[Path]) -> tuple[list[Chunk], Counter[str]]:
    """Return the chunks of files and of all sound files in folders; how many gave none, and why.

    Raises:
        UserError: a path that does not exist, a folder without sound, or no recording with a chunk.
    """
    files = find_audio(paths)
    chunks: list[Chunk] = []
    left_out: Counter[str] = Counter()
    for file in tqdm(files, desc="reading", unit="file", disable=None):
        try:
            sound = read_sound(file, SAMPLE_RATE)
        except UserError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
            left_out["unreadable"] += 1
            continue
        for remark in sound.remarks:
            print(f"warning: {printable(file)}: {remark}", file=sys.stderr)
        found = chunks_of(name_as_text(file), log_mel(sound.samples))
        if found is None:
            left_out[f"shorter than {(LENGTHS[-1] + 1) * HOP_MS / 1000:g} s"] += 1
        elif not found:
            left_out["silent or steady"] += 1
        chunks += found or []
    if not chunks:
        raise UserError(f"None of {len(files)} recordings can be read and holds enough sound to compare.")
    return chunks, left_out


def find_overlap(clips: PreparedClips, chunks: Sequence[Chunk]) -> list[Match]:
    """Return the match with most evidence of every recording, most first."""
    candidates = Candidates(chunks)
    for block in clips.blocks():
        candidates.add(block)
    best: dict[str, Match] = {}
    for number, places in sorted(candidates.by_clip().items()):
        values = clips.read(number)
        for index, frame in places:
            match = _match(chunks[index], clips.index[number]["id"], *locate(chunks[index], values, frame))
            if match.recording not in best or match.evidence > best[match.recording].evidence:
                best[match.recording] = match
    return sorted(best.values(), key=lambda match: -match.evidence)


def _match(chunk: Chunk, clip: str, correlation: float, frame: float) -> Match:
    return Match(
        evidence=round(float(np.arctanh(min(correlation, LARGEST_CORRELATION))) * chunk.rank**0.5, 3),
        correlation=round(correlation, 4),
        chunk_s=len(chunk.values) * HOP_MS / 1000,
        recording=chunk.recording,
        recording_s=chunk.frame * HOP_MS / 1000,
        clip=clip,
        clip_s=frame * HOP_MS / 1000,
    )
