"""The plan of a run: which models on which tasks, what is there already and what is left to do.

`hear-eval plan` takes the arguments of `evaluation.run` and also says what the run will take.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluation.content import Known
from evaluation.embed import is_embedded, store_entry
from evaluation.errors import EvaluationError
from evaluation.hear_module import HearModel, ModelSpec, torch_device
from evaluation.heareval_tree import Imported
from evaluation.job import Job, chance_notes
from evaluation.ledger import Ledger
from evaluation.loading import names_of
from evaluation.marks import FileMark
from evaluation.processor import bf16_advice
from evaluation.protocol import Preset, axes_sentence, config_key
from evaluation.results import LEDGER_FILE, Frame, PlannedJob, assemble
from evaluation.seeds import seeds_text
from evaluation.store import StoreEntry
from evaluation.tables import SYNTHETIC, Column, Results
from tasks import HEAR19_TASKS, PAPER_TASKS, Task, TaskMetadata, is_resampled, source_rate, stands_for


@dataclass(frozen=True)
class RunOptions:
    """Everything that a run is asked to do, as values; `imported` stands for models that embed.

    `layers` are those that are probed of every model, see `HearModel.at_layers`.
    """

    models: Sequence[ModelSpec]
    tasks: Sequence[Task]
    preset: Preset
    seeds: Sequence[int]
    budgets: Sequence[float]
    directory: Path
    cache: Path
    device: str
    max_bytes: float
    allow_random_init: bool
    resume: bool
    save_predictions: bool
    imported: Sequence[Imported] = ()
    layers: Sequence[str] = ()


@dataclass(frozen=True)
class ModelCard:
    """What stays known of a model once it is out of memory; of an imported tree's model that is little.

    `files` to `unseen` are those of `HearModel`.
    """

    spec: ModelSpec
    sample_rate: int | None
    dim: int
    pretrained: bool
    n_parameters: int | None
    fingerprint: str | None
    n_fixed: int = 0
    files: Mapping[Path, FileMark] = field(default_factory=dict)
    read_files: Sequence[Path] = ()
    unseen: bool = False


@dataclass
class Session:
    """The planned run: its jobs in order of work, its ledger, and what failed."""

    options: RunOptions
    cards: list[ModelCard]
    jobs: list[Job]
    ledger: Ledger
    failures: list[str] = field(default_factory=list)

    def cards_by_model(self) -> list[list[ModelCard]]:
        """Return the cards of each model together: its layers are embedded in one pass."""
        whole = itertools.groupby(self.cards, lambda card: replace(card.spec, layer=""))
        return [list(cards) for _, cards in whole]

    def results(self) -> Results:
        """Return what is finished, ready for the tables."""
        return assemble(self.frame(), self.ledger)

    def frame(self) -> Frame:
        """Return what the tables need beside the ledger."""
        preset, labels = self.options.preset, [card.spec.label for card in self.cards]
        return Frame(
            models=labels,
            marks={card.spec.label: "random init" for card in self.cards if not card.pretrained},
            fingerprints={card.spec.label: card.fingerprint for card in self.cards},
            digests=_digests(self.jobs),
            protocol=preset.title if preset.head == "mlp" else f"{preset.title}, head {preset.head}",
            notes=[
                *_notes(self.options),
                *chance_notes(self.jobs, self.ledger),
                *(f"Failed: {f}" for f in self.failures),
            ],
            jobs=[_planned(job) for job in self.jobs],
            synthetic=any(job.task.metadata.synthetic for job in self.jobs),
        )


def _digests(jobs: Sequence[Job]) -> list[tuple[str, int, str]]:
    """Return [task, sample rate, hash of the content]; imported embeddings have no sound to hash."""
    identities = (job.entry.identity for job in jobs)
    found = {(i["task"], i["source_rate"], i["task_digest"]) for i in identities if "task_digest" in i}
    return sorted(found)


def _planned(job: Job) -> PlannedJob:
    points = [config_key(config) for config in job.preset.grid]
    orders = [[points.index(config_key(config)) for config in job.preset.order(seed)] for seed in job.seeds]
    tests, seeds = [split.test for split in job.splits], list(job.seeds)
    return PlannedJob(job.model, column(job), job.entry.key, tests, points, orders, job.minimised, seeds)


def short_name(task: Task) -> str:
    """Return the short name of one of HEAR's tasks ("ESC-50-part", "NS-50h"), else the directory's name."""
    return short_name_of(task.metadata) or task.name


def short_name_of(metadata: TaskMetadata) -> str:
    """Return the short name of one of HEAR's tasks from its metadata, "" for any other."""
    for info in HEAR19_TASKS:
        if stands_for(metadata, info):
            return info.short_name + metadata.task_name.removeprefix(metadata.base_name)
    return ""


def column(job: Job) -> Column:
    """Return the table's column of a job: "ESC-50", or "ESC-50 @10%" where the budget is not all."""
    short = short_name(job.task)
    title = short if job.budget == 100 else f"{short} @{job.budget:g}%"
    published = published_name(job.task.metadata, job.primary, job.budget)
    return Column(job.label, job.primary, title, job.budget, published)


def published_name(metadata: TaskMetadata, primary: str, budget: float) -> str:
    """Return the short name of the paper's task that this is in whole, scored as there; "" for all others.

    A synthetic sample, a part of a data set, another mode of it, a share of the training clips, or a task
    whose build says that it departs from the published one (in its folds, say) is none.
    """
    if not metadata.is_published or budget != 100:
        return ""
    for info in PAPER_TASKS:
        theirs = info.metadata
        same = metadata.task_name == theirs.task_name and metadata.mode == theirs.mode
        if same and primary == theirs.evaluation[0]:
            return info.short_name
    return ""


def _notes(options: RunOptions) -> list[str]:
    """Return the sentences that every table of the run must carry."""
    notes = [_protocol_note(options.preset, options.seeds), *_budget_notes(options.budgets)]
    for task in options.tasks:
        own = options.preset.for_task(task.metadata).axes
        differs = {name: own[name] for name in own if own[name] != options.preset.axes.get(name)}
        if differs:
            notes.append(f"{short_name(task)} brings its own: {axes_sentence(differs)}.")
    if 1 < len(options.seeds) < 4:
        notes.append("Intervals over two or three seeds are very wide.")
    if any(task.metadata.synthetic for task in options.tasks):
        notes.insert(0, SYNTHETIC)
    for task in options.tasks:
        if task.metadata.part_of:
            notes.append(f"{short_name(task)} is a part of its data set: {task.metadata.part_of}.")
        elif task.metadata.build_notes:
            of_hear = any(stands_for(task.metadata, info) for info in HEAR19_TASKS)
            departs = " is not the published task" if of_hear else ""
            notes.append(f"{short_name(task)}{departs}: {'; '.join(task.metadata.build_notes)}.")
    return notes


_HEADS = {
    "knn": "cosine nearest neighbours, no training",
    "linear": "logistic regression on embeddings standardised by the training clips, one for every label "
    "where a clip may have several",
}


def _protocol_note(preset: Preset, chosen: Sequence[int]) -> str:
    if not preset.random:
        what, (name, values) = _HEADS[preset.head], next(iter(preset.axes.items()))
        return (
            f"Head {preset.head}: {what}; {name} of {', '.join(f'{value:g}' for value in values)} chosen on "
            "validation. Nothing is random, so there is one value and no interval."
        )
    text = f"Preset {preset.title}: {preset.description}."
    if preset.changes:
        text = f"Preset {preset.title}; NOT the preset itself, which is {preset.description}."
    seeds = f"{len(chosen)} seeds" if len(chosen) > 1 else "one seed"
    if list(chosen) != list(range(len(chosen))):
        seeds += f" ({seeds_text(chosen)})"
    return (
        f"{text} Mean ± half width of the 95 % t-interval over {seeds} of the classifier; it does not cover "
        "the choice of test clips."
    )


def _budget_notes(budgets: Sequence[float]) -> list[str]:
    if tuple(budgets) == (100.0,):
        return []
    note = (
        "@N%: trained on N % of every class's training clips, at least one, and more of classes that share "
        "clips with others; the same ones for every seed and model, smaller budgets within larger ones; "
        "validation and test parts are whole."
    )
    if len(budgets) > 1:
        note += f" Average and s(m) are over the columns with the largest budget, {max(budgets):g} %."
    return [note]


def prepare(options: RunOptions) -> Session:
    """Check tasks and models, load every model once, and work out what is left to do.

    Raises EvaluationError for a mixture of synthetic and real tasks, two tasks of one name, a model that
    does not load, and a randomly initialised model that was not allowed.
    """
    if len({task.metadata.synthetic for task in options.tasks}) > 1:
        raise EvaluationError("synthetic sample tasks and real tasks cannot share a run; choose one kind")
    names = [task.name for task in options.tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EvaluationError(f"two of the tasks are called {twice[0]}; a run can hold only one of them")
    ledger = Ledger(options.directory / LEDGER_FILE)
    if not options.resume:
        ledger.records.clear()
    session = Session(options, [], [], ledger)
    (_add_imported if options.imported else _add_models)(session)
    if not session.jobs:
        raise EvaluationError(session.failures[0])
    return session


def _add_models(session: Session) -> None:
    """Load every model once and add cards and jobs, one card per layer; what fails is noted."""
    options = session.options
    known: Known = {}
    for spec in options.models:
        model = HearModel(spec, options.device)
        if not model.pretrained and not options.allow_random_init:
            raise EvaluationError(
                f"{spec.label} has no trained weights (they are random); give them as "
                f"{spec.module}@WEIGHTS, or add --allow-random-init to see a baseline of chance"
            )
        for at_layer in model.at_layers(options.layers):
            _add_model(session, at_layer, known)


def _add_model(session: Session, model: HearModel, known: Known) -> None:
    options, spec = session.options, model.spec
    session.cards.append(
        ModelCard(
            spec,
            model.sample_rate,
            model.embedding_size("scene"),
            model.pretrained,
            model.n_parameters,
            model.fingerprint,
            model.n_fixed,
            model.files,
            model.read_files,
            model.unseen,
        )
    )
    for task in options.tasks:
        try:
            entry = store_entry(model, task, options.cache, known)
        except EvaluationError as error:
            session.failures.append(f"{spec.label} on {task.name}: {error}")
            continue
        session.jobs += _jobs(options, spec.label, task, entry)


def _add_imported(session: Session) -> None:
    """Add the cards and jobs of imported trees, in the order of the models' names."""
    options = session.options
    dims = {item.model: item.entry.identity["dim"] for item in options.imported}
    session.cards += [ModelCard(ModelSpec(model), None, dim, True, None, None) for model, dim in dims.items()]
    for item in options.imported:
        session.jobs += _jobs(options, item.model, item.task, item.entry)


def _jobs(options: RunOptions, model: str, task: Task, entry: StoreEntry) -> list[Job]:
    preset = options.preset.for_task(task.metadata)
    return [Job(model, task, entry, preset, options.seeds, budget) for budget in options.budgets]


def plan_text(session: Session) -> str:
    """Return the plan: per model what is cached and what is done, and what will surprise."""
    options = session.options
    budgets = f" x {_count(len(options.budgets), 'budget')}" if len(options.budgets) > 1 else ""
    preset = options.preset
    what = preset.description if preset.random else _HEADS[preset.head]
    head = "" if preset.random else f", head {preset.head}"
    lines = [
        f"Plan: {_count(len(session.cards), 'model')} x {_count(len(options.tasks), 'task')} x "
        f"{_seeds(options.seeds)}{budgets}, "
        f"preset {preset.title}{head} ({what})",
        f"Run:  {options.directory}    cache: {options.cache}",
        "",
    ]
    for card in session.cards:
        jobs = [job for job in session.jobs if job.model == card.spec.label]
        embedded = sum(is_embedded(job.entry, job.task) for job in jobs[:: len(options.budgets)])
        done, total = sum(job.n_done(session.ledger) for job in jobs), sum(job.n_fits for job in jobs)
        mark = "" if card.pretrained else "  (random init)"
        lines.append(f"  {card.spec.label}{mark}")
        lines.append(
            f"      {_origin(card)}, {card.dim}-d; "
            f"embedded: {embedded} of {len(jobs) // len(options.budgets)} tasks; fits done: {done} of {total}"
        )
        if options.layers and not card.spec.layer:
            lines.append("      exposes no layers: --layers changes nothing for it")
        lines += _weights_lines(card)
    asked = [
        *preset.axes.get("matmul_precision", ()),
        *(v for m in options.models for v in m.options.values()),
    ]
    lines += bf16_advice(asked, torch_device(options.device))
    problems = [f"  left out: {sentence}" for sentence in session.failures]
    return "\n".join([*lines, "", *_task_lines(session), *problems, ""])


def _weights_lines(card: ModelCard) -> Iterator[str]:
    """Say by which files a model is known, where its framework does not show all that it is."""
    if card.unseen and card.read_files:
        yield (
            f"      warning: no weights of {card.spec.module} can be seen; it is known by the files that it "
            f"reads: {names_of(card.read_files)}. Others, of weights, it should name: WEIGHT_FILES = [...]"
        )
    elif card.unseen:
        yield (
            f"      warning: no weights of {card.spec.module} can be seen; if it has any, others would be "
            "taken for these. Give them as MODULE@WEIGHTS, or let the module name its files: "
            "WEIGHT_FILES = [...], and [] says that there are none"
        )


def _seeds(seeds: Sequence[int]) -> str:
    text = _count(len(seeds), "seed")
    return text if list(seeds) == list(range(len(seeds))) else f"{text} ({seeds_text(seeds)})"


def _origin(card: ModelCard) -> str:
    if card.sample_rate is None:
        return "imported embeddings"
    size = f"{card.n_parameters / 1e6:.1f} M parameters"
    if not card.n_parameters:
        size = f"no trained parameters ({card.n_fixed / 1e6:.1f} M fixed numbers)"
    return f"{size}, {card.sample_rate} Hz"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _task_lines(session: Session) -> Iterator[str]:
    for task in session.options.tasks:
        clips = sum(len(part) for part in task.clips.values())
        metadata = task.metadata
        kfold = metadata.split_mode != "trainvaltest"
        parts = f"{len(metadata.splits)} folds" if kfold else "train/valid/test"
        yield (
            f"  {task.name}: {clips} clips, {len(task.vocabulary)} classes, {parts}, {metadata.evaluation[0]}"
        )
        rates = {card.sample_rate for card in session.cards if card.sample_rate is not None}
        for rate in sorted(rates - set(task.sample_rates)):
            source = source_rate(task.sample_rates, rate)
            made = "already made" if _is_made(session, task, rate) else "made once"
            yield f"      no {rate} Hz: {made} from {source} Hz with soxr"


def _is_made(session: Session, task: Task, rate: int) -> bool:
    """Say whether the clips at this rate (Hz) lie in the cache."""
    identities = (job.entry.identity for job in session.jobs if job.task.name == task.name)
    digest = next((i["task_digest"] for i in identities if i.get("sample_rate") == rate), "")
    return is_resampled(task, rate, session.options.cache / "audio", digest)


def main(argv: Sequence[str] | None = None) -> int:
    """Check what a run would need and take, see `evaluation.preflight`, which is built on this module."""
    from evaluation.preflight import main as preflight

    return preflight(argv)


if __name__ == "__main__":
    sys.exit(main())
