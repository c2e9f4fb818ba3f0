"""Embeddings that the original runner wrote for a real task."""

import json
import pickle
from pathlib import Path

import numpy as np


def golden_rows(tree: Path, split: str) -> tuple[np.ndarray, list[str]]:
    """Read one split's embeddings and labels, both in the original's shuffled order."""
    shape = json.loads((tree / f"{split}.embedding-dimensions.json").read_text())
    x = np.fromfile(tree / f"{split}.embeddings.npy", "<f4").reshape(shape)
    labels = pickle.loads((tree / f"{split}.target-labels.pkl").read_bytes())
    return x, [str(label) for (label,) in labels]
