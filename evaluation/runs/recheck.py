"""What a run's files say of each other: stored arrays and their digests, scores and what is behind them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.metrics.table import METRICS
from evaluation.results.details import scores_of_details
from evaluation.results.failure import task_label
from evaluation.results.ledger import FitRecord, Ledger


@dataclass(frozen=True)
class Recheck:
    """One thing that was checked; `state` is "equal", "differs" or "not checked", `text` says what."""

    state: str
    text: str


def check_entry(name: str, entry: StoreEntry, splits: Sequence[str]) -> Recheck:
    """Compare the stored arrays of a job's embeddings with the SHA-256 that was taken when they were made."""
    files, known = [file for split in splits for file in entry.files_of(split)], entry.digests()
    if missing := [file for file in files if not (entry.path / file).is_file()]:
        return Recheck(
            "not checked", f"embeddings of {name}: {entry.path / missing[0]} is not there any more"
        )
    if unknown := [file for file in files if file not in known]:
        what = f"{entry.path / unknown[0]} was stored without a SHA-256, by an earlier version"
        return Recheck("not checked", f"embeddings of {name}: {what}")
    try:
        for file in files:
            entry.check(file, again=True)
    except EvaluationError as error:
        return Recheck("differs", f"embeddings of {name}: {error}")
    return Recheck("equal", f"embeddings of {name}: SHA-256 of {len(files)} files")


def check_scores(ledger: Ledger) -> Iterator[Recheck]:
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
            if not _scores_agree(score, behind[name], METRICS[name].rounding):
                where = f"{_name_of_fit(record)}: {name} is {score} in the ledger"
                yield Recheck("differs", f"{where} and {behind[name]} by its details in details.jsonl")
    if compared:
        yield Recheck("equal", f"{compared} scores of the ledger were compared with details.jsonl")
    if without:
        yield Recheck("not checked", f"{without} fits of the ledger have no details in details.jsonl")


def _name_of_fit(record: FitRecord) -> str:
    task = task_label(record.task, record.key.budget)
    return f"{record.model} on {task}, test part {record.key.test}, seed {record.key.seed}"


def _scores_agree(one: float, two: float, rounding: float) -> bool:
    return (math.isnan(one) and math.isnan(two)) or one == two or abs(one - two) <= rounding
