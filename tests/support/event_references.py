"""Random and degenerate events with what the original programs make of them.

    python tests/event_references.py

writes `tests/data/events.npz`, with a Python that has sed_eval 0.2.1 and heareval 2021.1.3, such as that of
the environment that `hear-eval crosscheck --create-env` makes. The tests read the file, for
sed_eval cannot be imported beside a current setuptools; where it can, `sed_eval_scores` is called as well.
"""

import numpy as np
from paths import DATA

FILE = DATA / "events.npz"
LABELS = ("a", "b", "c", "d")
EVENT_BASED = {
    "event_onset_200ms_fms": {"evaluate_offset": False, "t_collar": 0.2},
    "event_onset_50ms_fms": {"evaluate_offset": False, "t_collar": 0.05},
    "event_onset_offset_50ms_20perc_fms": {
        "evaluate_offset": True,
        "t_collar": 0.05,
        "percentage_of_length": 0.2,
    },
}
GRID = {"median_filter_ms": [0.0, 60.0, 100.0, 250.0], "min_duration": [0.0, 60.0, 125.0]}

Case = list[list[tuple[int, float, float]]]
"""Per file the label, start and end (ms) of every event."""


def random_pair(generator: np.random.Generator) -> tuple[Case, Case]:
    """Reference and estimate: unrelated or the one a blurred copy of the other; on a grid, so that events
    touch and differences equal a tolerance; often few or no events; the last label never occurs."""
    files, most = generator.integers(1, 4), generator.choice([1, 3, 12, 12])
    step = generator.choice([50.0, 62.5, 100.0, 1000.0])
    reference = [_random_events(generator, most, step) for _ in range(files)]
    if generator.random() < 0.5:
        most = generator.choice([0, most, most])
        return reference, [_random_events(generator, most, step) for _ in range(files)]
    return reference, [[_blurred(generator, e) for e in f if generator.random() < 0.9] for f in reference]


def _random_events(generator: np.random.Generator, most: int, step: float) -> list[tuple[int, float, float]]:
    events = []
    for _ in range(generator.integers(0, most + 1)):
        start = (
            generator.integers(0, 60) * step if generator.random() < 0.7 else generator.uniform(0, 60 * step)
        )
        label = generator.integers(len(LABELS) - 1)
        events.append((int(label), float(start), float(start + generator.integers(0, 20) * step)))
    return events


def _blurred(generator: np.random.Generator, event: tuple[int, float, float]) -> tuple[int, float, float]:
    label, start, end = event
    if generator.random() < 0.1:
        label = (label + 1) % (len(LABELS) - 1)
    start = max(0.0, start + float(generator.choice([-200, -50, 0, 0, 3, 50, 200, 201])))
    return label, start, max(start, end + float(generator.choice([-200, -50, 0, 20, 50, 300])))


def sed_eval_scores(reference: Case, estimate: Case) -> dict[str, list[float]]:
    """Every score as HEAR calls sed_eval, then every label's own."""
    from sed_eval.sound_event import EventBasedMetrics, SegmentBasedMetrics

    metrics = {name: EventBasedMetrics(list(LABELS), **options) for name, options in EVENT_BASED.items()}
    metrics["segment_1s_er"] = SegmentBasedMetrics(list(LABELS), time_resolution=1.0)
    scores = {}
    for name, metric in metrics.items():
        for wanted, found in zip(reference, estimate, strict=True):
            metric.evaluate(_as_dicts(wanted), _as_dicts(found))
        if name in EVENT_BASED:
            overall = metric.overall_f_measure()
            own = [metric.class_wise_f_measure(label)["f_measure"] for label in LABELS]
            scores[name] = [overall[key] for key in ("f_measure", "precision", "recall")] + own
        else:
            own = [metric.class_wise_error_rate(label)["error_rate"] for label in LABELS]
            scores[name] = [metric.overall_error_rate()["error_rate"], *own]
    return scores


def _as_dicts(events: list[tuple[int, float, float]]) -> list[dict[str, object]]:
    return [
        {"event_label": LABELS[label], "onset": start / 1000, "offset": end / 1000, "file": "x"}
        for label, start, end in events
    ]


def heareval_events(
    probabilities: np.ndarray, files: np.ndarray, timestamps: np.ndarray
) -> list[tuple[int, int, int, float, float]]:
    """Grid point, file, label, start and end of every event that heareval finds in frame probabilities."""
    import torch
    from heareval.predictions.task_predictions import get_events_for_all_files

    names = [f"{file:02d}.wav" for file in files]
    index = dict(enumerate(LABELS))
    found = get_events_for_all_files(torch.from_numpy(probabilities), names, timestamps, index, GRID)
    return [
        (point, int(name[:2]), LABELS.index(event["label"]), float(event["start"]), float(event["end"]))
        for point, by_file in enumerate(found.values())
        for name, events in by_file.items()
        for event in events
    ]


def random_probabilities(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities [frames, labels], file and time (ms) of every frame of six files of many frame steps."""
    files, timestamps, parts = [], [], []
    for file, (frames, step) in enumerate(
        [(90, 25.0), (60, 40.0), (45, 50.0), (70, 20.0), (30, 62.5), (2, 100.0)]
    ):
        files += [file] * frames
        timestamps.append(np.float32(step * np.arange(frames) + generator.choice([0.0, step / 2])))
        walk = np.cumsum(generator.normal(0, 1, (frames, len(LABELS))), axis=0)
        parts.append(1 / (1 + np.exp(-walk + generator.normal(0, 1, walk.shape))))
    probabilities = np.concatenate(parts).astype(np.float16).astype(np.float32)
    probabilities[generator.random(probabilities.shape) < 0.05] = 0.5
    return probabilities, np.array(files), np.concatenate(timestamps).astype(np.float64)


def main() -> None:
    """Write the file."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    rows, scores, n_files = [], [], []
    for case in range(200):
        reference, estimate = random_pair(generator)
        n_files.append(len(reference))
        for side, listed in enumerate((reference, estimate)):
            rows += [(case, side, f, *event) for f, events in enumerate(listed) for event in events]
        scores.append(np.concatenate(list(sed_eval_scores(reference, estimate).values())))
    arrays |= {"pairs": np.array(rows), "n_files": np.array(n_files), "scores": np.array(scores)}
    probabilities, files, timestamps = random_probabilities(generator)
    arrays |= {"probabilities": probabilities.astype(np.float16), "files": files, "timestamps": timestamps}
    arrays["found"] = np.array(heareval_events(probabilities, files, timestamps))
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
