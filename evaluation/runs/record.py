"""What run.json says of a run."""

from dataclasses import asdict
from typing import Any

import torch

from evaluation.embedding.store import EmbeddingTime, summed
from evaluation.environment import git_revision, hardware, versions
from evaluation.models.hear_model import torch_device
from evaluation.results.ledger import FitOrigin
from evaluation.results.run_file import RUN_FILE, write_run_file
from evaluation.runs.job import Job
from evaluation.runs.plan import ModelCard, Session


def fit_origin(device: torch.device) -> FitOrigin:
    """Return what this process trains with."""
    return FitOrigin(versions(), git_revision(), hardware(device))


def write_provenance(session: Session) -> None:
    """Write run.json: what was asked for, what did it, what failed, and what the tables need."""
    options = session.options
    content = {
        "command": list(options.command),
        "preset": options.preset.title,
        "head": options.preset.head,
        "n_seeds": len(options.seeds),
        "seeds": list(options.seeds),
        "budgets": list(options.budgets),
        "hardware": hardware(torch_device(options.device)),
        "cache": str(options.cache.resolve()),
        "models": [
            {
                "label": card.spec.label,
                "module": card.spec.module,
                "weights": card.spec.weights,
                "options": dict(card.spec.options),
                "layer": card.spec.layer,
                "fingerprint": card.fingerprint,
                "pretrained": card.pretrained,
                "parameters": card.n_parameters,
                "sample_rate": card.sample_rate,
                "dim": card.dim,
                "clips_per_second": time and time.clips_per_second,
                "flops_per_second_of_sound": time and time.flops_per_second_of_sound,
            }
            for card, time in ((card, _whole_embedding_time(session, card)) for card in session.cards)
        ],
        "jobs": [
            {
                "model": job.model,
                "label": job.label,
                "budget": job.budget,
                "directory": str(job.task.path.resolve()),
                "synthetic": job.task.metadata.synthetic,
                "embedding_time": _embedding_time(job),
                "entry": job.entry.key,
                **job.entry.identity,
            }
            for job in session.jobs
        ],
        "failures": [asdict(failure) for failure in session.failures],
        "results": session.frame().as_json(),
        "pool": session.results().pool(),
    }
    write_run_file(options.directory / RUN_FILE, content)


def _embedding_time(job: Job) -> dict[str, Any] | None:
    """Return the clips, seconds and hardware that the store keeps with the embeddings, if it does."""
    found = job.entry.embedding_time(job.task.clips)
    return None if found is None else asdict(found)


def _whole_embedding_time(session: Session, card: ModelCard) -> EmbeddingTime | None:
    """Return what embedding all of the run's tasks took a model; None unless all were timed."""
    jobs = {job.entry.key: job for job in session.jobs if job.model == card.spec.label}.values()
    times = [job.entry.embedding_time(job.task.clips) for job in jobs]
    known = [time for time in times if time is not None]
    return summed(known) if known and len(known) == len(times) else None
