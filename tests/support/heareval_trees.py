"""An embeddings tree as the original program writes it, made without the code under test."""

import json
import pickle
import random
from pathlib import Path

import numpy as np

DIM = 8


def make_tree(
    folder: Path, *, multilabel: bool = False, folds: int = 0, clips: int = 12, seed: int = 0
) -> Path:
    """Write the tree of a task with two classes, "2" and "10", to `folder`.

    Clip i has label [2] or [10] in turn, as numbers; multilabel clips have none, one or both. Embeddings are
    of normal distribution around -1 or +1, so that a classifier can learn them.
    """
    folder.mkdir(parents=True)
    splits = [f"fold{i:02d}" for i in range(folds)] or ["train", "valid", "test"]
    metadata = {
        "task_name": folder.name,
        "version": "v1",
        "embedding_type": "scene",
        "prediction_type": "multilabel" if multilabel else "multiclass",
        "split_mode": "new_split_kfold" if folds else "trainvaltest",
        "splits": splits,
        "sample_duration": 1.0,
        "evaluation": ["mAP", "aucroc"] if multilabel else ["top1_acc", "d_prime"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,2\n1,10\n")
    shuffler, rng = random.Random(0), np.random.default_rng(seed)
    kinds = [[], [2], [10], [10, 2]] if multilabel else [[2], [10]]
    for split in splits:
        labels = {f"{split}-{i}.wav": kinds[i % len(kinds)] for i in range(clips)}
        (folder / f"{split}.json").write_text(json.dumps(labels))
        files = list(labels)
        shuffler.shuffle(files)
        x = rng.normal(size=(clips, DIM)) + [[1.0 if 10 in labels[file] else -1.0] for file in files]
        x.astype("<f4").tofile(folder / f"{split}.embeddings.npy")
        (folder / f"{split}.embedding-dimensions.json").write_text(json.dumps([clips, DIM]))
        (folder / f"{split}.target-labels.pkl").write_bytes(pickle.dumps([labels[file] for file in files]))
    (folder / ".done.embeddings").touch()
    return folder


def clip_embeddings(folder: Path) -> dict[str, np.ndarray]:
    """Read every clip's embedding, by its file name, following the original's rule of shuffling."""
    shuffler = random.Random(0)
    found = {}
    for split in json.loads((folder / "task_metadata.json").read_text())["splits"]:
        files = list(json.loads((folder / f"{split}.json").read_text()))
        shuffler.shuffle(files)
        shape = json.loads((folder / f"{split}.embedding-dimensions.json").read_text())
        rows = np.fromfile(folder / f"{split}.embeddings.npy", "<f4").reshape(shape)
        found |= dict(zip(files, rows, strict=True))
    return found


def make_event_tree(folder: Path, *, clips: int = 6, seed: int = 0) -> Path:
    """Write the tree of a task of events with the labels "a" and "b"; clips differ in their number of frames.

    Frames are 50 ms apart. The first clip has no event, others one that ends just at a frame. Embeddings are
    noise, with 2 added to the first number where "a" is and to the second where "b" is.
    """
    folder.mkdir(parents=True)
    splits = ["train", "valid", "test"]
    metadata = {
        "task_name": folder.name,
        "version": "v1",
        "embedding_type": "event",
        "prediction_type": "multilabel",
        "split_mode": "trainvaltest",
        "splits": splits,
        "sample_duration": 2.0,
        "evaluation": ["event_onset_200ms_fms", "segment_1s_er"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,a\n1,b\n")
    shuffler, rng = random.Random(0), np.random.default_rng(seed)
    for split in splits:
        events = {
            f"{split}-{i}.wav": [
                {"label": "b", "start": 101.5, "end": 100.0 * (i + 3)},
                {"label": "a", "start": 50.0 * i, "end": 50.0 * i + 333.3},
            ][: min(i, 2)]
            for i in range(clips)
        }
        (folder / f"{split}.json").write_text(json.dumps(events))
        files = list(events)
        shuffler.shuffle(files)
        labels, index = [], []
        for file in files:
            for time in np.arange(20 + files.index(file)) * 50.0:
                index.append((f"embeddings/m/{folder.name}/{split}/{file}", float(time)))
                active = [e["label"] for e in events[file] if e["start"] <= time < e["end"] + 0.0001]
                labels.append(active)
        x = rng.normal(size=(len(index), DIM))
        x[:, :2] += [[2 * ("a" in active), 2 * ("b" in active)] for active in labels]
        x.astype("<f4").tofile(folder / f"{split}.embeddings.npy")
        (folder / f"{split}.embedding-dimensions.json").write_text(json.dumps([len(index), DIM]))
        (folder / f"{split}.target-labels.pkl").write_bytes(pickle.dumps(labels))
        (folder / f"{split}.filename-timestamps.json").write_text(json.dumps(index, indent=4))
    (folder / ".done.embeddings").touch()
    return folder
