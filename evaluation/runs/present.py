"""What of an earlier run is at hand today: its models, and its embeddings in the store."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.spec import ModelSpec

_OWN = ("model", "label", "budget", "directory", "synthetic", "embedding_time", "entry")
"""What run.json says of a job besides the identity of its embeddings."""


@dataclass(frozen=True)
class Present:
    """What of a run's models is known today."""

    fingerprints: Mapping[str, str]
    """Fingerprint in run.json -> today's."""
    problems: Mapping[str, str]
    """Fingerprint in run.json -> why the model cannot be loaded."""

    def entry(self, run: Mapping[str, Any], job: Mapping[str, Any]) -> StoreEntry:
        """Return the embeddings of a job: the run's own, or where these are gone those of today's model."""
        own = entry_of_job(run, job)
        return own if own.path.exists() else self.entry_of_today(run, job)

    def entry_of_today(self, run: Mapping[str, Any], job: Mapping[str, Any]) -> StoreEntry:
        """Return what today's model embeds, which is the run's own entry unless the model is another one."""
        identity = entry_of_job(run, job).identity
        now = self.fingerprints.get(identity.get("model_fingerprint", ""))
        return StoreEntry(_store_of(run), identity | {"model_fingerprint": now} if now else identity)


def load_present(run: Mapping[str, Any]) -> Present:
    """Load every model of a run once, to see what it is today."""
    fingerprints, problems = {}, {}
    for model in run["models"]:
        before = model["fingerprint"]
        if before is None or before in fingerprints or before in problems:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that weights are random was said when the run was made
                spec = ModelSpec(model["module"], model["weights"], model["options"])
                fingerprints[before] = HearModel(spec, "cpu").fingerprint
        except EvaluationError as error:
            problems[before] = str(error)
    return Present(fingerprints, problems)


def entry_of_job(run: Mapping[str, Any], job: Mapping[str, Any]) -> StoreEntry:
    """Return the embeddings that a job of run.json names."""
    return StoreEntry(_store_of(run), {name: value for name, value in job.items() if name not in _OWN})


def _store_of(run: Mapping[str, Any]) -> Path:
    return Path(run["cache"]) / "embeddings"
