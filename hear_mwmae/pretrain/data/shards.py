"""Writing of shards such that a killed run loses only the shard in work.

Every finished shard has a report in the progress folder: what it holds, and how far into the inputs it
reaches. The next run believes the reports as long as the inputs up to there are unchanged, and goes on behind
the last.
"""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow
from pyarrow import parquet

from hear_mwmae.config import FRONT_END_BANDS
from hear_mwmae.errors import UserError
from hear_mwmae.files import replacing, write_text
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.kaldi_fbank import FRAME_LENGTH, SAMPLE_RATE
from hear_mwmae.pretrain.data.log_mel import HOP_MS, SMALLEST_STD
from hear_mwmae.pretrain.data.manifest import (
    IMAGE_FRONT_END,
    INDEX_FILE,
    INDEX_SCHEMA,
    MANIFEST_FILE,
    PROGRESS_FOLDER,
    REMARKS_FILE,
    SIGNED,
    UNREADABLE_FILE,
    Manifest,
    Options,
    Shard,
    checked_fields,
    content_sha256,
    describe_file,
    file_sha256,
    parse_shard,
)
from hear_mwmae.pretrain.data.records import EncodedClip, ShardWriter
from hear_mwmae.pretrain.data.sources import InputsHash, Outcome, Remark, SoundSource, Unreadable


@dataclass
class Report:
    """What one shard holds and how far into the inputs it reaches."""

    sources: int = 0
    """Sources that were begun when the shard was full, the last of them perhaps not to its end."""
    outcomes: int = 0
    """Clips and unreadable records of that last source that this and earlier shards hold."""
    inputs_sha256: str = ""
    """Of the options and those sources."""
    shard: Shard | None = None
    clips: list[tuple[str, int, str]] = field(default_factory=list)
    """Id, frames, SHA-256 of the values."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Id and reason."""
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """Id, and what is doubtful about a clip that is kept."""
    largest_error: float = 0.0
    squared_error: float = 0.0
    value_sum: float = field(default=0.0, metadata=SIGNED)
    square_sum: float = 0.0

    @property
    def written(self) -> Shard:
        """The shard, which every report has but the one in work."""
        assert self.shard is not None
        return self.shard

    def add(self, clip: EncodedClip) -> None:
        """Count a clip that was written."""
        self.clips.append((clip.id, clip.frames, clip.sha256))
        self.largest_error = max(self.largest_error, clip.largest_error)
        self.squared_error += clip.squared_error
        self.value_sum += clip.value_sum
        self.square_sum += clip.square_sum


class ShardSequence:
    """The shards of one folder, written one after another in the order of the inputs."""

    def __init__(self, directory: Path, sources: Sequence[SoundSource], options: Options) -> None:
        """Take up what an earlier run finished.

        Raises:
            UserError: finished shards of other inputs or options.
        """
        self.directory, self._sources, self._options = directory, sources, options
        self._inputs = InputsHash(sources, options)
        self._progress = directory / PROGRESS_FOLDER
        self.reports = self._finished()
        self._report = Report()
        if self.reports:
            self._report.sources, self._report.outcomes = self.reports[-1].sources, self.reports[-1].outcomes
        self._writer: ShardWriter | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Sources to pass over, and outcomes of the one behind them to pass over."""
        return max(0, self._report.sources - 1), self._report.outcomes

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """Id and reason of all that could not be read so far."""
        return [entry for report in (*self.reports, self._report) for entry in report.unreadable]

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """Id and remark of all that is doubtful so far."""
        return [entry for report in (*self.reports, self._report) for entry in report.remarks]

    def abandon(self) -> None:
        """Remove the shard in work, which the next run begins anew."""
        self._partial.unlink(missing_ok=True)

    def _finished(self) -> list[Report]:
        reports: list[Report] = []
        while (path := self._report_path(len(reports))).is_file():
            report = _read_report(path)
            # What is not there as it was written is written again.
            if report is None or not self._is_whole(report.written):
                break
            if self._inputs.of_first(report.sources) != report.inputs_sha256:
                raise UserError(
                    f"{printable(self.directory)}: holds shards of other inputs or other options; give "
                    "another --out, or delete the folder to start again."
                )
            reports.append(report)
        return reports

    def _is_whole(self, shard: Shard) -> bool:
        path = self.directory / shard.file
        return path.is_file() and file_sha256(path) == shard.sha256

    def _report_path(self, number: int) -> Path:
        return self._progress / f"{number:05}.json"

    def add(self, source_number: int, outcome_number: int, outcome: Outcome) -> None:
        """Append a clip, or note what could not be read or is doubtful; both numbers count from 0."""
        self._report.sources, self._report.outcomes = source_number + 1, outcome_number + 1
        if isinstance(outcome, Unreadable):
            self._report.unreadable.append((outcome.id, outcome.reason))
            return
        if isinstance(outcome, Remark):
            self._report.remarks.append((outcome.id, outcome.text))
            return
        if self._writer is None:
            self._writer = ShardWriter(self._partial)
        self._writer.write(outcome.record)
        self._report.add(outcome)
        if len(self._report.clips) == self._options.shard_clips:
            self._close_shard()

    @property
    def _partial(self) -> Path:
        return self._progress / "shard.partial"

    def _close_shard(self) -> None:
        report = self._report
        assert self._writer is not None  # Clips were counted, and so written.
        self._writer.close()
        self._writer = None
        path = self.directory / f"clips-{len(self.reports):05}.array_record"
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        self._partial.replace(path)
        report.shard = describe_file(path, len(report.clips))
        report.inputs_sha256 = self._inputs.of_first(report.sources)
        write_text(self._report_path(len(self.reports)), json.dumps(dataclasses.asdict(report)))
        self.reports.append(report)
        self._report = Report(sources=report.sources, outcomes=report.outcomes)

    def finish(self) -> Manifest:
        """Close the last shard, write index, list of unreadable files and manifest, and remove the reports.

        Raises:
            UserError: there is no clip at all.
        """
        if self._report.clips:
            self._close_shard()
        if not self.reports:
            example = ": ".join(self.unreadable[0]) if self.unreadable else "the files hold no records"
            raise UserError(f"None of {len(self._sources)} files could be read ({example}).")
        _write_list(self.directory / UNREADABLE_FILE, self.unreadable)
        _write_list(self.directory / REMARKS_FILE, self.remarks)
        frames = _write_index(self.directory / INDEX_FILE, self.reports)
        manifest = self._manifest(frames)
        write_text(self.directory / MANIFEST_FILE, manifest.to_json())
        shutil.rmtree(self._progress)
        return manifest

    def _manifest(self, frames: int) -> Manifest:
        clips = [(clip[0], clip[2]) for report in self.reports for clip in report.clips]
        squared_error = sum(report.squared_error for report in self.reports)
        front_end = self._options.stored
        bands, hop_ms = FRONT_END_BANDS[front_end], 0.0 if front_end == IMAGE_FRONT_END else HOP_MS
        mean, std = _mean_and_std(self.reports, frames * bands)
        return Manifest(
            directory=self.directory,
            front_end=front_end,
            bands=bands,
            hop_ms=hop_ms,
            clips=len(clips),
            hours=round(_milliseconds(front_end, frames, len(clips)) / 3.6e6, 6),
            shards=tuple(report.written for report in self.reports),
            index=describe_file(self.directory / INDEX_FILE, len(clips)),
            content_sha256=content_sha256(clips),
            largest_float16_error=max(report.largest_error for report in self.reports),
            rms_float16_error=math.sqrt(squared_error / (frames * bands)),
            unreadable=len(self.unreadable),
            options=self._options,
            input_files=len(self._sources),
            inputs_sha256=self._inputs.of_first(len(self._sources)),
            feature_mean=mean,
            feature_std=std,
        )


def _milliseconds(front_end: str, frames: int, clips: int) -> float:
    """Length of the sound in clips of so many frames together: the frames of fbank_128 lie inside a clip."""
    if front_end == IMAGE_FRONT_END:
        return 0.0
    inside = 1000 * FRAME_LENGTH / SAMPLE_RATE if front_end == "fbank_128" else 0.0
    return (frames - clips) * HOP_MS + clips * inside


def _mean_and_std(reports: Sequence[Report], values: int) -> tuple[float, float]:
    """Mean and population standard deviation of all stored values; 0 as deviation of constant data."""
    mean = math.fsum(report.value_sum for report in reports) / values
    variance = math.fsum(report.square_sum for report in reports) / values - mean**2
    std = math.sqrt(max(variance, 0.0))
    return mean, std if std >= SMALLEST_STD else 0.0


def _read_report(path: Path) -> Report | None:
    """Return what a report says, or None if it is damaged, or of an earlier version that says less."""
    try:
        values = read_json(path)
        if any(entry.name not in values for entry in dataclasses.fields(Report)):
            return None
        shard = parse_shard(values["shard"])
        report = checked_fields(Report, values | {"shard": shard})
        clips = [_text_of(clip, (str, int, str)) for clip in report.clips]
        unreadable = [_text_of(entry, (str, str)) for entry in report.unreadable]
        remarks = [_text_of(entry, (str, str)) for entry in report.remarks]
    except (OSError, UserError, TypeError, ValueError, KeyError, AttributeError):
        return None
    if len(clips) != shard.clips:
        return None
    return dataclasses.replace(report, clips=clips, unreadable=unreadable, remarks=remarks)


def _text_of(entry: Sequence, kinds: Sequence[type]) -> tuple:
    if [type(value) for value in entry] != list(kinds):
        raise TypeError(f"{entry!r} is no entry of a report")
    return tuple(entry)


def _write_index(path: Path, reports: Sequence[Report]) -> int:
    """Write the index of all clips; return the sum of their frames."""
    frames = [clip[1] for report in reports for clip in report.clips]
    columns = {
        "id": [clip[0] for report in reports for clip in report.clips],
        "shard": [number for number, report in enumerate(reports) for _ in report.clips],
        "row": [row for report in reports for row in range(len(report.clips))],
        "frames": frames,
    }
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns, schema=INDEX_SCHEMA), temporary)
    return sum(frames)


def _write_list(path: Path, entries: Sequence[tuple[str, str]]) -> None:
    """Write one line of id, tabulator and reason each; no file if there is nothing."""
    path.unlink(missing_ok=True)
    if entries:
        write_text(path, "".join(f"{printable(clip_id)}\t{reason}\n" for clip_id, reason in entries))
