"""Records of supervised runs as training writes them."""

import copy
import json
from pathlib import Path
from typing import Any


def content(last: float = 0.6, best: float = 0.7, **changes: Any) -> dict[str, Any]:
    """Return the content of a `scores.json`; a probe has heads."""
    found: dict[str, Any] = {
        "format": 1,
        "data": "esc50",
        "fold": "",
        "seed": 0,
        "mode": "finetune",
        "config": "",
        "model": "mw_mae_t",
        "init": "pretrained",
        "metric": "accuracy",
        "classes": 50,
        "multilabel": False,
        "clips": {"training": 320, "validation": 0, "test": 80, "missing": 0},
        "epochs": 30,
        "test": {
            "last": {"mAP": 0.5, "accuracy": last, "d_prime": None},
            "best": {"mAP": 0.55, "accuracy": best, "d_prime": None, "epoch": 12, "chosen_on": "test"},
        },
        "predictions": "predictions.npz",
    }
    if changes.get("mode") == "probe":
        found["heads"] = [{"learning_rate": 0.1, "batch_norm": True, "validation": None, "test": 0.6}]
    return {**found, **changes}


def write(path: Path, **changes: Any) -> Path:
    """Write a record to `path`/scores.json; `changes` are those of `content`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "scores.json").write_text(json.dumps(content(**changes)), encoding="utf-8")
    return path / "scores.json"


def changed(place: tuple, value: Any, whole: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a record with another value at a place; `...` takes the field out."""
    found = copy.deepcopy(whole or content(mode="probe"))
    inner: Any = found
    for name in place[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return found
