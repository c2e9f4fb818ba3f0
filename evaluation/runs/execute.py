"""Doing what the plan says: embed, train, record, tabulate; one bad task does not stop the others."""

import contextlib
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from evaluation.embedding.embed import embed_task, is_embedded
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel, torch_device
from evaluation.models.loading import changed_sentence
from evaluation.models.marks import differing_file
from evaluation.progress import progress_bar, say
from evaluation.results.failure import Failure, Stage
from evaluation.runs.columns import short_name
from evaluation.runs.job import Job
from evaluation.runs.missing import bytes_needed, waiting_by_task
from evaluation.runs.plan import ModelCard, Session
from evaluation.runs.record import fit_origin, write_provenance
from evaluation.runs.train_job import Resources, run_job
from tasks import TaskError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What torch and CUDA say without an exception of their own."""


def execute(session: Session) -> None:
    """Embed and train everything that is missing; a job that fails is noted and the others go on.

    Raises EvaluationError when another process writes the same run, KeyboardInterrupt on Ctrl-C, and
    OSError when the disk refuses.
    """
    options = session.options
    options.directory.mkdir(parents=True, exist_ok=True)
    _check_disk_space(session)
    predictions = options.directory if options.save_predictions else None
    device = torch_device(options.device)
    resources = Resources(device, options.max_bytes, predictions, fit_origin(device))
    with _exclusive_run(options.directory):
        if not options.resume:
            _set_ledger_aside(session.ledger.path, session.ledger.details_path)
        session.ledger.open_for_writing()
        write_provenance(session)
        for cards in session.cards_by_model():
            _execute_model(session, cards, resources)


def _execute_model(session: Session, cards: Sequence[ModelCard], resources: Resources) -> None:
    """Embed with one model, every layer that is probed in the same pass, and train on each."""
    own = [[job for job in session.jobs if job.model == card.spec.label] for card in cards]
    if _embed_missing(session, cards[0], list(itertools.chain(*own))):
        write_provenance(session)  # which names the fits by the embeddings that are there now
    for jobs in own:
        for number, job in enumerate(jobs, 1):
            if is_embedded(job.entry, job.task):
                with _failures_noted(
                    session, "train", [job], "lower --max-memory, or train elsewhere with --device"
                ):
                    _train_missing(session, job, resources, f"{number}/{len(jobs)}")


def _embed_missing(session: Session, card: ModelCard, jobs: Sequence[Job]) -> bool:
    """Embed what the store lacks; return whether there was anything."""
    waiting = waiting_by_task(jobs)
    load = _model_loader(card, session.options.device, session.held.pop(card.spec.label, None))
    for number, layers in enumerate(waiting.values(), 1):
        task, entries = layers[0].task, [job.entry for job in layers]
        keys = {entry.key for entry in entries}
        clips = sum(len(part) for part in task.clips.values())
        title = f"embed {number}/{len(waiting)} {short_name(task)}"
        with (
            _failures_noted(
                session,
                "embed",
                [job for job in jobs if job.entry.key in keys],
                "give it fewer or shorter clips, or embed elsewhere with --device",
            ),
            progress_bar(total=clips, desc=title, unit="clip") as bar,
        ):
            embed_task(load(), task, entries, session.options.cache, advance=bar.update, warn=say)
    return bool(waiting)


def _model_loader(card: ModelCard, device: str, held: HearModel | None) -> Callable[[], HearModel]:
    """Return the function that gives the model, or raises why there is none; it is loaded once at most."""
    loaded: list[HearModel | EvaluationError] = [held] if held else []

    def load() -> HearModel:
        if not loaded:
            try:
                loaded.append(_load_planned_model(card, device))
            except EvaluationError as error:
                loaded.append(error)
        if isinstance(loaded[0], EvaluationError):
            raise loaded[0]
        return loaded[0]

    return load


def _load_planned_model(card: ModelCard, device: str) -> HearModel:
    """Load a model again; raise EvaluationError, naming the file, when it is not the one that was planned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it said what it had to say when the run was prepared
        model = HearModel(card.spec, device)
    if model.fingerprint == card.fingerprint:
        return model
    if path := differing_file(card.files, model.files):
        raise EvaluationError(changed_sentence(path, card.spec.module))
    raise EvaluationError(
        f"{card.spec.module} has other weights each time it is loaded, so its embeddings would be of no "
        "model that can be had again; draw its random weights from torch's generator, or with a seed"
    )


def _train_missing(session: Session, job: Job, resources: Resources, position: str) -> None:
    missing = job.n_fits - job.n_done(session.ledger)
    unsaved = resources.predictions and job.lacks_predictions(session.ledger, resources.predictions)
    if not missing and not unsaved:
        return
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n:.1f}/{total:.0f} fits [{elapsed}<{remaining}{postfix}]"
    title = f"train {position} {job.column.short}"
    with progress_bar(total=missing, desc=title, bar_format=layout) as bar:

        def on(fits: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(fits)

        run_job(job, session.ledger, resources, on)
    seeds = job.seed_scores(session.ledger)
    assert seeds is not None  # no fit is missing any more
    mean = sum(job.column.scale(score) for score in seeds) / len(seeds)
    say(f"{job.model}  {job.column.short}  {job.primary} {mean:.1f}")
    if sentence := job.chance_sentence(session.ledger):
        say(f"warning: {sentence}")


@contextlib.contextmanager
def _failures_noted(session: Session, stage: Stage, jobs: Sequence[Job], remedy: str) -> Iterator[None]:
    """Let the other jobs go on after a mistake in these; it is said once and kept of each in run.json.

    `remedy` is for want of memory.
    """
    try:
        yield
    except (EvaluationError, TaskError) as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = f"the memory does not suffice; {remedy}"
    else:
        return
    layers = {card.spec.label: card.spec.layer for card in session.cards}
    failures = [
        Failure(
            stage=stage,
            reason=reason,
            model=job.model,
            task=job.task.name,
            layer=layers[job.model],
            budget=job.budget,
        )
        for job in jobs
    ]
    session.failures += failures
    others = f" (and so {len(jobs) - 1} more of its layers and budgets)" if len(jobs) > 1 else ""
    say(f"failed: {failures[0].sentence}{others}")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether numpy, a GPU or torch's allocator on a CPU, which has no exception of its own, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


@contextlib.contextmanager
def _exclusive_run(directory: Path) -> Iterator[None]:
    """Hold the run directory; the operating system lets go of it when the process ends in any way."""
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise EvaluationError(
            f"another process is writing {directory}; wait for it, or use another name with --run"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _check_disk_space(session: Session) -> None:
    """Raise EvaluationError when the embeddings and resampled clips to be made would not fit on the disk."""
    cache = session.options.cache
    needed = bytes_needed(session.jobs, cache)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise EvaluationError(
            f"embeddings and resampled clips need {needed / 1e9:.1f} GB but {cache} has "
            f"{free / 1e9:.1f} GB free; make room or choose another place with --cache"
        )


def _set_ledger_aside(*files: Path) -> None:
    """Rename those of the files that exist to <name>.<n>.jsonl, with the first n that is free for all."""

    def aside(file: Path, number: int) -> Path:
        return file.with_name(f"{file.stem}.{number}{file.suffix}")

    free = next(n for n in itertools.count(1) if not any(aside(file, n).exists() for file in files))
    for file in files:
        if file.exists():
            file.rename(aside(file, free))
