"""HEAR's event scores, over the events of many files at once; checked against sed_eval in the tests.

Definitions: Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection" (2016), as sed_eval
0.2.1 computes them and as HEAR calls it: counts are summed over files and classes before any ratio is taken
("overall", micro), every event is matched at most once, and the number of matches is the largest possible.
Events are in milliseconds here and compared in seconds, as in the original, so that no rounding differs.
scipy is loaded when events are matched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tasks import Event

_TINY = np.spacing(1.0)
"""Added to the number of active reference segments before dividing by it, as in the original."""


@dataclass(frozen=True)
class EventTable:
    """Events of many files as columns: index of file and of label, start and end in milliseconds."""

    file: Int[np.ndarray, " events"]
    label: Int[np.ndarray, " events"]
    start: Float[np.ndarray, " events"]
    end: Float[np.ndarray, " events"]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.file)

    def by_file(self, n_files: int, vocabulary: Sequence[str]) -> list[list[Event]]:
        """Return the events of every file, sorted by start."""
        files: list[list[Event]] = [[] for _ in range(n_files)]
        for i in np.argsort(self.start, kind="stable"):
            event = Event(vocabulary[self.label[i]], float(self.start[i]), float(self.end[i]))
            files[self.file[i]].append(event)
        return files


def event_table(events: Sequence[Sequence[Event]], vocabulary: Sequence[str]) -> EventTable:
    """Return the events of files 0, 1, ... as one table; KeyError for a label outside the vocabulary."""
    index = {label: i for i, label in enumerate(vocabulary)}
    flat = [(f, index[e.label], e.start, e.end) for f, listed in enumerate(events) for e in listed]
    file, label, start, end = zip(*flat, strict=True) if flat else ((), (), (), ())
    return EventTable(np.array(file, int), np.array(label, int), np.array(start, float), np.array(end, float))


@dataclass(frozen=True)
class EventBased:
    """F-measure, precision and recall of whole events.

    A reference and an estimated event of one file and label may match when their onsets differ by at most
    `collar` seconds and, unless `offset_share` is None, their offsets by at most `collar` or that share of
    the reference's length, whichever is more. Precision is NaN when nothing is estimated, recall when
    there is no reference, the F-measure when either is.
    """

    collar: float
    offset_share: float | None = None

    def scores(self, reference: EventTable, estimate: EventTable, n_labels: int) -> dict[str, float]:
        """Return f_measure, the score itself, then precision and recall, over all labels together."""
        over_all = self._counts(reference, estimate, n_labels).sum(1, keepdims=True)
        return {name: float(value[0]) for name, value in _f_measure(*over_all).items()}

    def class_scores(
        self, reference: EventTable, estimate: EventTable, n_labels: int
    ) -> Float[np.ndarray, " labels"]:
        """Return the F-measure of every label by itself."""
        return _f_measure(*self._counts(reference, estimate, n_labels))["f_measure"]

    def _counts(
        self, reference: EventTable, estimate: EventTable, n_labels: int
    ) -> Int[np.ndarray, "3 labels"]:
        """Return the numbers of matches, of reference and of estimated events of every label."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        rows, columns = _onset_pairs(reference, estimate, n_labels, self.collar)
        if self.offset_share is not None:
            end = reference.end[rows] / 1000
            allowed = np.maximum(self.collar, self.offset_share * (end - reference.start[rows] / 1000))
            near = np.abs(end - estimate.end[columns] / 1000) <= allowed
            rows, columns = rows[near], columns[near]
        matched = np.zeros(len(reference), bool)
        if len(rows):
            graph = csr_array((np.ones(len(rows), bool), (rows, columns)), (len(reference), len(estimate)))
            matched = maximum_bipartite_matching(graph, perm_type="column") >= 0
        labels = (reference.label[matched], reference.label, estimate.label)
        return np.stack([np.bincount(label, minlength=n_labels) for label in labels])


def _onset_pairs(
    reference: EventTable, estimate: EventTable, n_labels: int, collar: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return the pairs of events of one file and label whose onsets are at most `collar` seconds apart.

    Files and labels are laid one after another on one time line, far enough apart, so that sorting it once
    finds the neighbours of every event; what is near there is then compared exactly.
    """
    if not len(reference) or not len(estimate):
        return np.zeros(0, int), np.zeros(0, int)
    wide = collar + 1e-3
    gap = max(reference.start.max(), estimate.start.max()) / 1000 + 2 * wide
    there, here = ((t.file * n_labels + t.label) * gap + t.start / 1000 for t in (estimate, reference))
    order = np.argsort(there, kind="stable")
    first = np.searchsorted(there[order], here - wide)
    count = np.searchsorted(there[order], here + wide) - first
    rows = np.repeat(np.arange(len(reference)), count)
    columns = order[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)]
    same = (reference.file[rows] == estimate.file[columns]) & (
        reference.label[rows] == estimate.label[columns]
    )
    near = np.abs(reference.start[rows] / 1000 - estimate.start[columns] / 1000) <= collar
    return rows[same & near], columns[same & near]


def _f_measure(
    matches: Int[np.ndarray, " labels"],
    reference: Int[np.ndarray, " labels"],
    estimate: Int[np.ndarray, " labels"],
) -> dict[str, Float[np.ndarray, " labels"]]:
    with np.errstate(invalid="ignore"):
        precision, recall = matches / estimate, matches / reference
        f_measure = 2 * precision * recall / (precision + recall)
    f_measure = np.where((precision == 0) & (recall == 0), 0.0, f_measure)
    return {"f_measure": f_measure, "precision": precision, "recall": recall}


@dataclass(frozen=True)
class SegmentBased:
    """Error rate over segments of `seconds`: substitutions, deletions and insertions per active reference.

    A label is active in every segment that one of its events touches. A file lasts until its last event,
    reference or estimated, ends.
    """

    seconds: float

    def scores(self, reference: EventTable, estimate: EventTable, n_labels: int) -> dict[str, float]:
        """Return error_rate over all labels together: two labels confused in a segment are one error."""
        wanted, found = self._activity(reference, estimate, n_labels)
        both, n_wanted, n_found = (wanted & found).sum(1), wanted.sum(1), found.sum(1)
        substituted = (np.minimum(n_wanted, n_found) - both).sum()
        deleted = np.maximum(0, n_wanted - n_found).sum()
        inserted = np.maximum(0, n_found - n_wanted).sum()
        active = n_wanted.sum() + _TINY
        return {"error_rate": float(substituted / active + deleted / active + inserted / active)}

    def class_scores(
        self, reference: EventTable, estimate: EventTable, n_labels: int
    ) -> Float[np.ndarray, " labels"]:
        """Return the error rate of every label by itself: deletions and insertions."""
        wanted, found = self._activity(reference, estimate, n_labels)
        active = wanted.sum(0) + _TINY
        return (wanted & ~found).sum(0) / active + (found & ~wanted).sum(0) / active

    def _activity(
        self, reference: EventTable, estimate: EventTable, n_labels: int
    ) -> tuple[Bool[np.ndarray, "segments labels"], Bool[np.ndarray, "segments labels"]]:
        """Return what is active in every segment of all files, one file after another."""
        tables = (reference, estimate)
        last = [np.ceil(t.end / 1000 / self.seconds).astype(int) for t in tables]
        segments = np.zeros(max([0, *(t.file.max(initial=-1) + 1 for t in tables)]), int)
        for table, end in zip(tables, last, strict=True):
            np.maximum.at(segments, table.file, end)
        offset = np.cumsum(segments) - segments
        rolls = []
        for table, end in zip(tables, last, strict=True):
            change = np.zeros((segments.sum() + 1, n_labels), int)
            start = np.floor(table.start / 1000 / self.seconds).astype(int)
            np.add.at(change, (offset[table.file] + start, table.label), 1)
            np.add.at(change, (offset[table.file] + end, table.label), -1)
            rolls.append(np.cumsum(change, 0)[:-1] > 0)
        return rolls[0], rolls[1]


EventScore = EventBased | SegmentBased
