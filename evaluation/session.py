"""A run from the plan to the tables: which models on which tasks, what is left to do, and doing it."""

import contextlib
import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from evaluation.downstream import Job, Resources, check_trainable, run_job
from evaluation.embed import embed_task, is_embedded, store_entry
from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel, ModelSpec, torch_device
from evaluation.ledger import Ledger
from evaluation.protocol import Preset
from evaluation.provenance import hardware, versions, write_run_file
from evaluation.tables import Column, Results, screen, write_tables
from tasks import PAPER_TASKS, Task, TaskError, source_rate

LEDGER_FILE = "ledger.jsonl"


@dataclass(frozen=True)
class RunOptions:
    """Everything that a run is asked to do, as values."""

    models: Sequence[ModelSpec]
    tasks: Sequence[Task]
    preset: Preset
    n_seeds: int
    directory: Path
    cache: Path
    device: str
    max_bytes: float
    allow_random_init: bool


@dataclass(frozen=True)
class ModelCard:
    """What stays known of a model once it is out of memory."""

    spec: ModelSpec
    sample_rate: int
    dim: int
    pretrained: bool
    n_parameters: int
    fingerprint: str


@dataclass
class Session:
    """The planned run: its jobs in order of work, its ledger, and what failed."""

    options: RunOptions
    cards: list[ModelCard]
    jobs: list[Job]
    ledger: Ledger
    failures: list[str] = field(default_factory=list)

    def results(self) -> Results:
        """Return what is finished, ready for the tables."""
        scores: dict[str, dict[str, list[float]]] = {}
        for job in self.jobs:
            if (seeds := job.seed_scores(self.ledger)) is not None:
                scores.setdefault(job.model, {})[job.task.name] = seeds
        columns = [Column(t.name, t.metadata.evaluation[0], short_name(t)) for t in self.options.tasks]
        marks = {card.spec.label: "random init" for card in self.cards if not card.pretrained}
        models = [card.spec.label for card in self.cards]
        return Results(models, columns, scores, marks, _notes(self.options))


def short_name(task: Task) -> str:
    """Return the paper's short name of a task ("ESC-50-part", "BO-sample"), else its own name."""
    name, base = task.metadata.task_name, task.metadata.base_name
    for info in PAPER_TASKS:
        if info.metadata.task_name == base:
            return info.short_name + name.removeprefix(base)
    return name


def _notes(options: RunOptions) -> list[str]:
    """Return the sentences that every table of the run must carry."""
    seeds = f"{options.n_seeds} seeds" if options.n_seeds > 1 else "one seed"
    notes = [
        f"Preset {options.preset.name}: {options.preset.description}. Mean ± half width of the 95 % "
        f"t-interval over {seeds} of the classifier; it does not cover the choice of test clips."
    ]
    if any(task.metadata.synthetic for task in options.tasks):
        notes.insert(0, "Synthetic sample tasks, not comparable with any published number.")
    for task in options.tasks:
        if task.metadata.part_of:
            notes.append(f"{short_name(task)} is a part of its data set: {task.metadata.part_of}")
    return notes


def prepare(options: RunOptions) -> Session:
    """Check tasks and models, load every model once, and work out what is left to do.

    Raises EvaluationError for a task of a kind that cannot be evaluated, a mixture of synthetic and real
    tasks, a model that does not load, and a randomly initialised model that was not allowed.
    """
    for task in options.tasks:
        check_trainable(task)
    if len({task.metadata.synthetic for task in options.tasks}) > 1:
        raise EvaluationError("synthetic sample tasks and real tasks cannot share a run; choose one kind")
    ledger = Ledger(options.directory / LEDGER_FILE)
    cards, jobs = [], []
    for spec in options.models:
        model = HearModel(spec, options.device)
        if not model.pretrained and not options.allow_random_init:
            raise EvaluationError(
                f"{spec.label} has no trained weights (they are random); give them as "
                f"{spec.module}@WEIGHTS, or add --allow-random-init to see a baseline of chance"
            )
        cards.append(
            ModelCard(
                spec,
                model.sample_rate,
                model.scene_embedding_size,
                model.pretrained,
                model.n_parameters,
                model.fingerprint,
            )
        )
        for task in options.tasks:
            entry = store_entry(model, task, options.cache)
            jobs.append(Job(spec.label, task, entry, options.preset, options.n_seeds))
    return Session(options, cards, jobs, ledger)


def plan_text(session: Session) -> str:
    """Return the plan: per model what is cached and what is done, and what will surprise."""
    options = session.options
    per_model = len(options.tasks)
    lines = [
        f"Plan: {len(session.cards)} models x {per_model} tasks x {options.n_seeds} seeds, "
        f"preset {options.preset.name} ({options.preset.description})",
        f"Run:  {options.directory}    cache: {options.cache}",
        "",
    ]
    for index, card in enumerate(session.cards):
        jobs = session.jobs[index * per_model : (index + 1) * per_model]
        embedded = sum(is_embedded(job.entry, job.task) for job in jobs)
        done, total = sum(job.n_done(session.ledger) for job in jobs), sum(job.n_fits for job in jobs)
        mark = "" if card.pretrained else "  (random init)"
        lines.append(f"  {card.spec.label}{mark}")
        lines.append(
            f"      {card.n_parameters / 1e6:.1f} M weights, {card.sample_rate} Hz, {card.dim}-d; "
            f"embedded: {embedded} of {per_model} tasks; fits done: {done} of {total}"
        )
    return "\n".join([*lines, "", *_task_lines(session), ""])


def _task_lines(session: Session) -> Iterator[str]:
    for task in session.options.tasks:
        clips = sum(len(part) for part in task.clips.values())
        metadata = task.metadata
        kfold = metadata.split_mode != "trainvaltest"
        parts = f"{len(metadata.splits)} folds" if kfold else "train/valid/test"
        yield (
            f"  {task.name}: {clips} clips, {len(task.vocabulary)} classes, {parts}, {metadata.evaluation[0]}"
        )
        for rate in sorted({card.sample_rate for card in session.cards} - set(task.sample_rates)):
            yield f"      no {rate} Hz: made once from {source_rate(task.sample_rates, rate)} Hz with soxr"


def execute(session: Session) -> None:
    """Embed and train everything that is missing; a job that fails is noted and the others go on.

    Raises EvaluationError when another process writes the same run, KeyboardInterrupt on Ctrl-C, and
    OSError when the disk refuses.
    """
    options = session.options
    options.directory.mkdir(parents=True, exist_ok=True)
    _check_disk(session)
    resources = Resources(torch_device(options.device), options.max_bytes)
    _reuse_freed_memory()
    with _exclusive(options.directory):
        session.ledger.open_for_writing()
        _write_provenance(session, resources.device)
        for card in session.cards:
            jobs = [job for job in session.jobs if job.model == card.spec.label]
            _embed_missing(session, card, jobs)
            for number, job in enumerate(jobs, 1):
                if is_embedded(job.entry, job.task):
                    with _noted(session, job):
                        _train_missing(session, job, resources, f"{number}/{len(jobs)}")


def finish(session: Session) -> str:
    """Write the tables of what is finished and return the text for the screen."""
    directory = session.options.directory / "tables"
    write_tables(session.results(), directory)
    return f"{screen(session.results())}\nTables: {directory}"


def _embed_missing(session: Session, card: ModelCard, jobs: Sequence[Job]) -> None:
    waiting = [job for job in jobs if not is_embedded(job.entry, job.task)]
    if not waiting:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it said what it had to say when the run was prepared
        model = HearModel(card.spec, session.options.device)
    for number, job in enumerate(waiting, 1):
        clips = sum(len(part) for part in job.task.clips.values())
        title = f"embed {number}/{len(waiting)} {short_name(job.task)}"
        with (
            _noted(session, job),
            tqdm(total=clips, desc=title, unit="clip", leave=False) as bar,
        ):
            embed_task(model, job.task, job.entry, session.options.cache, advance=bar.update, warn=_say)


def _train_missing(session: Session, job: Job, resources: Resources, position: str) -> None:
    missing = job.n_fits - job.n_done(session.ledger)
    if not missing:
        return
    layout = "{desc}: {percentage:3.0f}% |{bar}| {n:.1f}/{total:.0f} fits [{elapsed}<{remaining}{postfix}]"
    title = f"train {position} {short_name(job.task)}"
    with tqdm(total=missing, desc=title, bar_format=layout, leave=False) as bar:

        def on(fits: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(fits)

        run_job(job, session.ledger, resources, versions(), on)
    seeds = job.seed_scores(session.ledger)
    column = Column(job.task.name, job.primary, short_name(job.task))
    mean = sum(column.scale(score) for score in seeds) / len(seeds)
    _say(f"{job.model}  {column.short}  {job.primary} {mean:.1f}")


@contextlib.contextmanager
def _noted(session: Session, job: Job) -> Iterator[None]:
    """Let the other jobs go on after a mistake in this one; it is reported at once and at the end."""
    try:
        yield
    except (EvaluationError, TaskError) as error:
        session.failures.append(f"{job.model} on {job.task.name}: {error}")
        _say(f"failed: {session.failures[-1]}")


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
    """Raise EvaluationError when the embeddings to be made would not fit on the disk."""
    dims = {card.spec.label: card.dim for card in session.cards}
    needed = sum(
        4 * dims[job.model] * sum(len(part) for part in job.task.clips.values())
        for job in session.jobs
        if not is_embedded(job.entry, job.task)
    )
    cache = session.options.cache
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise EvaluationError(
            f"the embeddings need {needed / 1e9:.1f} GB but {cache} has {free / 1e9:.1f} GB free; "
            "make room or choose another place with --cache"
        )


def _write_provenance(session: Session, device: torch.device) -> None:
    options = session.options
    content = {
        "preset": options.preset.name,
        "n_seeds": options.n_seeds,
        "hardware": hardware(device),
        "models": [
            {
                "label": card.spec.label,
                "module": card.spec.module,
                "weights": card.spec.weights,
                "options": dict(card.spec.options),
                "fingerprint": card.fingerprint,
                "pretrained": card.pretrained,
                "parameters": card.n_parameters,
                "sample_rate": card.sample_rate,
                "dim": card.dim,
            }
            for card in session.cards
        ],
        "jobs": [
            {"model": job.model, "embedding": job.entry.key, **job.entry.identity} for job in session.jobs
        ],
        "pool": [card.spec.label for card in session.cards],
    }
    write_run_file(options.directory / "run.json", content)


def _reuse_freed_memory() -> None:
    """Keep freed arrays in the process instead of giving their pages back to the system each time.

    Training allocates the same large arrays every step; with glibc's defaults the page faults double the
    time of a step. Other C libraries do not need it.
    """
    if os.name != "posix" or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        m_trim_threshold, m_mmap_max = -1, -4
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)


def _say(sentence: str) -> None:
    """Print a line without breaking a progress bar."""
    tqdm.write(sentence, file=sys.stderr)
