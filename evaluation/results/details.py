"""The details of a fit in the ledger: their shape, and the scores that they give."""

from collections.abc import Mapping
from typing import Any

from evaluation.metrics.table import METRICS
from evaluation.shapes import ANY_NUMBER, json_misfit


def details_misfit(fields: Mapping[str, Any]) -> str:
    """Return what keeps the details of a fit from being shown, "" when they are as they are written."""
    scores = {name: [ANY_NUMBER] for name in fields if name not in ("labels", "confusion")}
    shape = {"labels": [(str, int, float)], "confusion?": [[int]], **scores}
    if reason := json_misfit(fields, shape):
        return reason
    n_labels = len(fields["labels"])
    if not {"rows", "events"} & set(fields):
        return "it has neither rows nor events"
    for name in scores:
        if len(fields[name]) != n_labels:
            return f"{name} has {len(fields[name])} values for {n_labels} labels"
    for entry in fields.get("confusion", ()):
        if len(entry) != 3 or min(entry) < 0 or max(entry[:2]) >= n_labels:
            return f"confusion holds {entry}"
    return ""


def scores_of_details(details: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that a fit's details give, by their names; {} where they are of another shape."""
    try:
        found = {m.name: m.of_details(details) for m in METRICS.values() if m.of_details}
    except (TypeError, ValueError, ZeroDivisionError):
        return {}
    return {name: score for name, score in found.items() if score is not None}
