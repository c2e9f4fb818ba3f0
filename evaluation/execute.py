"""Doing what the plan says: embed, train, record, tabulate; one bad task does not stop the others."""

import contextlib
import itertools
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from evaluation.downstream import Resources, run_job
from evaluation.embed import embed_task, is_embedded
from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel, torch_device
from evaluation.job import Job
from evaluation.loading import changed_sentence
from evaluation.marks import differing_file
from evaluation.plan import ModelCard, Session, column, short_name
from evaluation.provenance import hardware, origin, write_run_file
from evaluation.store import EmbeddingTime, summed
from evaluation.tables import screen, write_tables
from tasks import TaskError, is_resampled

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What torch and CUDA say without an exception of their own."""

FRAMES_PER_SECOND = 25
"""Timestamp embeddings as dense as modules usually have them: one every 40 or 50 ms."""

BYTES_PER_SAMPLE = 2
"""Clips of task directories are mono and of 16 bits."""


def execute(session: Session) -> None:
    """Embed and train everything that is missing; a job that fails is noted and the others go on.

    Raises EvaluationError when another process writes the same run, KeyboardInterrupt on Ctrl-C, and
    OSError when the disk refuses.
    """
    options = session.options
    options.directory.mkdir(parents=True, exist_ok=True)
    _check_disk(session)
    predictions = options.directory if options.save_predictions else None
    device = torch_device(options.device)
    resources = Resources(device, options.max_bytes, predictions, origin(device))
    with _exclusive(options.directory):
        if not options.resume:
            _set_aside(session.ledger.path, session.ledger.details_path)
        session.ledger.open_for_writing()
        _write_provenance(session)
        for cards in session.cards_by_model():
            _do_model(session, cards, resources)


def _do_model(session: Session, cards: Sequence[ModelCard], resources: Resources) -> None:
    """Embed with one model, every layer that is probed in the same pass, and train on each."""
    own = [[job for job in session.jobs if job.model == card.spec.label] for card in cards]
    _embed_missing(session, cards[0], list(itertools.chain(*own)))
    for jobs in own:
        for number, job in enumerate(jobs, 1):
            if is_embedded(job.entry, job.task):
                with _noted(session, job, "lower --max-memory, or train elsewhere with --device"):
                    _train_missing(session, job, resources, f"{number}/{len(jobs)}")


def finish(session: Session) -> str:
    """Write run.json and the tables of what is finished and return the text for the screen."""
    results, directory = session.results(), session.options.directory / "tables"
    _write_provenance(session)
    if not results.scores:
        return f"No task is finished yet; {len(session.ledger.records)} fits are in the ledger."
    write_tables(results, directory)
    return f"{screen(results)}\nTables: {directory}"


def _embed_missing(session: Session, card: ModelCard, jobs: Sequence[Job]) -> None:
    waiting = waiting_by_task(jobs)
    load = _loader(card, session.options.device)
    for number, layers in enumerate(waiting.values(), 1):
        task, entries = layers[0].task, [job.entry for job in layers]
        clips = sum(len(part) for part in task.clips.values())
        title = f"embed {number}/{len(waiting)} {short_name(task)}"
        with (
            _noted(session, layers[0], "give it fewer or shorter clips, or embed elsewhere with --device"),
            tqdm(total=clips, desc=title, unit="clip", leave=False, disable=None) as bar,
        ):
            embed_task(load(), task, entries, session.options.cache, advance=bar.update, warn=_say)


def _loader(card: ModelCard, device: str) -> Callable[[], HearModel]:
    """Return the function that gives the model, or raises why there is none; it is loaded once at most."""
    loaded: list[HearModel | EvaluationError] = []

    def load() -> HearModel:
        if not loaded:
            try:
                loaded.append(_load(card, device))
            except EvaluationError as error:
                loaded.append(error)
        if isinstance(loaded[0], EvaluationError):
            raise loaded[0]
        return loaded[0]

    return load


def _load(card: ModelCard, device: str) -> HearModel:
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


def waiting_by_task(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Return what is not embedded yet: per task one job for each model and layer."""
    waiting: dict[str, list[Job]] = {}
    for job in _waiting(jobs):
        waiting.setdefault(job.task.name, []).append(job)
    return waiting


def _waiting(jobs: Sequence[Job]) -> list[Job]:
    """Return one job for each task, model and layer that is not embedded yet."""
    distinct = {job.entry.key: job for job in jobs}.values()
    return [job for job in distinct if not is_embedded(job.entry, job.task)]


def _train_missing(session: Session, job: Job, resources: Resources, position: str) -> None:
    missing = job.n_fits - job.n_done(session.ledger)
    unsaved = resources.predictions and job.lacks_predictions(session.ledger, resources.predictions)
    if not missing and not unsaved:
        return
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n:.1f}/{total:.0f} fits [{elapsed}<{remaining}{postfix}]"
    title = f"train {position} {column(job).short}"
    with tqdm(total=missing, desc=title, bar_format=layout, leave=False, disable=None) as bar:

        def on(fits: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(fits)

        run_job(job, session.ledger, resources, on)
    seeds = job.seed_scores(session.ledger)
    mean = sum(column(job).scale(score) for score in seeds) / len(seeds)
    _say(f"{job.model}  {column(job).short}  {job.primary} {mean:.1f}")
    if sentence := job.chance_sentence(session.ledger):
        _say(f"warning: {sentence}")


@contextlib.contextmanager
def _noted(session: Session, job: Job, remedy: str) -> Iterator[None]:
    """Let the other jobs go on after a mistake in this one; it is said at once and kept in run.json.

    `remedy` is for want of memory.
    """
    try:
        yield
    except (EvaluationError, TaskError) as error:
        sentence = str(error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        sentence = f"the memory does not suffice; {remedy}"
    else:
        return
    session.failures.append(f"{job.model} on {job.label}: {sentence}")
    _say(f"failed: {session.failures[-1]}")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether numpy, a GPU or torch's allocator on a CPU, which has no exception of its own, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


@contextlib.contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
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


def _check_disk(session: Session) -> None:
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


def bytes_needed(jobs: Sequence[Job], cache: Path) -> float:
    """Return how many bytes the embeddings and resampled clips take that `cache` does not hold yet."""
    waiting = _waiting(jobs)
    audio = {(job.task.name, job.entry.identity["sample_rate"]): _new_audio(job, cache) for job in waiting}
    return sum(map(_new_embeddings, waiting)) + sum(audio.values())


def _new_embeddings(job: Job) -> float:
    """Return the bytes of the task's embeddings; of frames, as many as is usual for clips so long."""
    identity = job.entry.identity
    rows: float = sum(len(part) for part in job.task.clips.values())
    if identity["embedding"] == "event":
        seconds = _audio_bytes(job) / (BYTES_PER_SAMPLE * identity["source_rate"])
        rows = max(rows, FRAMES_PER_SECOND * seconds)
    return 4 * identity["dim"] * rows


def _new_audio(job: Job, cache: Path) -> float:
    """Return the bytes of the task's clips at a rate that neither its directory nor the cache has."""
    rate, source = job.entry.identity["sample_rate"], job.entry.identity["source_rate"]
    there = rate == source or is_resampled(job.task, rate, cache / "audio", job.entry.identity["task_digest"])
    return 0 if there else _audio_bytes(job) * rate / source


def _audio_bytes(job: Job) -> int:
    """Return the bytes of the task's clips at the rate that is read."""
    rate = job.entry.identity["source_rate"]
    paths = (
        job.task.audio_path(split, clip.file, rate)
        for split, clips in job.task.clips.items()
        for clip in clips
    )
    return sum(path.stat().st_size for path in paths)


def _set_aside(*files: Path) -> None:
    """Rename those of the files that exist to <name>.<n>.jsonl, with the first n that is free for all."""

    def aside(file: Path, number: int) -> Path:
        return file.with_name(f"{file.stem}.{number}{file.suffix}")

    free = next(n for n in itertools.count(1) if not any(aside(file, n).exists() for file in files))
    for file in files:
        if file.exists():
            file.rename(aside(file, free))


def _write_provenance(session: Session) -> None:
    options = session.options
    content = {
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
            for card, time in ((card, _whole_time(session, card)) for card in session.cards)
        ],
        "jobs": [
            {
                "model": job.model,
                "label": job.label,
                "budget": job.budget,
                "directory": str(job.task.path.resolve()),
                "synthetic": job.task.metadata.synthetic,
                "embedding_time": _embedding_time(job),
                **job.entry.identity,
            }
            for job in session.jobs
        ],
        "failures": session.failures,
        "results": session.frame().as_json(),
        "pool": session.results().pool(),
    }
    write_run_file(options.directory / "run.json", content)


def _embedding_time(job: Job) -> dict[str, Any] | None:
    """Return the clips, seconds and hardware that the store keeps with the embeddings, if it does."""
    found = job.entry.embedding_time(job.task.clips)
    return None if found is None else asdict(found)


def _whole_time(session: Session, card: ModelCard) -> EmbeddingTime | None:
    """Return what embedding all of the run's tasks took a model; None unless all were timed."""
    jobs = {job.entry.key: job for job in session.jobs if job.model == card.spec.label}.values()
    times = [job.entry.embedding_time(job.task.clips) for job in jobs]
    return None if not times or None in times else summed(times)


def _say(sentence: str) -> None:
    """Print a line without breaking a progress bar."""
    tqdm.write(sentence, file=sys.stderr)
