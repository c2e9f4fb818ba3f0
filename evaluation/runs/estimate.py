"""Before a long run: is the data there, do disk and memory suffice, and how long will it take?

Time is measured on real clips and with the real engine for about half a minute, and extrapolated: encoders
by seconds of sound, classifiers by rows and epochs. How soon a classifier stops cannot be known beforehand,
so training has a shortest and a longest time.
"""

import contextlib
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from evaluation.errors import EvaluationError
from evaluation.metrics.table import METRICS
from evaluation.models.hear_model import HearModel, torch_device
from evaluation.probes.config import Config, LinearConfig, ProbeConfig
from evaluation.probes.processor import on_one_core
from evaluation.probes.train import Fit, Rows, train_stack
from evaluation.results.failure import Failure
from evaluation.runs.job import Job
from evaluation.runs.missing import FRAMES_PER_SECOND, waiting_by_task
from evaluation.runs.plan import ModelCard, Session
from tasks import Task, decode

MEASURED_SECONDS = 30.0
"""How long the measurement may take, about: half of it for encoders, half for classifiers."""

BATCH_SECONDS = 16.0
"""Sound per measured call of an encoder."""

MEASURED_ROWS = 20_000
"""A classifier is measured on at most so many rows; more of them take time in proportion."""

MEASURED_PASSES = 5
REGRESSION_PASSES = (20, 1000)
"""How often a logistic regression goes over its rows: on easy ones, and at most."""


@dataclass(frozen=True)
class Estimate:
    """What one model takes, in seconds; `shortest` and `longest` are for training its classifiers."""

    model: str
    embedding: float
    shortest: float
    longest: float


def estimates(session: Session, seconds: float) -> list[Estimate]:
    """Measure what is still to be done of every model for about so many seconds, and extrapolate.

    A model that cannot be loaded or that fails is added to the session's failures, and the others go on.
    Raises TaskError for a clip that cannot be read.
    """
    share = seconds / 2 / max(1, len(session.cards))
    found = []
    for cards in session.cards_by_model():
        jobs = [[job for job in session.jobs if job.model == card.spec.label] for card in cards]
        try:
            embedding = _embedding_seconds(session, cards, list(itertools.chain(*jobs)), share * len(cards))
        except EvaluationError as error:
            session.failures.append(Failure(stage="embed", reason=str(error), model=cards[0].spec.label))
            continue
        for card, own in zip(cards, jobs, strict=True):
            shortest, longest = _training_seconds(session, own, share)
            found.append(Estimate(card.spec.label, embedding, shortest, longest))
            embedding = 0.0  # all layers come of one pass
    return found


def _embedding_seconds(
    session: Session, cards: Sequence[ModelCard], jobs: Sequence[Job], share: float
) -> float:
    """Embed a batch of every task that is not embedded, as many as the time allows, and extrapolate.

    `cards` are the layers of one model. Raises EvaluationError when it cannot embed even one clip.
    """
    waiting = [jobs[0] for jobs in waiting_by_task(jobs).values()]
    if not waiting:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it said what it had to say when the run was prepared
        spec = cards[0].spec
        model = session.held.get(spec.label) or HearModel(spec, session.options.device)
    layers = [card.spec.layer for card in cards]
    sound = {job.entry.key: _sound_seconds(job.task, job.entry.identity["source_rate"]) for job in waiting}
    rates: dict[str, float] = {}
    start = time.perf_counter()
    for number, job in enumerate(waiting):
        if number and time.perf_counter() - start > share:
            break
        audio = _real_batch(job, model.sample_rate)
        embed = model.layer_timestamp_embeddings if _is_event_task(job) else model.layer_scene_embeddings
        if not number:
            _seconds_to_embed(embed, audio[:1], layers)  # what happens only once is not extrapolated
        try:
            taken = _seconds_to_embed(embed, audio, layers)
        except EvaluationError:  # the run goes on with single clips, too
            audio = audio[:1]
            taken = _seconds_to_embed(embed, audio, layers)
        rates[job.entry.key] = taken / (audio.size / model.sample_rate)
    mean = sum(rates.values()) / len(rates)
    return sum(rates.get(key, mean) * of_task for key, of_task in sound.items())


def _seconds_to_embed(
    embed: Callable[[np.ndarray, Sequence[str]], Any], audio: np.ndarray, layers: Sequence[str]
) -> float:
    begin = time.perf_counter()
    try:
        embed(audio, layers)
    except Exception as error:  # somebody else's code
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise EvaluationError(
            f"the model failed on {len(audio)} clips of {audio.shape[1]} samples: {words}"
        ) from error
    return time.perf_counter() - begin


def _is_event_task(job: Job) -> bool:
    return job.task.metadata.embedding_type == "event"


def _real_batch(job: Job, sample_rate: int) -> np.ndarray:
    """Return real clips of the task, cut or repeated to one length; their rate passes for the model's."""
    split, clips = next(iter(job.task.clips.items()))
    first, rate = decode(job.task.audio_path(split, clips[0].file, job.entry.identity["source_rate"]))
    length = max(1, round(min(len(first) / rate, BATCH_SECONDS) * sample_rate))
    wanted = max(1, int(BATCH_SECONDS * sample_rate / length))
    rows = [first]
    for clip in clips[1:wanted]:
        rows.append(decode(job.task.audio_path(split, clip.file, job.entry.identity["source_rate"]))[0])
    return np.stack([np.resize(row, length) for row in rows]).astype(np.float32)


def _sound_seconds(task: Task, rate: int) -> float:
    """Return how much sound the task has, from the size of its 16-bit clips."""
    paths = (task.audio_path(split, c.file, rate) for split, clips in task.clips.items() for c in clips)
    return sum(path.stat().st_size for path in paths) / (2 * rate)


def _training_seconds(session: Session, jobs: Sequence[Job], share: float) -> tuple[float, float]:
    """Train for a few epochs at the size of the jobs, largest first while time allows, and extrapolate."""
    missing = [(job, job.n_fits - job.n_done(session.ledger)) for job in jobs]
    waiting = [(job, fits) for job, fits in missing if fits and job.preset.head != "knn"]
    waiting.sort(key=lambda item: _work_of_epoch(item[0]), reverse=True)
    device, per_work = torch_device(session.options.device), 0.0
    shortest = longest = 0.0
    start = time.perf_counter()
    for number, (job, fits) in enumerate(waiting):
        if not number or time.perf_counter() - start < share:
            measured = _epoch_seconds if isinstance(job.preset.grid[0], ProbeConfig) else _pass_seconds
            per_work = measured(job, device) / _work_of_epoch(job)
        epoch = per_work * _work_of_epoch(job)
        fewest, most = _epochs_expected(job.preset.grid[0])
        shortest += fits * epoch * fewest
        longest += fits * epoch * most
    return shortest, longest


def _epochs_expected(config: Config) -> tuple[int, int]:
    """Return how often a classifier goes over its rows if its first check is its best, and at most."""
    if isinstance(config, ProbeConfig):
        fewest = config.check_val_every_n_epoch * (config.patience + 1)
        return min(config.max_epochs, fewest), config.max_epochs
    return REGRESSION_PASSES


def rows_of_parts(job: Job) -> dict[str, int]:
    """Return the rows of the first split's three parts; of events as many frames as is usual."""
    first, seconds = job.splits[0], job.task.metadata.sample_duration or 1.0
    frames = int(FRAMES_PER_SECOND * seconds) if _is_event_task(job) else 1
    train = sum(len(job.task.clips[part]) for part in first.train) * job.budget / 100
    valid, test = len(job.task.clips[first.valid]), len(job.task.clips[first.test])
    return {"train": max(2, int(train)) * frames, "valid": valid * frames, "test": test * frames}


def _work_of_epoch(job: Job) -> float:
    """Return what an epoch's time goes with: rows times what each takes, for jobs that are not measured."""
    config, dim, width = job.preset.grid[0], job.entry.identity["dim"], len(job.task.vocabulary)
    if isinstance(config, ProbeConfig) and config.hidden_layers:
        width = config.hidden_dim
    return rows_of_parts(job)["train"] * (dim + width) * width


def _epoch_seconds(job: Job, device: torch.device) -> float:
    """Measure the seconds of one epoch of one classifier at the job's size, every core at work."""
    config, counts, n_labels = job.preset.grid[0], rows_of_parts(job), len(job.task.vocabulary)
    assert isinstance(config, ProbeConfig)  # as of every job that is measured here
    scale = max(1.0, counts["train"] / MEASURED_ROWS)
    epochs = config.check_val_every_n_epoch
    few = replace(config, max_epochs=epochs)
    generator = torch.Generator().manual_seed(0)
    parts = {
        name: _random_training_rows(job, max(2, int(rows / scale)), n_labels, generator, device)
        for name, rows in counts.items()
    }
    networks = min(job.n_fits, 2 * torch.get_num_threads() if device.type == "cpu" else 10)
    metric = METRICS[job.primary].scene
    target = _random_multi_hot(parts["valid"].target, n_labels)

    def score(logits: np.ndarray) -> float:
        return metric(target, logits) if metric else 0.0

    fits = [Fit(few, seed) for seed in range(networks)]
    start = time.perf_counter()
    train_stack(fits, parts["train"], parts["valid"], parts["test"], n_labels, score)
    return (time.perf_counter() - start) * scale / (networks * epochs)


class _Enough(Exception):
    """So many passes were measured."""


def _pass_seconds(job: Job, device: torch.device) -> float:
    """Measure the seconds of one pass of a logistic regression over the job's training rows."""
    from evaluation.probes.linear import regress, standardised

    config, counts, n_labels = job.preset.grid[0], rows_of_parts(job), len(job.task.vocabulary)
    assert isinstance(config, LinearConfig)  # nearest neighbours are not measured
    begins: list[float] = []
    scale = max(1.0, counts["train"] / MEASURED_ROWS)
    generator = torch.Generator().manual_seed(0)
    rows = _random_training_rows(job, max(2, int(counts["train"] / scale)), n_labels, generator, device)
    hot = torch.from_numpy(_random_multi_hot(rows.target, n_labels)).to(device)

    def on_pass() -> None:
        begins.append(time.perf_counter())
        if len(begins) > MEASURED_PASSES:
            raise _Enough

    def measured() -> float:
        multilabel, (x,) = job.task.metadata.prediction_type == "multilabel", standardised(rows.x)
        with contextlib.suppress(_Enough):
            regress(x, hot, config, multilabel=multilabel, on_pass=on_pass)
        return (begins[-1] - begins[0]) * scale / max(1, len(begins) - 1)

    return measured() if device.type != "cpu" else on_one_core(measured) / torch.get_num_threads()


def _random_training_rows(
    job: Job, rows: int, n_labels: int, generator: torch.Generator, device: torch.device
) -> Rows:
    """Return rows of the job's size; arithmetic takes as long with random numbers as with real ones."""
    x = torch.randn(rows, job.entry.identity["dim"], generator=generator)
    target = torch.arange(rows) % n_labels
    if job.task.metadata.prediction_type == "multilabel":
        target = torch.nn.functional.one_hot(target, n_labels).float()
    return Rows(x.to(device), target.to(device))


def _random_multi_hot(target: torch.Tensor, n_labels: int) -> np.ndarray:
    target = target.cpu()
    return (target if target.ndim == 2 else torch.nn.functional.one_hot(target, n_labels)).numpy()
