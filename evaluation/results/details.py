"""The shape of a fit's details in the ledger."""

from collections.abc import Mapping
from typing import Any

from evaluation.shapes import ANY_NUMBER, misfit


def details_misfit(fields: Mapping[str, Any]) -> str:
    """Return what keeps the details of a fit from being shown, "" when they are as they are written."""
    scores = {name: [ANY_NUMBER] for name in fields if name not in ("labels", "confusion")}
    shape = {"labels": [(str, int, float)], "confusion?": [[int]], **scores}
    if reason := misfit(fields, shape):
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
