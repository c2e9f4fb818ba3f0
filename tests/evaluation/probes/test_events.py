"""Tasks of events from frames to scores, each step against a plain path or the original's own result."""

import math
from pathlib import Path

import numpy as np
import pytest
from event_references import FILE, GRID, LABELS
from event_task import TONES, event_metadata, make_event_task
from hypothesis import given
from hypothesis import strategies as st
from paths import MODELS
from scipy.ndimage import median_filter
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MultiLabelBinarizer

from evaluation.embedding.embed import embed_task, store_entry
from evaluation.embedding.store import Frames
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec
from evaluation.probes.events import (
    DEFAULT_GRID,
    EventPart,
    EventPostprocessing,
    best_postprocessing,
    event_class_scores,
    event_part,
    event_scores,
    filter_width,
    frame_targets,
    median_of_flags,
    postprocessing_grid,
)
from evaluation.probes.splits import row_orders
from tasks import Clip, Event, read_task

PLAIN = EventPostprocessing(0, 0)


def part_of(timestamps: np.ndarray, *events: Event, vocabulary: tuple[str, ...] = ("a", "b")) -> EventPart:
    """A part of a single file."""
    frames = Frames(np.zeros((len(timestamps), 1), np.float32), timestamps, np.array([0, len(timestamps)]))
    return event_part([Clip("x.wav", (), events)], frames, [0], vocabulary)


def test_a_frame_is_covered_from_the_start_to_the_very_end_of_an_event() -> None:
    times = np.array([0.0, 49.9999, 50.0, 75.0, 100.0, 100.00005, 100.0001, 150.0])
    events = [Event("a", 50.0, 100.0), Event("b", 0.0, 0.0), Event("b", 75.0, 75.0)]
    targets = frame_targets(times, events, ("a", "b"))
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets.T, [[0, 0, 1, 1, 1, 1, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0]])


@given(st.integers(0, 2**32 - 1))
def test_targets_are_the_labels_of_every_frame(seed: int) -> None:
    generator = np.random.default_rng(seed)
    times = 25.0 * np.arange(generator.integers(1, 40))
    events = []
    for _ in range(generator.integers(0, 8)):
        start = float(generator.choice([generator.choice(times), generator.uniform(0, 1000)]))
        end = start + float(generator.choice([0, 25, 100, generator.uniform(0, 500)]))
        events.append(Event(str(generator.choice(list("abc"))), start, end))
    labels = [{e.label for e in events if e.start <= t < e.end + 0.0001} for t in times]
    expected = MultiLabelBinarizer(classes=list("abcd")).fit_transform(labels)
    np.testing.assert_array_equal(frame_targets(times, events, tuple("abcd")), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 60))
def test_counting_equals_scipys_median_filter(seed: int, frames: int, width: int) -> None:
    """scipy reads beyond its memory for windows of eight lengths of the signal and more; so far here."""
    width = min(width, 7 * frames)
    probabilities = np.random.default_rng(seed).integers(0, 7, (frames, 2)) / 6
    filtered = median_filter(probabilities, size=(width, 1)) if width else probabilities
    np.testing.assert_array_equal(median_of_flags(probabilities > 0.5, width), filtered > 0.5)


@pytest.mark.parametrize(
    ("step", "milliseconds", "width"), [(50, 250, 5), (40, 250, 6), (50, 125, 2), (62.5, 0, 0), (700, 250, 0)]
)
def test_the_filter_has_as_many_frames_as_rounding_gives(
    step: float, milliseconds: float, width: int
) -> None:
    assert filter_width(step * np.arange(10), milliseconds) == width
    assert filter_width(np.zeros(1), milliseconds) == 0


def test_events_last_from_the_first_to_the_last_frame_above_the_threshold() -> None:
    probabilities = np.array([[0.9, 0.5], [0.6, 0.2], [0.5, 0.8], [0.7, 0.8], [0.1, 0.9]], np.float32)
    part = part_of(20.0 * np.arange(5))

    def found(**options: float) -> list[tuple[str, float, float]]:
        chosen = EventPostprocessing(**{"median_filter_ms": 0, "min_duration": 0, **options})
        (events,) = part.detect(probabilities, chosen).by_file(1, part.vocabulary)
        return [(e.label, e.start, e.end) for e in events]

    assert found() == [("a", 0, 20), ("b", 40, 80), ("a", 60, 60)]
    assert found(min_duration=20) == [("a", 0, 20), ("b", 40, 80)]
    assert found(min_duration=20.5) == [("b", 40, 80)]
    assert found(median_filter_ms=60) == [("a", 0, 40), ("b", 40, 80)]
    assert found(threshold=0.75) == [("a", 0, 0), ("b", 40, 80)]
    assert found(threshold=0.95) == []


def test_events_equal_those_that_the_original_found() -> None:
    with np.load(FILE) as arrays:
        probabilities, timestamps = arrays["probabilities"].astype(np.float32), arrays["timestamps"]
        files, expected = arrays["files"], arrays["found"]
    boundaries = np.searchsorted(files, np.arange(files[-1] + 2))
    clips = [Clip(f"{f}.wav", ()) for f in range(files[-1] + 1)]
    part = event_part(clips, Frames(probabilities, timestamps, boundaries), range(len(clips)), LABELS)
    assert len(expected) > 500
    grid = postprocessing_grid(event_metadata(evaluation_params={"event_postprocessing_grid": GRID}))
    for point, postprocessing in enumerate(grid):
        events = part.detect(probabilities, postprocessing)
        ours = zip(events.file, events.label, events.start, events.end, strict=True)
        assert sorted(ours) == sorted(tuple(row[1:]) for row in expected if row[0] == point)


def test_files_come_in_the_order_asked_for() -> None:
    times = np.array([0.0, 10, 20, 0, 10, 0])
    frames = Frames(np.arange(6, dtype=np.float32)[:, None], times, np.array([0, 3, 5, 6]))
    clips = [Clip(f"{i}.wav", (), (Event("a", 10.0 * i, 20.0),)) for i in range(3)]
    part = event_part(clips, frames, [2, 0, 1], ("a",))
    assert part.files == ("2.wav", "0.wav", "1.wav")
    np.testing.assert_array_equal(part.rows, [5, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(part.timestamps, [0, 0, 10, 20, 0, 10])
    np.testing.assert_array_equal(part.boundaries, [0, 1, 4, 6])
    np.testing.assert_array_equal(part.targets()[:, 0], [0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(part.reference().start, [20, 0, 10])
    with pytest.raises(EvaluationError, match="2 clips but stored frames of 3"):
        event_part(clips[:2], frames, [0, 1], ("a",))


def grid_of(**changes: object) -> tuple[EventPostprocessing, ...]:
    return postprocessing_grid(event_metadata(**changes))


def own_grid(**grid: object) -> dict[str, object]:
    return {"evaluation_params": {"event_postprocessing_grid": grid}}


def test_a_task_brings_its_own_grid_or_has_the_usual_one() -> None:
    assert (
        grid_of() == DEFAULT_GRID == (EventPostprocessing(250, 125, 0.5), EventPostprocessing(250, 250, 0.5))
    )
    maestro = own_grid(median_filter_ms=[150], min_duration=[50])
    assert grid_of(**maestro, use_scoring_for_early_stopping=False) == (EventPostprocessing(150, 50, 0.5),)
    assert grid_of(**own_grid(min_duration=[0, 30])) == (
        EventPostprocessing(150, 0),
        EventPostprocessing(150, 30),
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (own_grid(median_ms=[1]), r"tones: event_postprocessing_grid is .* it may name median_filter_ms"),
        (own_grid(min_duration=[-1]), r"min_duration is \[-1\]; give a list of numbers of at least 0"),
        (own_grid(min_duration=[]), r"min_duration is \[\]"),
        (own_grid(min_duration=[math.nan]), r"min_duration is \[nan\]"),
        (own_grid(min_duration=60), r"min_duration is 60"),
        (own_grid(min_duration=["60"]), r"min_duration is \['60'\]"),
        ({"use_scoring_for_early_stopping": False}, "2 combinations but the validation loss cannot choose"),
    ],
)
def test_an_impossible_grid_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        grid_of(**changes)


def test_the_best_combination_is_chosen_and_the_larger_of_equals() -> None:
    part = part_of(50.0 * np.arange(8), Event("a", 0.0, 100.0))
    probabilities = np.float32([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [1, 0], [0, 0], [0, 0]])
    grid = [EventPostprocessing(0, duration) for duration in (0, 50, 100, 150)]
    name = "event_onset_200ms_fms"
    best, score = best_postprocessing(probabilities, part, grid, name)
    assert (best, score) == (EventPostprocessing(0, 100), 1.0)
    best, score = best_postprocessing(probabilities, part, grid[:1], name)
    assert (best, score) == (PLAIN, pytest.approx(2 / 3))
    best, score = best_postprocessing(probabilities, part, grid, "segment_1s_er")
    assert (best, score) == (EventPostprocessing(0, 100), 0.0)


def test_a_score_that_is_not_a_number_is_worst_but_told() -> None:
    part = part_of(50.0 * np.arange(4), Event("a", 0.0, 100.0))
    nothing = np.zeros((4, 2), np.float32)
    best, score = best_postprocessing(nothing, part, DEFAULT_GRID, "event_onset_200ms_fms")
    assert best == DEFAULT_GRID[1]
    assert math.isnan(score)
    wrong = np.float32([[0, 1]] * 4)
    best, score = best_postprocessing(
        wrong, part, [PLAIN, EventPostprocessing(0, 999)], "event_onset_50ms_fms"
    )
    assert best == EventPostprocessing(0, 999)
    assert math.isnan(score)


def test_scores_have_the_names_of_the_original() -> None:
    part = part_of(50.0 * np.arange(4), Event("a", 0.0, 100.0))
    scores = event_scores(part.targets(), part, PLAIN, ("event_onset_200ms_fms", "segment_1s_er"))
    assert scores == {
        "event_onset_200ms_fms": 1.0,
        "event_onset_200ms_fms_f_measure": 1.0,
        "event_onset_200ms_fms_precision": 1.0,
        "event_onset_200ms_fms_recall": 1.0,
        "segment_1s_er": 0.0,
        "segment_1s_er_error_rate": 0.0,
    }
    own = event_class_scores(part.targets(), part, PLAIN, "event_onset_200ms_fms")
    assert own.pop("a") == 1.0
    assert math.isnan(own.pop("b"))
    with pytest.raises(ValueError, match=r"4 frames, 2 labels, probabilities\.shape=\(3, 2\)"):
        event_scores(part.targets()[1:], part, PLAIN, ("segment_1s_er",))


def test_tones_in_noise_are_found_from_recordings_to_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    task = read_task(make_event_task(tmp_path / "tones-v1-full"))
    assert task.vocabulary == tuple(TONES)
    model = HearModel(ModelSpec("frame_energy"), "cpu")
    entry = store_entry(model, task, tmp_path)
    embed_task(model, task, [entry], tmp_path, advance=lambda n: None, warn=pytest.fail)
    orders = row_orders({split: len(clips) for split, clips in task.clips.items()})
    parts, x = {}, {}
    for split, order in orders.items():
        frames = entry.read_frames(split)
        parts[split] = event_part(task.clips[split], frames, order, task.vocabulary)
        x[split] = frames.embeddings[parts[split].rows]
    y = parts["train"].targets()
    models = [LogisticRegression(C=0.1, max_iter=500).fit(x["train"], y[:, label]) for label in range(3)]
    found = {split: np.stack([m.predict_proba(x[split])[:, 1] for m in models], 1) for split in parts}
    best, score = best_postprocessing(
        found["valid"], parts["valid"], postprocessing_grid(task.metadata), task.metadata.evaluation[0]
    )
    scores = event_scores(found["test"], parts["test"], best, task.metadata.evaluation)
    assert score > 0.9
    assert scores["event_onset_200ms_fms"] > 0.9
    assert scores["segment_1s_er"] < 0.2
    silent = event_scores(0 * found["test"], parts["test"], best, task.metadata.evaluation)
    assert silent["segment_1s_er"] == pytest.approx(1.0, abs=1e-12)
