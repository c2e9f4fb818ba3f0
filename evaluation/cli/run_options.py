"""The options of a run from its command line."""

import argparse
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from evaluation.cli.run_parser import DEFAULT_MODELS
from evaluation.embedding.cache import writable_cache
from evaluation.embedding.store import Imported
from evaluation.errors import EvaluationError
from evaluation.files import cache_directory
from evaluation.heareval.files import find_trees
from evaluation.heareval.importing import import_tree
from evaluation.models.spec import ModelSpec, parse_model
from evaluation.models.systems import expand
from evaluation.probes.data import check_trainable
from evaluation.probes.presets import Preset, preset_named
from evaluation.runs.notes import short_name_of
from evaluation.runs.plan import RunOptions
from evaluation.runs.seeds import seeds_of
from tasks import Task, TaskError, read_metadata, read_task, resolve
from tasks.json_files import parse_json
from tasks.sample.tasks import write_sample_tasks


def options_from(arguments: argparse.Namespace) -> tuple[RunOptions, list[str]]:
    """Turn the command line into values, and sentences on broken tasks among `--tasks all`.

    Raises EvaluationError or TaskError for what cannot be meant.
    """
    seeds = seeds_of(arguments.seeds)
    if not 0 < arguments.max_memory < float("inf"):
        raise EvaluationError(f"--max-memory {arguments.max_memory}: give a number of GB above 0")
    for budget in arguments.budget:
        if not 0 < budget <= 100:
            raise EvaluationError(f"--budget {budget:g}: give per cent above 0 and up to 100")
    cache = writable_cache(arguments.cache or cache_directory())
    models, imported = _models(arguments), _imported(arguments, cache)
    tasks, broken = _tasks(arguments, cache, imported)
    synthetic = all(task.metadata.synthetic for task in tasks)
    name = arguments.run or ("sample" if synthetic else "default")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise EvaluationError(f"--run '{name}': use letters, digits, '.', '_' and '-' only")
    preset = _preset(arguments, synthetic)
    tasks = _with_preset(tasks, preset, broken if "all" in arguments.tasks else None)
    options = RunOptions(
        models=models,
        tasks=tasks,
        preset=preset,
        seeds=seeds if preset.random else seeds[:1],
        budgets=sorted(set(arguments.budget)),
        directory=arguments.results / name,
        cache=cache,
        device=arguments.device,
        max_bytes=arguments.max_memory * 1e9,
        allow_random_init=arguments.allow_random_init,
        resume=arguments.resume,
        save_predictions=arguments.save_predictions,
        layers=arguments.layers,
        imported=[item for item in imported if item.task.name in {task.name for task in tasks}],
    )
    return options, broken


def _models(arguments: argparse.Namespace) -> list[ModelSpec]:
    """Read the models with their options; one that is named twice is evaluated once."""
    for_all: dict = {}
    for_one: dict[str, dict] = {}
    for text in arguments.model_options:
        module, _, value = ("", "", text) if text.lstrip().startswith("{") else text.partition("=")
        if module:
            for_one[module] = _json_object(value, "--model-options", '{"name": 1}')
        else:
            for_all |= _json_object(value, "--model-options", '{"name": 1}')
    texts, left_out = expand(
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


def _preset(arguments: argparse.Namespace, synthetic: bool) -> Preset:
    """Return the preset with the head and the numbers that were asked for."""
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
    preset = preset_named(arguments.preset or ("quick" if synthetic else "mwmae"))
    return preset.with_head(arguments.head).changed(changes)


def _with_preset(tasks: Sequence[Task], preset: Preset, broken: list[str] | None) -> list[Task]:
    """Return the tasks whose own grid the preset can take; what is wrong with others goes to `broken`.

    Raises EvaluationError for the first such task when that is None, or when none is left.
    """
    kept = []
    for task in tasks:
        try:
            preset.for_task(task.metadata)
            kept.append(task)
        except EvaluationError as error:
            if broken is None or len(tasks) == 1:
                raise
            broken.append(str(error))
    if not kept:
        raise EvaluationError(broken[-1])
    return kept


def _imported(arguments: argparse.Namespace, cache: Path) -> list[Imported]:
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


def _tasks(
    arguments: argparse.Namespace, cache: Path, imported: Sequence[Imported]
) -> tuple[list[Task], list[str]]:
    """Read the tasks that were named, or take those imported.

    Also returns sentences on those of `all` that are broken and left out.
    """
    directory = arguments.import_heareval or arguments.tasks_dir
    if directory is None:
        directory = cache / "sample-tasks"
        if not all(Path(name).is_dir() for name in arguments.tasks):
            _write_samples(directory)
    there = list({item.task.name: item.task for item in imported}.values())
    tasks, broken = [], []
    for candidate in there or resolve(arguments.tasks, directory):
        try:
            task = candidate if isinstance(candidate, Task) else read_task(candidate)
            check_trainable(task)
            tasks.append(task)
        except (TaskError, EvaluationError) as error:
            if "all" not in arguments.tasks:
                raise
            broken.append(str(error))
    if not tasks:
        raise EvaluationError(f"no task in {directory} can be evaluated: {broken[0]}")
    return tasks, broken


def _write_samples(directory: Path) -> None:
    with tqdm(desc="sample tasks", unit="clip", leave=False, delay=1, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        write_sample_tasks(directory, progress=progress)


def _json_object(text: str, option: str, example: str) -> dict:
    try:
        value = parse_json(text, option)
    except TaskError as error:
        raise EvaluationError(f"{error} Example: '{example}'") from error
    if not isinstance(value, dict):
        raise EvaluationError(f"{option} must be a JSON object such as '{example}'")
    return value
