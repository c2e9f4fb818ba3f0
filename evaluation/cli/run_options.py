"""The options of a run from its command line."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.embedding.cache import writable_cache
from evaluation.embedding.store import Imported
from evaluation.errors import EvaluationError
from evaluation.files import cache_directory
from evaluation.heareval.files import find_trees
from evaluation.heareval.importing import import_tree
from evaluation.models.parse import parse_model
from evaluation.models.spec import ModelSpec
from evaluation.models.systems import DEFAULT_MODELS, expand_systems
from evaluation.results.failure import Failure
from evaluation.runs.columns import short_name_of
from evaluation.runs.options import (
    RunOptions,
    budgets_of_run,
    bytes_of,
    read_tasks,
    run_options,
    sample_tasks,
    usable_tasks,
)
from evaluation.runs.seeds import seeds_of
from tasks import Task, TaskError, read_metadata
from tasks.json_files import parse_json


def options_of_arguments(
    arguments: argparse.Namespace, argv: Sequence[str] | None = None
) -> tuple[RunOptions, list[Failure]]:
    """Turn the command line into values, and failures of broken tasks among `--tasks all`.

    `argv` is what was parsed; it is kept with the run.

    Raises EvaluationError or TaskError for what cannot be meant.
    """
    seeds, budgets = seeds_of(arguments.seeds), budgets_of_run(arguments.budget)
    max_bytes = bytes_of(arguments.max_memory)
    cache = writable_cache(arguments.cache or cache_directory())
    models, imported = _models_of_arguments(arguments), _imported_trees(arguments, cache)
    tasks, broken = _tasks_of_arguments(arguments, cache, imported)
    options, unfit = run_options(
        tasks,
        strict="all" not in arguments.tasks,
        preset=arguments.preset,
        head=arguments.head,
        changes=_probe_changes(arguments),
        seeds=seeds,
        run=arguments.run,
        results=arguments.results,
        imported=imported,
        models=models,
        budgets=budgets,
        cache=cache,
        device=arguments.device,
        max_bytes=max_bytes,
        allow_random_init=arguments.allow_random_init,
        resume=arguments.resume,
        save_predictions=arguments.save_predictions,
        layers=arguments.layers,
        command=[sys.executable, "-m", "evaluation.run", *(sys.argv[1:] if argv is None else argv)],
    )
    return options, broken + unfit


def _models_of_arguments(arguments: argparse.Namespace) -> list[ModelSpec]:
    """Read the models with their options; one that is named twice is evaluated once."""
    for_all: dict = {}
    for_one: dict[str, dict] = {}
    for text in arguments.model_options:
        module, _, value = ("", "", text) if text.lstrip().startswith("{") else text.partition("=")
        if module:
            for_one[module] = _json_object(value, "--model-options", '{"name": 1}')
        else:
            for_all |= _json_object(value, "--model-options", '{"name": 1}')
    texts, left_out = expand_systems(
        arguments.models or DEFAULT_MODELS,
        skip_missing=arguments.skip_missing,
        may_lack="hear_mwmae." if arguments.allow_random_init else "",
    )
    for sentence in left_out:
        warnings.warn(f"left out: {sentence}", stacklevel=2)
    modules = {text.partition("@")[0] for text in texts}
    if strangers := sorted(set(for_one) - modules):
        raise EvaluationError(f"--model-options names {strangers[0]}, which is not among --models")
    specs = [parse_model(text, for_all | for_one.get(text.partition("@")[0], {})) for text in texts]
    return list({spec.label: spec for spec in specs}.values())


def _probe_changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the numbers of the preset that `--probe` changes."""
    changes: dict = {}
    for text in arguments.probe:
        if text.lstrip().startswith("{"):
            changes |= _json_object(text, "--probe", '{"lr": 1e-3, "dropout": [0.1, 0.5]}')
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise EvaluationError(f"--probe {text}: give NAME=VALUE, such as lr=1e-3")
        try:
            changes[name] = parse_json(value, f"--probe {name}")
        except TaskError:
            changes[name] = value
    return changes


def _imported_trees(arguments: argparse.Namespace, cache: Path) -> list[Imported]:
    """Return the embeddings of `--import-heareval` for the tasks that were named; nothing without it."""
    if arguments.import_heareval is None:
        return []
    for option in ("models", "model_options", "layers"):
        if getattr(arguments, option):
            option = f"--{option.replace('_', '-')}"
            raise EvaluationError(f"{option} and --import-heareval exclude each other; leave one out")
    tasks = {folder.name: read_metadata(folder) for folder in find_trees(arguments.import_heareval)}
    known = {"all": set(tasks)}
    for name, metadata in tasks.items():
        for word in {name, metadata.task_name, metadata.base_name, short_name_of(metadata)} - {""}:
            known.setdefault(word, set()).add(name)
    if strangers := [word for word in arguments.tasks if word not in known]:
        raise EvaluationError(
            f"there is no task {strangers[0]!r} in {arguments.import_heareval}, "
            f"which holds: {', '.join(tasks)}"
        )
    wanted = set().union(*(known[word] for word in arguments.tasks))
    return import_tree(arguments.import_heareval, cache, wanted)


def _tasks_of_arguments(
    arguments: argparse.Namespace, cache: Path, imported: Sequence[Imported]
) -> tuple[list[Task], list[Failure]]:
    """Read the tasks that were named, or take those imported; also returns what is broken among `all`."""
    if imported:
        there = list({item.task.name: item.task for item in imported}.values())
        return usable_tasks(there, arguments.import_heareval, strict="all" not in arguments.tasks)
    directory = arguments.tasks_dir
    if directory is None:
        paths = all(Path(name).is_dir() for name in arguments.tasks)
        directory = cache / "sample-tasks" if paths else sample_tasks(cache)
    return read_tasks(arguments.tasks, directory)


def _json_object(text: str, option: str, example: str) -> dict:
    try:
        value = parse_json(text, option)
    except TaskError as error:
        raise EvaluationError(f"{error} Example: '{example}'") from error
    if not isinstance(value, dict):
        raise EvaluationError(f"{option} must be a JSON object such as '{example}'")
    return value
