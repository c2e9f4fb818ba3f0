"""What the commands do, for notebooks and programs: `from evaluation import evaluate, read_run`."""

import html
import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.embedding.cache import writable_cache
from evaluation.errors import EvaluationError
from evaluation.files import cache_directory
from evaluation.models.parse import model_of
from evaluation.models.spec import ModelSpec
from evaluation.models.systems import DEFAULT_MODELS, expand_systems
from evaluation.probes.config import Head
from evaluation.report.finish import finish
from evaluation.report.statistics import statistics_rows
from evaluation.report.tables import notes_below_table, scores_grid, scores_on_screen
from evaluation.results.comparison import compare
from evaluation.results.failure import Failure, read_failures
from evaluation.results.frames import data_frame, fold_rows, overall_rows, score_rows, summary_rows
from evaluation.results.reading import merge_runs
from evaluation.results.reading import read_run as read_table
from evaluation.results.run_file import read_run_file, run_directory
from evaluation.results.score_table import ScoreTable
from evaluation.runs.execute import execute
from evaluation.runs.options import (
    RunOptions,
    budgets_of_run,
    bytes_of,
    read_tasks,
    run_options,
    sample_tasks,
    usable_tasks,
)
from evaluation.runs.plan import prepare
from evaluation.runs.seeds import seeds_of
from tasks import Task

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """What one or several runs came to; in a notebook it shows itself as the table of the report.

    Attributes:
        table: The scores with all that the tables say of them.
        directories: The runs' folders.
        failures: What could not be done; each has model, task, layer, budget, stage and reason.
    """

    def __init__(self, table: ScoreTable, directories: Sequence[Path], failures: Sequence[Failure]):
        self.table, self.directories, self.failures = table, list(directories), list(failures)

    def scores(self) -> "pd.DataFrame":
        """Return one row per model, task and seed, scores as printed (per cent where `unit` says so)."""
        return data_frame(score_rows(self.table), ["seed", "score"])

    def summary(self) -> "pd.DataFrame":
        """Return mean and half width of the 95 % t-interval over seeds, per model and task and over tasks."""
        return data_frame(summary_rows(self.table), ["n_seeds", "mean", "half_width_95"])

    def folds(self) -> "pd.DataFrame":
        """Return every score of every fit that counts, as HEAR has it (shares, not per cent)."""
        return data_frame(fold_rows(self.table), ["seed", "value"])

    def overall(self) -> "pd.DataFrame":
        """Return each model's average and s(m), equation 3 of the MW-MAE paper, among the models at hand."""
        return data_frame(overall_rows(self.table), ["average", "s_runs", "s_runs_half_width_95", "s_means"])

    def statistics(self) -> "pd.DataFrame":
        """Return tests between models, ranks, and intervals over test clips; `part` says which a row is.

        Intervals over test clips need runs with `save_predictions`.
        """
        rows = statistics_rows(compare(self.table, self.directories))
        texts = {"part", "first", "second", "task", "test", "better", "model", "other", "metric", "minimised"}
        return data_frame(rows, [name for name in rows[0] if name not in texts])

    def report(self, path: str | os.PathLike | None = None) -> Path:
        """Write tables, statistics, figures and report.html to a folder; return the page's path.

        Args:
            path: The folder; by default the run's own. Several runs need one.

        Raises:
            EvaluationError: Nothing is finished, or several runs and no folder were given.
        """
        from evaluation.report.write import write_report

        if path is None and len(self.directories) > 1:
            raise EvaluationError("a report on several runs needs a folder: results.report('results/report')")
        out = Path(path) if path is not None else self.directories[0]
        _, left_out = write_report(self.directories, out)
        for sentence in left_out:
            warnings.warn(f"left out of the report: {sentence}", stacklevel=2)
        return out / "report.html"

    def __repr__(self) -> str:
        """Return the table as the terminal shows it."""
        if not self.table.scores:
            return "No task is finished yet." + "".join(f"\nfailed: {one.sentence}" for one in self.failures)
        return scores_on_screen(self.table)

    def _repr_html_(self) -> str:
        """Return the table as a notebook shows it."""
        if not self.table.scores:
            return f"<p>{html.escape(repr(self))}</p>"
        header, *rows = ([html.escape(cell) for cell in row] for row in scores_grid(self.table))
        head = "".join(f"<th>{cell}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in notes_below_table(self.table))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def evaluate(
    models: Any = None,
    tasks: str | os.PathLike | Task | Sequence[str | os.PathLike | Task] = "all",
    *,
    tasks_dir: str | os.PathLike | None = None,
    preset: str | None = None,
    head: Head = "mlp",
    probe: Mapping[str, Any] | None = None,
    seeds: int | str | Sequence[int] = 10,
    budgets: float | Sequence[float] = (100.0,),
    layers: str | Sequence[str] = (),
    model_options: Mapping[str, Any] | None = None,
    run: str | None = None,
    results: str | os.PathLike = "results",
    cache: str | os.PathLike | None = None,
    device: str = "auto",
    max_memory: float = 1.5,
    allow_random_init: bool = False,
    skip_missing: bool = False,
    resume: bool = True,
    save_predictions: bool = False,
) -> Results:
    """Embed, train the shallow classifiers of every seed, and return the scores, as `hear-eval run` does.

    The same call again does only what is missing: the run is kept in `results`/`run`. Without `tasks_dir` (or
    `$HEAR_TASKS_DIR`) the ten synthetic sample tasks are evaluated, whose scores say nothing of real ones.

    Args:
        models: A HEAR module, its name (`"my_model@weights.pt"`), an object with HEAR's functions, or several
            of these; `"table1"` stands for all of Table 1. By default the bundled MW-MAE and HEAR-Naive.
        tasks: "all", names such as "esc50" or "ESC-50", paths of task directories, tasks read before.
        tasks_dir: Folder of HEAR task directories.
        preset: Protocol, see `hear-eval run --help`; by default "mwmae", and "quick" on sample tasks.
        head: "mlp", "linear" or "knn".
        probe: Numbers other than the preset's, such as `{"lr": [1e-4, 1e-3]}`; a list is a grid.
        seeds: How many, or which ones, also as the command takes them ("0-9").
        budgets: Shares of the training clips in per cent, each a column.
        layers: Layers that are probed: "all", "last" or names.
        model_options: Keyword arguments for `load_model` of every model.
        run: Name of the run; by default "default", or "sample" on sample tasks.
        results: Folder where runs are kept.
        cache: Folder of embeddings; by default `$HEAR_MWMAE_CACHE` or the user's cache.
        device: "auto", "cpu", "cuda", ...
        max_memory: GB for the networks that train at a time.
        allow_random_init: Accept models without trained weights; every table marks them.
        skip_missing: Leave out systems of "table1" whose weights are not on this machine.
        resume: Go on with what the run's ledger holds; False sets it aside.
        save_predictions: Keep what every fit that counts predicts, for intervals over test clips.

    Returns:
        The scores of all that is finished; what failed is in its `failures`, and warned of.

    Raises:
        EvaluationError: What cannot be meant, a model that does not load, or nothing that could be evaluated.
        tasks.TaskError: A task that was named and cannot be read.
        KeyboardInterrupt: The user's; what is finished is kept and the same call goes on.

    Example:
        >>> from evaluation import evaluate  # doctest: +SKIP
        >>> evaluate(["my_model@weights.pt", "evaluation.baselines.hear_naive"], seeds=3)  # doctest: +SKIP
    """
    asked = _options_of_call(locals())
    one = isinstance(seeds, int | str | np.integer)
    chosen = seeds_of(str(seeds) if one else "".join(f"{seed}," for seed in np.atleast_1d(seeds)))
    shares = budgets_of_run(np.atleast_1d(budgets).tolist())
    max_bytes = bytes_of(max_memory)
    place = writable_cache(Path(cache) if cache is not None else cache_directory())
    specs = _specs_of(models, model_options or {}, skip_missing, allow_random_init)
    found, broken = _tasks_of_call(tasks, tasks_dir, place)
    options, unfit = run_options(
        found,
        strict=not (isinstance(tasks, str) and tasks == "all"),
        preset=preset,
        head=head,
        changes=probe or {},
        seeds=chosen,
        run=run,
        results=Path(results),
        models=specs,
        budgets=shares,
        cache=place,
        device=device,
        max_bytes=max_bytes,
        allow_random_init=allow_random_init,
        resume=resume,
        save_predictions=save_predictions,
        layers=[layers] if isinstance(layers, str) else layers,
        command=["evaluate", *asked],
    )
    return _carry_out(options, broken + unfit)


def _options_of_call(given: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `evaluate` that are not its defaults, as they are written in a call."""
    defaults = {name: one.default for name, one in inspect.signature(evaluate).parameters.items()}
    return [
        f"{name}={value!r}"
        for name, value in given.items()
        if type(value) is not type(defaults[name]) or value != defaults[name]
    ]


def _carry_out(options: RunOptions, broken: Sequence[Failure]) -> Results:
    """Do the run; what is finished is in its tables, also after Ctrl-C."""
    session = prepare(options)
    session.failures += broken
    try:
        execute(session)
    except KeyboardInterrupt:
        finish(session)
        raise
    table = finish(session)
    for failure in session.failures:
        warnings.warn(f"failed: {failure.sentence}", stacklevel=3)
    return Results(table, [options.directory], session.failures)


def read_run(*runs: str | os.PathLike) -> Results:
    """Return the results of a run, finished or not, or of several runs of one protocol together.

    Args:
        runs: Folders of runs, or their names in results/.

    Raises:
        EvaluationError: A folder that is no run's, a damaged file, or runs that cannot share a table.
    """
    if not runs:
        raise EvaluationError("name a run, such as read_run('results/default')")
    directories = [run_directory(Path(run)) for run in runs]
    table = merge_runs([read_table(directory) for directory in directories])
    failures = [one for directory in directories for one in read_failures(read_run_file(directory))]
    return Results(table, directories, failures)


def _specs_of(
    given: Any, options: Mapping[str, Any], skip_missing: bool, allow_random_init: bool
) -> list[ModelSpec]:
    """Return the models meant, each once."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    if not several:
        raise EvaluationError("models is empty: name a HEAR module, or leave the argument out")
    specs = []
    for model in DEFAULT_MODELS if given is None else several:
        names = [model]
        left_out: list[str] = []
        if isinstance(model, str):
            may_lack = "hear_mwmae." if allow_random_init else ""
            names, left_out = expand_systems([model], skip_missing=skip_missing, may_lack=may_lack)
        for sentence in left_out:
            warnings.warn(f"left out: {sentence}", stacklevel=3)
        specs += [model_of(name, options) for name in names]
    return list({spec.label: spec for spec in specs}.values())


def _tasks_of_call(
    given: Any, tasks_dir: str | os.PathLike | None, cache: Path
) -> tuple[list[Task], list[Failure]]:
    """Return the tasks meant, and what is broken among "all"."""
    named = [given] if isinstance(given, str | os.PathLike | Task) else list(given)
    tasks = [task for task in named if isinstance(task, Task)]
    names = [os.fspath(task) for task in named if not isinstance(task, Task)]
    if not named:
        raise EvaluationError("tasks is empty: name a task, or leave the argument out for all")
    broken: list[Failure] = []
    folder = tasks_dir or os.environ.get("HEAR_TASKS_DIR")
    if names:
        paths = all(Path(name).is_dir() for name in names)
        directory = Path(folder) if folder else cache / "sample-tasks" if paths else sample_tasks(cache)
        read, broken = read_tasks(names, directory)
        tasks += read
    else:
        tasks, _ = usable_tasks(tasks, Path(), strict=True)
    return tasks, broken
