"""The arguments of `evaluation.run`, which `evaluation.plan` takes too: what they are and what they mean."""

import argparse
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from evaluation.cache import writable_cache
from evaluation.downstream import check_trainable
from evaluation.errors import EvaluationError
from evaluation.hear_module import ModelSpec, parse_model
from evaluation.heareval_files import find_trees
from evaluation.heareval_tree import Imported, import_tree
from evaluation.models import expand
from evaluation.plan import RunOptions, short_name_of
from evaluation.protocol import HEADS, PRESETS, Preset, ProbeConfig, preset_named
from evaluation.seeds import seeds_of
from evaluation.store import cache_directory
from tasks import Task, TaskError, read_metadata, read_task, resolve
from tasks.json_files import parse_json
from tasks.sample import write_sample_tasks

DEFAULT_MODELS = ("hear_mwmae.mw_mae_t", "evaluation.baselines.hear_naive")

EPILOG = """\
examples:
  hear-eval run --tasks all
      ten synthetic sample tasks, the bundled MW-MAE and HEAR-Naive: no data and no network needed
  hear-eval run --tasks all --tasks-dir /data/hear/tasks --models my_model@weights.pt
      every task in that directory with the paper's protocol, ten seeds
  hear-eval run --tasks esc50 NS-5h --tasks-dir D --models a b@c.safetensors --run first
      two tasks, two models; run it again to go on where it stopped
  hear-eval run --import-heareval embeddings --preset hear2021
      all embeddings that heareval made, without sound and without the models
  hear-eval run --tasks esc50 --tasks-dir D --models a --head knn --budget 1 10 100
      nearest neighbours instead of networks, with 1, 10 and 100 per cent of the training clips
  hear-eval run --tasks esc50 --tasks-dir D --models a --probe lr=[1e-4,1e-3] shuffle=true
      other numbers than the preset's; tables say so
  hear-eval run --tasks esc50 --tasks-dir D --models hear_mwmae.mw_mae_b@W --layers all
      every layer of the encoder instead of the last, each a row of the table

A run is a folder results/RUN with run.json, ledger.jsonl (every finished fit), details.jsonl (scores of every
class, confusion matrices) and tables/. The same command again does only what is missing. Embeddings are kept
in the cache ($HEAR_MWMAE_CACHE) and shared by all runs.

Where no event is detected the F-measure of a timestamp task is undefined and counts as 0, at validation
checks too; heareval would end the training there.
"""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="hear-eval run",
        description="Evaluate HEAR modules: embed, train the shallow classifiers of every seed, tabulate.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what(result.add_argument_group("what to evaluate"))
    _add_how(result.add_argument_group("how"))
    _add_where(result.add_argument_group("where"))
    return result


def _add_what(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--tasks",
        nargs="+",
        default=["all"],
        metavar="TASK",
        help="all (default), names (esc50, ESC-50, a directory's name) or paths of task directories",
    )
    what.add_argument(
        "--tasks-dir",
        type=Path,
        default=os.environ.get("HEAR_TASKS_DIR") or None,
        metavar="D",
        help="folder of HEAR task directories (default: $HEAR_TASKS_DIR, else the sample tasks)",
    )
    what.add_argument(
        "--models",
        nargs="+",
        metavar="MODULE[@WEIGHTS]",
        help="importable HEAR modules, each with optional weights; table1 stands for all of Table 1, see "
        f"hear-eval models (default: {' '.join(DEFAULT_MODELS)})",
    )
    what.add_argument(
        "--skip-missing", action="store_true", help="leave out systems of table1 whose weights are not here"
    )
    what.add_argument(
        "--model-options",
        nargs="+",
        default=[],
        metavar="[MODULE=]JSON",
        help="keyword arguments for load_model, of every model or of one: "
        'hear_mwmae.mae_b=\'{"precision": "bf16"}\'',
    )
    what.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="probe layers instead of what the module gives by itself: all, last or names, each a row of the "
        "table called MODULE[layer=NAME]; for modules that expose their layers (see evaluation.hear_module), "
        "which hear_mwmae's do: block1, block2, ..., norm",
    )
    what.add_argument(
        "--import-heareval",
        type=Path,
        metavar="DIR",
        help="evaluate embeddings that heareval made, instead of models: its folder of a task, of a model or "
        "of all models; needs no sound",
    )
    what.add_argument(
        "--allow-random-init", action="store_true", help="accept models without trained weights, marked so"
    )


def _add_how(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--seeds",
        default="10",
        metavar="N",
        help="how many: 10 (default) are the seeds 0 to 9; or which ones: 0-9, 3,5,42, and for a single one "
        "42, with the comma",
    )
    how.add_argument(
        "--preset",
        metavar="NAME",
        help="; ".join(f"{p.name}: {p.description}" for p in PRESETS).replace("%", "%%")
        + " (default: mwmae, but quick on sample tasks)",
    )
    how.add_argument(
        "--probe",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change numbers of the preset; a list is a grid: lr=1e-3 dropout=[0.1,0.5] shuffle=true, or one "
        "JSON object. Names: grid_points (how many of the grid each seed tries), C (with --head linear), "
        "k (with --head knn), " + ", ".join(field.name for field in fields(ProbeConfig)),
    )
    how.add_argument(
        "--head",
        choices=HEADS,
        default="mlp",
        help="what is put on the embeddings: the preset's network (mlp, default), logistic regression on "
        "standardised embeddings (linear), or cosine nearest neighbours (knn); in the last two nothing is "
        "random, so they have one seed, and no number of the preset",
    )
    how.add_argument(
        "--budget",
        nargs="+",
        type=float,
        default=[100.0],
        metavar="PERCENT",
        help="shares of the training clips, each a column: 1 5 10 100 (default: 100)",
    )
    how.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: cuda if present)")
    how.add_argument(
        "--max-memory",
        type=float,
        default=1.5,
        metavar="GB",
        help="for the networks that train at a time (default: 1.5)",
    )


def _add_where(where: argparse._ArgumentGroup) -> None:
    where.add_argument("--run", metavar="NAME", help="name of the run (default: default, or sample)")
    where.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="where runs are kept (default: ./results)",
    )
    where.add_argument("--cache", type=Path, metavar="DIR", help=f"default: {cache_directory()}")
    where.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with what the run's ledger holds (default); --no-resume sets the old ledger aside",
    )
    where.add_argument(
        "--save-predictions",
        action="store_true",
        help="keep what every fit that counts predicts of its test part, RUN/predictions/**.npz",
    )
    where.add_argument(
        "--export-heareval",
        type=Path,
        metavar="DIR",
        help="at the end, write embeddings and scores as heareval would have left them",
    )
    where.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="at the end, write statistics, figures and report.html (default); "
        "hear-eval report RUN does it later",
    )
    where.add_argument("--plan-only", action="store_true", help="print the plan and stop")


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
