"""A small task directory for tests, made without the code under test where that matters."""

import json
import wave
from pathlib import Path

import numpy as np

METADATA = {
    "task_name": "tiny",
    "version": "v1",
    "embedding_type": "scene",
    "prediction_type": "multiclass",
    "split_mode": "trainvaltest",
    "splits": ["train", "valid", "test"],
    "sample_duration": 0.25,
    "evaluation": ["top1_acc", "mAP"],
    "mode": "full",
    "default_mode": "full",
    "tmp_dir": "_workdir",
    "download_urls": [{"split": "train", "url": "https://example.org/a.zip"}],
}


def write_wav(path: Path, audio: np.ndarray, rate: int) -> None:
    """16-bit wav of `audio` ([samples] or [samples, channels]), written with the standard library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.clip(np.round(audio * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1 if audio.ndim == 1 else audio.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(frames.tobytes())


def make_task(
    root: Path, *, rate: int = 48000, clips: int = 4, seconds: float = 0.25, **changes: object
) -> Path:
    """Write a task of two classes ("2" and "10", as JSON integers) with `clips` clips per split."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    metadata = {**METADATA, **changes}
    (root / "task_metadata.json").write_text(json.dumps(metadata))
    (root / "labelvocabulary.csv").write_text("idx,label\n0,2\n1,10\n")
    for split in metadata["splits"]:
        names = {f"{split}-{i}.wav": [(2, 10)[i % 2]] for i in range(clips)}
        (root / f"{split}.json").write_text(json.dumps(names))
        for name in names:
            write_wav(root / str(rate) / split / name, rng.uniform(-0.5, 0.5, round(seconds * rate)), rate)
    return root
