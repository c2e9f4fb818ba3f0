"""The scores that supervised training (linear probe, fine-tuning) leaves behind: one `scores.json` per run.

`docs/reference/supervised-record.md` describes the file.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError
from evaluation.shapes import json_misfit
from tasks import TaskError
from tasks.json_files import read_json
from tasks.names import printable

SCORES_FILE = "scores.json"
FORMAT = 1
MODES = ("finetune", "probe")
INITS = ("pretrained", "random")
METRICS = ("mAP", "accuracy")
CHOSEN_ON = ("validation", "test")
PARTS = ("training", "validation", "test", "missing")
LONGEST_TEXT = 255
MOST_BYTES = 16 << 20
"""A record has a few kB; a probe of a thousand heads 100 kB."""

Scores = Mapping[str, float | None]
"""mAP and accuracy as shares, d_prime in its own units; None for what is not defined."""


@dataclass(frozen=True)
class Clips:
    """How many clips each part has, and how many that the lists name were not there."""

    training: int
    validation: int
    test: int
    missing: int

    @property
    def found(self) -> int:
        """The clips that were there."""
        return self.training + self.validation + self.test


@dataclass(frozen=True)
class ProbeHead:
    """One of the linear layers that a probe trains side by side, with its scores as shares."""

    learning_rate: float
    batch_norm: bool
    validation: float | None
    test: float


@dataclass(frozen=True)
class SupervisedRecord:
    """What one supervised run came to.

    `metric` names the score that is reported; `last` and `best` are the scores on the test part after the
    last epoch and after `best_epoch`, which was chosen on the part `chosen_on`. Of a probe they are those of
    the head chosen on the same part, and `heads` has all of them. `fold` is "" where the data has none,
    `config` where the recipe has no name.
    """

    data: str
    fold: str
    seed: int
    mode: str
    config: str
    model: str
    init: str
    metric: str
    classes: int
    multilabel: bool
    clips: Clips
    epochs: float
    last: Scores
    best: Scores
    best_epoch: float
    chosen_on: str
    heads: Sequence[ProbeHead] = ()
    predictions: str = ""
    path: Path = field(default=Path(), compare=False)

    @property
    def key(self) -> tuple:
        """What makes a run this run."""
        return self.data, self.fold, self.seed, self.mode, self.config, self.model, self.init


def read_supervised(directory: Path) -> list[SupervisedRecord]:
    """Return the records of all `scores.json` in a folder and the folders within it, by their paths.

    Of records that say the same of the same run the first counts. Links to folders are not followed.

    Raises:
        EvaluationError: the folder is none, cannot be read or holds no record; a record is damaged or of
            another format; two of one run differ; a name means two data sets.
    """
    if not directory.is_dir():
        raise EvaluationError(f"{printable(directory)} is no folder; give the one that holds supervised runs")
    found: dict[tuple, SupervisedRecord] = {}
    for path in _record_paths(directory):
        record = read_record(path)
        first = found.setdefault(record.key, record)
        if first != record:
            raise EvaluationError(
                f"{printable(first.path)} and {printable(path)} are of one run (data, fold, seed, mode, "
                "config, model, init) and differ; remove one of them"
            )
    if not found:
        raise EvaluationError(f"{printable(directory)} holds no {SCORES_FILE}; give the folder of the runs")
    records = list(found.values())
    _check_same_data(records)
    return records


def _record_paths(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise EvaluationError(
            f"{printable(str(error.filename))} cannot be read ({error.strerror}); "
            "make it readable, or take it out"
        )

    walked = os.walk(directory, onerror=refuse)
    found = [Path(folder, SCORES_FILE) for folder, inner, files in walked if SCORES_FILE in (*files, *inner)]
    return sorted(found)


def _check_same_data(records: Sequence[SupervisedRecord]) -> None:
    first: dict[str, SupervisedRecord] = {}
    for record in records:
        other = first.setdefault(record.data, record)
        for name in ("metric", "classes", "multilabel"):
            one, two = getattr(other, name), getattr(record, name)
            if one != two:
                raise EvaluationError(
                    f"{printable(record.data)} means two data sets: {name} is {one} in "
                    f"{printable(other.path)} and {two} in {printable(record.path)}; report them apart"
                )


_SCORES_SHAPE = {
    "mAP": (float, None),
    "accuracy": (float, None),
    "d_prime": (float, "inf", "-inf", None),
}
RECORD_SHAPE = {
    **dict.fromkeys(("data", "fold", "mode", "config", "model", "init", "metric"), str),
    **dict.fromkeys(("seed", "classes"), int),
    "multilabel": bool,
    "clips": dict.fromkeys(PARTS, int),
    "epochs": float,
    "test": {
        "last": _SCORES_SHAPE,
        "best": {**_SCORES_SHAPE, "epoch": float, "chosen_on": str},
    },
    "heads?": [
        {"learning_rate": float, "batch_norm": bool, "validation": (float, None), "test": float},
    ],
    "predictions?": (str, None),
}
"""What a record of format 1 has; other fields are passed over."""


def read_record(path: Path) -> SupervisedRecord:
    """Read one `scores.json`; raise EvaluationError, naming the file, when it is not as format 1 has it."""
    content: Any = None
    try:
        reason = "" if path.is_file() else "it is no file"  # a pipe would be waited for
        if not reason:
            content = read_json(path, max_bytes=MOST_BYTES)
            reason = json_misfit(content, {"format": int}) or _of_another_format(content["format"])
            reason = reason or json_misfit(content, RECORD_SHAPE) or next(_nonsense_in_record(content), "")
    except TaskError as error:
        reason = str(error).removeprefix(f"{printable(path)} ").rpartition(";")[0]
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    if reason:
        raise EvaluationError(
            f"{printable(path)} is no record of a supervised run ({printable(reason)}); take it out of the "
            "folder, or run the command that made it once more"
        )
    return _record_of_content(content, path)


def _of_another_format(found: int) -> str:
    newer = ", which a newer version wrote" if found > FORMAT else ""
    return "" if found == FORMAT else f"format is {found}{newer}, and this version reads {FORMAT}"


def _nonsense_in_record(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a record of the right shape."""
    for name, choices in (("mode", MODES), ("init", INITS), ("metric", METRICS)):
        if content[name] not in choices:
            yield f"{name} is {_cut(content[name])}, not {' or '.join(choices)}"
    for name in ("data", "fold", "config", "model"):
        if len(content[name]) > LONGEST_TEXT:
            yield f"{name} has more than {LONGEST_TEXT} characters"
    for name in ("data", "model"):
        if not printable(content[name]).strip():
            yield f"{name} is empty"
    if content["seed"] < 0:
        yield f"seed is {content['seed']}"
    if content["classes"] < 1:
        yield f"classes is {content['classes']}"
    if content["epochs"] < 0:
        yield f"epochs is {content['epochs']}"
    for name in PARTS:
        if (count := content["clips"][name]) < (name in ("training", "test")):
            yield f"clips.{name} is {count}"
    yield from _nonsense_in_scores(content)


def _nonsense_in_scores(content: Mapping[str, Any]) -> Iterator[str]:
    last, best = content["test"]["last"], content["test"]["best"]
    for where, scores in (("last", last), ("best", best)):
        for name in METRICS:
            yield from _no_share(scores[name], f"test.{where}.{name}")
        if content["metric"] in METRICS and scores[content["metric"]] is None:
            yield f"test.{where}.{content['metric']} is null, and is the metric"
    if best["chosen_on"] not in CHOSEN_ON:
        yield f"test.best.chosen_on is {_cut(best['chosen_on'])}, not {' or '.join(CHOSEN_ON)}"
    if not 0 <= best["epoch"] <= content["epochs"]:
        yield f"test.best.epoch is {best['epoch']:g} of {content['epochs']:g} epochs"
    if content["mode"] == "probe" and not content.get("heads"):
        yield "heads is empty, and a probe has one at least"
    for place, head in enumerate(content.get("heads", [])):
        if head["learning_rate"] <= 0:
            yield f"heads[{place}].learning_rate is {head['learning_rate']:g}"
        for name in ("validation", "test"):
            yield from _no_share(head[name], f"heads[{place}].{name}")


def _no_share(score: float | None, name: str) -> Iterator[str]:
    if score is not None and not 0 <= score <= 1:
        yield f"{name} is {score:g}, not a share between 0 and 1"


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _record_of_content(content: Mapping[str, Any], path: Path) -> SupervisedRecord:
    best = content["test"]["best"]
    plain = ("data", "fold", "seed", "mode", "config", "model", "init", "metric", "classes", "multilabel")
    return SupervisedRecord(
        **{name: content[name] for name in plain},
        clips=Clips(**{name: content["clips"][name] for name in PARTS}),
        epochs=float(content["epochs"]),
        last=_scores(content["test"]["last"]),
        best=_scores(best),
        best_epoch=float(best["epoch"]),
        chosen_on=best["chosen_on"],
        heads=tuple(
            ProbeHead(**{name: head[name] for name in ("learning_rate", "batch_norm", "validation", "test")})
            for head in content.get("heads", [])
        ),
        predictions=content.get("predictions") or "",
        path=path,
    )


def _scores(scores: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: None if scores[name] is None else float(scores[name]) for name in _SCORES_SHAPE}
