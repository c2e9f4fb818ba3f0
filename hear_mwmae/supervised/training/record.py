"""What a finished run leaves behind: `scores.json`, which reports read, and the logits of the test clips."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.files import replacing, write_text
from hear_mwmae.json_files import parse_json
from hear_mwmae.pretrain.training.logs import JSONL_FILE
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.model.probe import ProbeHead
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.scores import Scores, primary_metric

SCORES_FILE = "scores.json"
PREDICTIONS_FILE = "predictions.npz"
FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """How tables name a run."""

    model: str
    """Name of the initial model."""
    pretrained: bool
    config: str = ""
    """Published run, as `audioset_20k:mw_mae_b`; empty for a run of one's own."""


@dataclass(frozen=True)
class HeadScore:
    """What one linear layer of a probe reached after the last epoch, in the metric that decides."""

    head: ProbeHead
    validation: float | None
    test: float


def best_epoch(workdir: Path, metric: str, chosen_on: str) -> dict[str, float] | None:
    """Return the record of the epoch with the best score of `chosen_on`, the earliest of equal ones.

    Read off the run's log, so that a run that was stopped and went on finds the same.
    """
    name, best = f"{chosen_on}_{metric}", None
    with (workdir / JSONL_FILE).open("rb") as file:
        for line in file:
            record = parse_json(line, "a line of the log", finite=False)
            if name in record and (best is None or record[name] > best[name]):
                best = record
    return best


def write_record(
    workdir: Path,
    config: SupervisedConfig,
    data: LabelledData,
    origin: Origin,
    last: Scores,
    heads: Sequence[HeadScore] = (),
) -> dict[str, object]:
    """Write `scores.json`; return what it holds. The last epoch is the best where none was scored before."""
    metric = primary_metric(multilabel=data.multilabel)
    chosen_on = "validation" if data.validation else "test"
    best = best_epoch(workdir, metric, chosen_on)
    scores, epoch = dataclasses.asdict(last), config.epochs
    if best:
        scores, epoch = {name: best.get(f"test_{name}") for name in scores}, best["epoch"]
    test = {
        "last": dataclasses.asdict(last),
        "best": scores | {"epoch": round(epoch, 2), "chosen_on": chosen_on},
    }
    record = {
        "format": FORMAT,
        "data": data.name,
        "fold": data.fold,
        "seed": config.seed,
        "mode": config.mode,
        "config": origin.config,
        "model": origin.model,
        "init": "pretrained" if origin.pretrained else "random",
        "metric": metric,
        "classes": len(data.classes),
        "multilabel": data.multilabel,
        "clips": {
            "training": len(data.training),
            "validation": len(data.validation),
            "test": len(data.test),
            "missing": len(data.missing),
        },
        "epochs": config.epochs,
        "test": test,
        "heads": [head.head._asdict() | {"validation": head.validation, "test": head.test} for head in heads],
        "predictions": PREDICTIONS_FILE,
    }
    write_text(workdir / SCORES_FILE, json.dumps(record, indent=1))
    return record


def write_predictions(
    workdir: Path, clips: Sequence[LabelledClip], logits: Float[np.ndarray, "clips classes"]
) -> None:
    """Write the test clips' ids and logits as numpy arrays `ids` and `logits`."""
    with replacing(workdir / PREDICTIONS_FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, ids=np.array([clip.id for clip in clips]), logits=logits)
