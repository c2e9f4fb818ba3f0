"""The plan of a run as text."""

from collections.abc import Iterator, Sequence

from evaluation.embedding.embed import is_embedded
from evaluation.models.hear_model import torch_device
from evaluation.models.loading import file_names
from evaluation.probes.processor import bf16_advice
from evaluation.runs.notes import HEAD_NAMES
from evaluation.runs.plan import ModelCard, Session
from evaluation.runs.seeds import seeds_text
from tasks import Task, is_resampled, source_rate


def plan_text(session: Session) -> str:
    """Return the plan: per model what is cached and what is done, and what will surprise."""
    options = session.options
    budgets = f" x {_counted(len(options.budgets), 'budget')}" if len(options.budgets) > 1 else ""
    preset = options.preset
    what = preset.description if preset.random else HEAD_NAMES[preset.head]
    head = "" if preset.random else f", head {preset.head}"
    lines = [
        f"Plan: {_counted(len(session.cards), 'model')} x {_counted(len(options.tasks), 'task')} x "
        f"{_seeds_in_words(options.seeds)}{budgets}, "
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
            f"      {_model_origin(card)}, {card.dim}-d; "
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
    problems = [f"  left out: {failure.sentence}" for failure in session.failures]
    return "\n".join([*lines, "", *_plan_task_lines(session), *problems, ""])


def _weights_lines(card: ModelCard) -> Iterator[str]:
    """Say by which files a model is known, where its framework does not show all that it is."""
    if card.unseen and card.read_files:
        yield (
            f"      warning: no weights of {card.spec.module} can be seen; it is known by the files that it "
            f"reads: {file_names(card.read_files)}. Others, of weights, it should name: WEIGHT_FILES = [...]"
        )
    elif card.unseen:
        yield (
            f"      warning: no weights of {card.spec.module} can be seen; if it has any, others would be "
            "taken for these. Give them as MODULE@WEIGHTS, or let the module name its files: "
            "WEIGHT_FILES = [...], and [] says that there are none"
        )


def _seeds_in_words(seeds: Sequence[int]) -> str:
    text = _counted(len(seeds), "seed")
    return text if list(seeds) == list(range(len(seeds))) else f"{text} ({seeds_text(seeds)})"


def _model_origin(card: ModelCard) -> str:
    if card.sample_rate is None or card.n_parameters is None:
        return "imported embeddings"
    size = f"{card.n_parameters / 1e6:.1f} M parameters"
    if not card.n_parameters:
        size = f"no trained parameters ({card.n_fixed / 1e6:.1f} M fixed numbers)"
    return f"{size}, {card.sample_rate} Hz"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _plan_task_lines(session: Session) -> Iterator[str]:
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
            made = "already made" if _is_resampled_already(session, task, rate) else "made once"
            yield f"      no {rate} Hz: {made} from {source} Hz with soxr"


def _is_resampled_already(session: Session, task: Task, rate: int) -> bool:
    """Say whether the clips at this rate (Hz) lie in the cache."""
    identities = (job.entry.identity for job in session.jobs if job.task.name == task.name)
    digest = next((i["task_digest"] for i in identities if i.get("sample_rate") == rate), "")
    return is_resampled(task, rate, session.options.cache / "audio", digest)
