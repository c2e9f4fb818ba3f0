"""The plan of a run: which models on which tasks, what is there already and what is left to do.

`hear-eval plan` takes the arguments of `evaluation.run` and also says what the run will take.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluation.embedding.content import Known
from evaluation.embedding.embed import store_entry
from evaluation.embedding.store import StoreEntry
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import HearModel
from evaluation.models.marks import FileMark
from evaluation.models.spec import ModelSpec
from evaluation.results.failure import Failure
from evaluation.results.ledger import Ledger
from evaluation.results.reading import Frame, assemble
from evaluation.results.run_file import LEDGER_FILE
from evaluation.results.score_table import ScoreTable
from evaluation.runs.job import Job, chance_notes
from evaluation.runs.missing import waiting_by_task
from evaluation.runs.notes import protocol_notes
from evaluation.runs.options import RunOptions
from tasks import Task


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
    """The planned run: its jobs in order of work, its ledger, and what failed.

    `held` are models that are to embed, by their first card's label.
    """

    options: RunOptions
    cards: list[ModelCard]
    jobs: list[Job]
    ledger: Ledger
    failures: list[Failure] = field(default_factory=list)
    held: dict[str, HearModel] = field(default_factory=dict)

    def cards_by_model(self) -> list[list[ModelCard]]:
        """Return the cards of each model together: its layers are embedded in one pass."""
        whole = itertools.groupby(self.cards, lambda card: replace(card.spec, layer=""))
        return [list(cards) for _, cards in whole]

    def results(self) -> ScoreTable:
        """Return what is finished, ready for the tables."""
        specs = {card.spec.label: card.spec for card in self.cards}
        return assemble(self.frame(), self.ledger, specs)

    def frame(self) -> Frame:
        """Return what the tables need beside the ledger."""
        preset, labels = self.options.preset, [card.spec.label for card in self.cards]
        return Frame(
            models=labels,
            marks={card.spec.label: "random init" for card in self.cards if not card.pretrained},
            fingerprints={card.spec.label: card.fingerprint for card in self.cards},
            digests=_task_digests(self.jobs),
            protocol=preset.title if preset.head == "mlp" else f"{preset.title}, head {preset.head}",
            notes=[
                *protocol_notes(preset, self.options.seeds, self.options.budgets, self.options.tasks),
                *chance_notes(self.jobs, self.ledger),
                *(f"Failed: {failure.sentence}" for failure in self.failures),
            ],
            jobs=[job.planned for job in self.jobs],
            synthetic=any(job.task.metadata.synthetic for job in self.jobs),
        )


def _task_digests(jobs: Sequence[Job]) -> list[tuple[str, int, str]]:
    """Return [task, sample rate, hash of the content]; imported embeddings have no sound to hash."""
    identities = (job.entry.identity for job in jobs)
    found = {(i["task"], i["source_rate"], i["task_digest"]) for i in identities if "task_digest" in i}
    return sorted(found)


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
    (_plan_imported if options.imported else _plan_models)(session)
    if not session.jobs:
        raise EvaluationError(session.failures[0].sentence)
    return session


def _plan_models(session: Session) -> None:
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
        layers, planned = model.at_layers(options.layers), len(session.jobs)
        for at_layer in layers:
            _plan_model(session, at_layer, known)
        if waiting_by_task(session.jobs[planned:]):
            _hold_model(session, layers[0])


def _hold_model(session: Session, model: HearModel) -> None:
    """Keep a model for embedding, as far as --max-memory goes; what is not kept is loaded again.

    So is one without files: only a second loading shows whether its weights are drawn alike each time.
    """
    held = sum(other.n_bytes for other in session.held.values())
    if not model.drawn and held + model.n_bytes <= session.options.max_bytes:
        session.held[model.spec.label] = model


def _plan_model(session: Session, model: HearModel, known: Known) -> None:
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
            failed = Failure(
                stage="plan", reason=str(error), model=spec.label, task=task.name, layer=spec.layer
            )
            session.failures += [replace(failed, budget=budget) for budget in options.budgets]
            continue
        session.jobs += _planned_jobs(options, spec.label, task, entry)


def _plan_imported(session: Session) -> None:
    """Add the cards and jobs of imported trees, in the order of the models' names."""
    options = session.options
    dims = {item.model: item.entry.identity["dim"] for item in options.imported}
    session.cards += [ModelCard(ModelSpec(model), None, dim, True, None, None) for model, dim in dims.items()]
    for item in options.imported:
        session.jobs += _planned_jobs(options, item.model, item.task, item.entry)


def _planned_jobs(options: RunOptions, model: str, task: Task, entry: StoreEntry) -> list[Job]:
    preset = options.preset.for_task(task.metadata)
    return [Job(model, task, entry, preset, options.seeds, budget) for budget in options.budgets]
