"""What a run's files say of each other: stored arrays and their digests, scores and what is behind them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.results.ledger import FitRecord, Ledger

ROUNDING = {"top1_acc": 1e-12, "pitch_acc": 1e-12, "chroma_acc": 1e-12, "mAP": 1e-6, "aucroc": 1e-6}
"""How far a score may be from what its details give: counts are exact, others are kept to six digits."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `state` is "equal", "differs" or "not checked", `text` says what."""

    state: str
    text: str


def check_entry(name: str, entry: StoreEntry, splits: Sequence[str]) -> Finding:
    """Compare the stored arrays of a job's embeddings with the SHA-256 that was taken when they were made."""
    files, known = [file for split in splits for file in entry.files_of(split)], entry.digests()
    if missing := [file for file in files if not (entry.path / file).is_file()]:
        return Finding(
            "not checked", f"embeddings of {name}: {entry.path / missing[0]} is not there any more"
        )
    if unknown := [file for file in files if file not in known]:
        what = f"{entry.path / unknown[0]} was stored without a SHA-256, by an earlier version"
        return Finding("not checked", f"embeddings of {name}: {what}")
    try:
        for file in files:
            entry.check(file, again=True)
    except EvaluationError as error:
        return Finding("differs", f"embeddings of {name}: {error}")
    return Finding("equal", f"embeddings of {name}: SHA-256 of {len(files)} files")


def check_scores(ledger: Ledger) -> Iterator[Finding]:
    """Compare every score of the ledger that the fit's details give with what they give.

    Those are accuracies, from the confusion matrix, and mAP and aucroc, from the classes' own.
    """
    details, compared, without = ledger.details(), 0, 0
    for key, record in ledger.records.items():
        if key not in details:
            without += 1
            continue
        behind = scores_of_details(details[key])
        for name, score in record.scores.items():
            if name not in behind:
                continue
            compared += 1
            if not _agree(score, behind[name], ROUNDING[name]):
                where = f"{_of(record)}: {name} is {score} in the ledger"
                yield Finding("differs", f"{where} and {behind[name]} by its details in details.jsonl")
    if compared:
        yield Finding("equal", f"{compared} scores of the ledger were compared with details.jsonl")
    if without:
        yield Finding("not checked", f"{without} fits of the ledger have no details in details.jsonl")


def _of(record: FitRecord) -> str:
    budget = "" if record.key.budget == 100 else f" @{record.key.budget:g}%"
    return f"{record.model} on {record.task}{budget}, test part {record.key.test}, seed {record.key.seed}"


def _agree(one: float, two: float, rounding: float) -> bool:
    return (math.isnan(one) and math.isnan(two)) or one == two or abs(one - two) <= rounding


def scores_of_details(details: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that a fit's details give, by their names; {} where they are of another shape."""
    found: dict[str, float] = {}
    try:
        if entries := details.get("confusion"):
            rows = sum(count for _, _, count in entries)
            right = sum(count for true, predicted, count in entries if true == predicted)
            octave = sum(count for true, predicted, count in entries if true % 12 == predicted % 12)
            found |= {"top1_acc": right / rows, "pitch_acc": right / rows, "chroma_acc": octave / rows}
        for name, values in (("mAP", "average_precision"), ("aucroc", "roc_auc")):
            if of_classes := details.get(values):
                found[name] = sum(map(float, of_classes)) / len(of_classes)
    except (TypeError, ValueError, ZeroDivisionError):
        return {}
    return found
