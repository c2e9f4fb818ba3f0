"""Event tasks: targets for every frame, and from frame probabilities to events and their scores.

The way of a task of events through the evaluation, and what stands for what a scene task has:

    frames = entry.read_frames(split)
    part = event_part(task.clips[split], frames, order, task.vocabulary)
    x, y = frames.embeddings[part.rows], part.targets()
    grid = postprocessing_grid(task.metadata)
    best, score = best_postprocessing(probabilities, part, grid, primary)
    scores = event_scores(probabilities, part, best, task.metadata.evaluation)

`order` is the protocol's order of the files, `x` and `y` are what the classifier learns, and `probabilities`
[frames, labels] its sigmoids for `x`: of the validation part at every check, of the test part at the end.
Source: PROTOCOL of HEAR, sections A2.4 and A3.10, as in hear-eval-kit.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from evaluation.embedding.store import Frames
from evaluation.errors import EvaluationError
from evaluation.metrics.events import EventTable, event_table
from evaluation.metrics.table import event_metric, shown_metric
from tasks import Clip, Event, TaskMetadata

END_MARGIN_MS = 0.0001
"""An event also covers a frame exactly at its end."""


@dataclass(frozen=True, order=True)
class EventPostprocessing:
    """How frame probabilities become events: smoothing and shortest event in ms, threshold.

    The defaults hold for what a task's own grid leaves out. Of two that score alike the larger one is
    chosen, compared field by field.
    """

    median_filter_ms: float = 150.0
    min_duration: float = 60.0
    threshold: float = 0.5


DEFAULT_GRID = (EventPostprocessing(250.0, 125.0), EventPostprocessing(250.0, 250.0))
"""What is tried for a task that brings no grid of its own."""


def postprocessing_grid(metadata: TaskMetadata) -> tuple[EventPostprocessing, ...]:
    """Return the combinations that a task asks for in `evaluation_params.event_postprocessing_grid`.

    Raises EvaluationError for an unknown name, a value that is no number of at least 0, and more than one
    combination where the validation loss selects, for it cannot choose among them.
    """
    own = metadata.evaluation_params.get("event_postprocessing_grid")
    where = f"{metadata.task_name}: event_postprocessing_grid"
    grid = (
        DEFAULT_GRID
        if own is None
        else tuple(itertools.starmap(EventPostprocessing, _postprocessing_values(own, where)))
    )
    if len(grid) > 1 and not metadata.use_scoring_for_early_stopping:
        raise EvaluationError(
            f"{where} has {len(grid)} combinations but the validation loss cannot choose; leave one"
        )
    return grid


def _postprocessing_values(grid: Any, where: str) -> itertools.product:
    names = {item.name: item.default for item in fields(EventPostprocessing)}
    if not isinstance(grid, Mapping) or not set(grid) <= set(names):
        raise EvaluationError(f"{where} is {grid!r}; it may name {', '.join(names)}")
    for name, values in grid.items():
        good = isinstance(values, list | tuple) and values and all(map(_is_natural_number, values))
        if not good:
            raise EvaluationError(f"{where}: {name} is {values!r}; give a list of numbers of at least 0")
    return itertools.product(*(map(float, grid.get(name, [default])) for name, default in names.items()))


def _is_natural_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


@dataclass(frozen=True)
class EventPart:
    """The frames of one part of a task in the protocol's order, and the events that are true of it.

    Attributes:
        rows: Row of the stored split for every frame.
        timestamps: Time of every frame in ms, ascending within a file.
        boundaries: File f has the frames boundaries[f] to boundaries[f + 1] - 1.
        events: The true events of every file.
    """

    files: tuple[str, ...]
    rows: Int[np.ndarray, " frames"]
    timestamps: Float[np.ndarray, " frames"]
    boundaries: Int[np.ndarray, " files_and_1"]
    events: tuple[tuple[Event, ...], ...]
    vocabulary: tuple[str, ...]

    def targets(self) -> Float[np.ndarray, "frames labels"]:
        """Return 1 where an event of that label covers the frame, see `frame_targets`."""
        spans = itertools.pairwise(self.boundaries)
        parts = [
            frame_targets(self.timestamps[first:last], events, self.vocabulary)
            for (first, last), events in zip(spans, self.events, strict=True)
        ]
        return np.concatenate(parts)

    def reference(self) -> EventTable:
        """Return the true events of all files."""
        return event_table(self.events, self.vocabulary)

    def detect(
        self, probabilities: Float[np.ndarray, "frames labels"], postprocessing: EventPostprocessing
    ) -> EventTable:
        """Return the events that frame probabilities stand for.

        Per file and label: median filter, threshold, and every run of frames above it is an event from
        the first to the last of them, kept when it lasts at least `min_duration`.
        """
        if probabilities.shape != (len(self.rows), len(self.vocabulary)):
            raise ValueError(
                f"{len(self.rows)} frames, {len(self.vocabulary)} labels, {probabilities.shape=}"
            )
        above = probabilities > postprocessing.threshold
        columns: list[tuple[np.ndarray, ...]] = []
        for number, (first, last) in enumerate(itertools.pairwise(self.boundaries)):
            times = self.timestamps[first:last]
            width = filter_width(times, postprocessing.median_filter_ms)
            label, start, end = _runs_of_flags(median_of_flags(above[first:last], width))
            columns.append((np.full(len(label), number), label, times[start], times[end]))
        file, label, start, end = map(np.concatenate, zip(*columns, strict=True))
        kept = end - start >= postprocessing.min_duration
        return EventTable(file[kept], label[kept], start[kept], end[kept])


def event_part(
    clips: Sequence[Clip], frames: Frames, order: Sequence[int], vocabulary: Sequence[str]
) -> EventPart:
    """Return one part with its files in `order` (positions in `clips` and in the store).

    Raises EvaluationError when the store's frames are of another number of clips.
    """
    if len(frames.boundaries) != len(clips) + 1:
        raise EvaluationError(
            f"{len(clips)} clips but stored frames of {len(frames.boundaries) - 1}; embed anew"
        )
    spans = [np.arange(frames.boundaries[i], frames.boundaries[i + 1]) for i in order]
    rows = np.concatenate(spans)
    return EventPart(
        files=tuple(clips[i].file for i in order),
        rows=rows,
        timestamps=frames.timestamps[rows],
        boundaries=np.cumsum([0, *map(len, spans)]),
        events=tuple(clips[i].events for i in order),
        vocabulary=tuple(vocabulary),
    )


def frame_targets(
    timestamps: Float[np.ndarray, " frames"], events: Sequence[Event], vocabulary: Sequence[str]
) -> Float[np.ndarray, "frames labels"]:
    """Return the multi-hot float32 targets of one file: event covers t if start <= t < end + 0.0001 ms.

    `timestamps` (ms) must ascend.
    """
    index = {label: i for i, label in enumerate(vocabulary)}
    targets = np.zeros((len(timestamps), len(vocabulary)), np.float32)
    for event in events:
        first, last = np.searchsorted(timestamps, [event.start, event.end + END_MARGIN_MS])
        targets[first:last, index[event.label]] = 1
    return targets


def filter_width(timestamps: Real[np.ndarray, " frames"], median_filter_ms: float) -> int:
    """Return the median filter's width in frames, odd or even as rounding has it; 0 for no filter.

    A file of a single frame, which has no frame step, is not filtered (the original stops there).
    """
    if len(timestamps) < 2:
        return 0
    return round(median_filter_ms / float(np.mean(np.diff(timestamps))))


def median_of_flags(
    above: Bool[np.ndarray, "frames labels"], width: int
) -> Bool[np.ndarray, "frames labels"]:
    """Return whether the running median of `width` probabilities is above the threshold that `above` tests.

    A median is above a threshold exactly when enough of its values are, so that it takes no sorting: equal
    to scipy's `median_filter` (edges reflected; of an even number the upper middle) and a threshold after.
    """
    if width < 2:
        return above
    left = width // 2
    padded = np.pad(above, ((left, width - 1 - left), (0, 0)), mode="symmetric")
    count = np.cumsum(np.pad(padded.astype(np.int32), ((1, 0), (0, 0))), axis=0)
    return count[width:] - count[:-width] >= width - width // 2


def _runs_of_flags(
    flags: Bool[np.ndarray, "frames labels"],
) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
    """Return label, first and last frame of every run of set flags."""
    change = np.diff(np.pad(flags.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    label, start = np.nonzero(change == 1)
    return label, start, np.nonzero(change == -1)[1] - 1


def best_postprocessing(
    probabilities: Float[np.ndarray, "frames labels"],
    part: EventPart,
    grid: Sequence[EventPostprocessing],
    primary: str,
) -> tuple[EventPostprocessing, float]:
    """Return the combination that scores best on this part and its score.

    A score that is NaN (an F-measure without any estimated event) counts as 0 in choosing but is returned
    as it is; ties go to the larger combination. A metric that is better when lower is minimised, which the
    original, whose tasks have none as their first, forgets.
    """
    metric, reference = event_metric(primary), part.reference()
    sign = -1 if shown_metric(primary).minimised else 1
    tried = []
    for postprocessing in grid:
        found = part.detect(probabilities, postprocessing)
        score = next(iter(metric.scores(reference, found, len(part.vocabulary)).values()))
        tried.append((0.0 if math.isnan(score) else sign * score, postprocessing, score))
    _, best, score = max(tried, key=lambda item: item[:2])
    return best, score


def event_scores(
    probabilities: Float[np.ndarray, "frames labels"],
    part: EventPart,
    postprocessing: EventPostprocessing,
    names: Sequence[str],
) -> dict[str, float]:
    """Return each named score and its parts under upstream's names: `<name>`, `<name>_f_measure`, ..."""
    found, reference = part.detect(probabilities, postprocessing), part.reference()
    scores = {}
    for name in names:
        parts = event_metric(name).scores(reference, found, len(part.vocabulary))
        scores[name] = next(iter(parts.values()))
        scores |= {f"{name}_{key}": value for key, value in parts.items()}
    return scores


def event_class_scores(
    probabilities: Float[np.ndarray, "frames labels"],
    part: EventPart,
    postprocessing: EventPostprocessing,
    name: str,
) -> dict[str, float]:
    """Return the score of every label by itself, NaN where it is undefined."""
    found, metric = part.detect(probabilities, postprocessing), event_metric(name)
    values = metric.class_scores(part.reference(), found, len(part.vocabulary))
    return dict(zip(part.vocabulary, map(float, values), strict=True))
