"""A task of events in miniature, after DCASE 2016 task 2: tones of three classes at random times in noise."""

from pathlib import Path

import numpy as np

from tasks import Clip, Event, TaskMetadata, write_clip, write_task

RATE = 16000
TONES = {"high": 3000.0, "low": 400.0, "middle": 1200.0}


def event_metadata(**changes: object) -> TaskMetadata:
    """Metadata as DCASE 2016 task 2 has it."""
    values = {
        "task_name": "tones",
        "version": "v1",
        "embedding_type": "event",
        "prediction_type": "multilabel",
        "split_mode": "trainvaltest",
        "splits": ("train", "valid", "test"),
        "sample_duration": 4.0,
        "evaluation": ("event_onset_200ms_fms", "segment_1s_er"),
    }
    return TaskMetadata(**{**values, **changes})


def tones(generator: np.random.Generator, seconds: float) -> tuple[np.ndarray, tuple[Event, ...]]:
    """Noise with up to five tones of 0.3 to 0.8 s in it, of which some overlap."""
    audio = generator.normal(0, 0.01, round(seconds * RATE))
    events = []
    for _ in range(generator.integers(1, 6)):
        label = str(generator.choice(list(TONES)))
        length = generator.uniform(300, 800)
        start = generator.uniform(0, 1000 * seconds - length)
        if any(e.label == label and start < e.end + 300 and e.start < start + length + 300 for e in events):
            continue
        events.append(Event(label, round(start, 3), round(start + length, 3)))
        samples = np.arange(round(start * RATE / 1000), round((start + length) * RATE / 1000))
        audio[samples] += 0.2 * np.sin(2 * np.pi * TONES[label] * samples / RATE)
    return audio.astype(np.float32), tuple(sorted(events, key=lambda e: e.start))


def make_event_task(
    root: Path, *, clips: int = 8, seconds: float = 4.0, rate: int = RATE, **changes: object
) -> Path:
    """Write the task with `clips` clips in every split and return its folder."""
    generator = np.random.default_rng(0)
    metadata = event_metadata(**changes)
    parts: dict[str, list[Clip]] = {}
    for split in metadata.splits:
        parts[split] = []
        (root / str(rate) / split).mkdir(parents=True)
        for number in range(clips):
            audio, events = tones(generator, seconds)
            name = f"{split}-{number}.wav"
            write_clip(root / str(rate) / split / name, audio, rate)
            parts[split].append(Clip(name, (), events))
    write_task(root, metadata, parts)
    return root
