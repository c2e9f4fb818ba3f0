"""What a run is asked to do, as values, and how tasks and protocol are chosen for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.embedding.store import Imported
from evaluation.errors import EvaluationError
from evaluation.models.spec import ModelSpec
from evaluation.probes.config import Head
from evaluation.probes.data import check_trainable
from evaluation.probes.presets import Preset, preset_named
from evaluation.progress import progress_bar
from evaluation.results.failure import Failure
from tasks import Task, TaskError, read_task, resolve
from tasks.sample.tasks import write_sample_tasks


@dataclass(frozen=True)
class RunOptions:
    """Everything that a run is asked to do, as values; `imported` stands for models that embed.

    `command` is how it was asked for. `layers` are those that are probed of every model, see
    `HearModel.at_layers`.
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
    command: Sequence[str]
    imported: Sequence[Imported] = ()
    layers: Sequence[str] = ()


def is_synthetic(tasks: Sequence[Task]) -> bool:
    """Return whether all of these are sample tasks."""
    return all(task.metadata.synthetic for task in tasks)


def run_options(
    tasks: Sequence[Task],
    *,
    strict: bool,
    preset: str | None,
    head: Head,
    changes: Mapping[str, Any],
    seeds: Sequence[int],
    run: str | None,
    results: Path,
    imported: Sequence[Imported] = (),
    **given: Any,
) -> tuple[RunOptions, list[Failure]]:
    """Return the options of a run of these tasks, and which of them its preset cannot take.

    `preset` with `head` and `changes`, `run` and `strict` are as in the functions below; `given` are the
    other fields of `RunOptions`, as they are.
    """
    name, protocol = run_name(run, tasks), chosen_preset(preset, head, changes, tasks)
    kept, unfit = with_preset(tasks, protocol, strict=strict)
    names = {task.name for task in kept}
    options = RunOptions(
        tasks=kept,
        preset=protocol,
        seeds=seeds if protocol.random else seeds[:1],
        directory=results / name,
        imported=[item for item in imported if item.task.name in names],
        **given,
    )
    return options, unfit


def run_name(name: str | None, tasks: Sequence[Task]) -> str:
    """Return the name of a run: "sample" or "default" unless one is given; EvaluationError for no name."""
    name = name or ("sample" if is_synthetic(tasks) else "default")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise EvaluationError(f"--run '{name}': use letters, digits, '.', '_' and '-' only")
    return name


def chosen_preset(name: str | None, head: Head, changes: Mapping[str, Any], tasks: Sequence[Task]) -> Preset:
    """Return a preset with the head and the numbers asked for; "quick" for samples unless one is named."""
    preset = preset_named(name or ("quick" if is_synthetic(tasks) else "mwmae"))
    return preset.with_head(head).changed(changes)


def bytes_of(gigabytes: float) -> float:
    """Return GB of memory as bytes; EvaluationError for what is no number above 0."""
    if not 0 < gigabytes < float("inf"):
        raise EvaluationError(f"--max-memory {gigabytes}: give a number of GB above 0")
    return gigabytes * 1e9


def budgets_of_run(budgets: Sequence[float]) -> list[float]:
    """Return the budgets in ascending order, each once; EvaluationError for what is no share in per cent."""
    for budget in budgets:
        if not 0 < budget <= 100:
            raise EvaluationError(f"--budget {budget:g}: give per cent above 0 and up to 100")
    return sorted(set(budgets))


def sample_tasks(cache: Path) -> Path:
    """Return the folder of the sample tasks in the cache; what is not there yet is synthesised."""
    directory = cache / "sample-tasks"
    with progress_bar(desc="sample tasks", unit="clip", delay=1) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_sample_tasks(directory, progress=progress)
    return directory


def read_tasks(names: Sequence[str], directory: Path) -> tuple[list[Task], list[Failure]]:
    """Read the tasks that are named: of a folder of tasks, or by their paths.

    A broken one of `all` is left out and returned as a failure; one that was named raises.
    """
    return usable_tasks(resolve(names, directory), directory, strict="all" not in names)


def usable_tasks(
    given: Sequence[Path | Task], directory: Path, *, strict: bool
) -> tuple[list[Task], list[Failure]]:
    """Return the tasks that can be evaluated, read where they are paths, and what is wrong with the others.

    The first mistake is raised when `strict`, or when no task is left.
    """
    tasks, broken = [], []
    for candidate in given:
        try:
            task = candidate if isinstance(candidate, Task) else read_task(candidate)
            check_trainable(task)
            tasks.append(task)
        except (TaskError, EvaluationError) as error:
            if strict:
                raise
            name = candidate.name if isinstance(candidate, Path) else candidate.path.name
            broken.append(Failure(stage="read", reason=str(error), task=name))
    if not tasks:
        raise EvaluationError(f"no task in {directory} can be evaluated: {broken[0].reason}")
    return tasks, broken


def with_preset(tasks: Sequence[Task], preset: Preset, *, strict: bool) -> tuple[list[Task], list[Failure]]:
    """Return the tasks whose own grid the preset can take, and what is wrong with the others.

    The first mistake is raised when `strict`, or when no task is left.
    """
    kept, broken = [], []
    for task in tasks:
        try:
            preset.for_task(task.metadata)
            kept.append(task)
        except EvaluationError as error:
            if strict or len(tasks) == 1:
                raise
            broken.append(Failure(stage="read", reason=str(error), task=task.name))
    if not kept:
        raise EvaluationError(broken[-1].reason)
    return kept, broken
