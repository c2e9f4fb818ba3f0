"""What a run came to, from its directory alone: run.json says what was asked for, the ledger what is done.

A running and a finished run give their results by the same way: `Session.results` and `read_run` both end in
`assemble`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.models.spec import ModelSpec
from evaluation.results.job import PlannedJob
from evaluation.results.ledger import Ledger
from evaluation.results.run_file import LEDGER_FILE, RUN_FILE, not_a_run, read_run_file
from evaluation.results.score_table import Column, ScoreTable, SeedFits
from evaluation.shapes import json_misfit
from tasks.names import printable


@dataclass(frozen=True)
class Frame:
    """What the tables of a run show beside the scores; stands in run.json as `results`.

    `digests` has [task, sample rate, hash of the content]; the rest is as in `ScoreTable`.
    """

    models: Sequence[str]
    marks: Mapping[str, str]
    fingerprints: Mapping[str, str | None]
    digests: Sequence[tuple[str, int, str]]
    protocol: str
    notes: Sequence[str]
    jobs: Sequence[PlannedJob]
    synthetic: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def assemble(frame: Frame, ledger: Ledger, specs: Mapping[str, ModelSpec]) -> ScoreTable:
    """Return what is finished, ready for the tables."""
    scores: dict[str, dict[str, list[float]]] = {}
    fits = []
    for job in frame.jobs:
        if (seeds := job.seed_records(ledger)) is not None:
            task, metric = job.column.task, job.column.metric
            if not all(metric in fit.scores for folds in seeds for fit in folds):
                raise EvaluationError(
                    f"{ledger.path} has fits of {printable(job.model)} on {printable(task)} without "
                    f"{printable(metric)}, which the tables show; remove their lines and run the run's "
                    "command again"
                )
            found = [float(np.mean([fit.scores[metric] for fit in folds])) for folds in seeds]
            scores.setdefault(job.model, {})[task] = found
            pairs = zip(job.ordered(), seeds, strict=True)
            fits += [SeedFits(job.model, task, seed, folds) for (seed, _), folds in pairs]
    notes = list(frame.notes)
    others = len(ledger.records) - len(set().union(*(job.done(ledger) for job in frame.jobs)))
    if others:
        notes.append(
            f"This run's ledger also holds {others} fits of other models, tasks, seeds or presets, not "
            "shown here: models, tasks and seeds of one command share a table; another preset wants another "
            "--run."
        )
    return ScoreTable(
        models=list(frame.models),
        columns=list(dict.fromkeys(job.column for job in frame.jobs)),
        scores=scores,
        marks=dict(frame.marks),
        notes=notes,
        fits=fits,
        protocol=frame.protocol,
        fingerprints=dict(frame.fingerprints),
        digests={(task, rate): digest for task, rate, digest in frame.digests},
        synthetic=frame.synthetic,
        specs=specs,
    )


def read_run(directory: Path) -> ScoreTable:
    """Return the results of a run, finished or not, from its directory alone.

    Raises EvaluationError, naming the file, when it is no run's directory or a file in it is damaged.
    """
    specs = model_specs(read_run_file(directory))
    return assemble(read_frame(directory), Ledger(directory / LEDGER_FILE), specs)


def model_specs(run: Mapping[str, Any]) -> dict[str, ModelSpec]:
    """Return what the models of a run.json are, by their labels."""
    return {
        model["label"]: ModelSpec(model["module"], model["weights"], model["options"], model.get("layer", ""))
        for model in run["models"]
    }


FRAME_SHAPE = {
    "models": [str],
    "marks": {str: str},
    "fingerprints": {str: (str, None)},
    "digests": [[(str, int)]],
    "protocol": str,
    "notes": [str],
    "jobs": [
        {
            "model": str,
            "column": {"task": str, "metric": str, "short": str, "budget?": float, "published?": str},
            "embedding": str,
            "tests": [str],
            "points": [str],
            "orders": [[int]],
            "minimised": bool,
            "seeds?": [int],
        }
    ],
    "synthetic?": bool,
}


def read_frame(directory: Path) -> Frame:
    """Return what a run was asked for, from its run.json; raises EvaluationError as `read_run` does."""
    content = read_run_file(directory)["results"]
    reason = json_misfit(content, FRAME_SHAPE, "results") or _nonsense_in_run_file(content)
    if reason:
        raise not_a_run(directory / RUN_FILE, reason)
    try:
        jobs = [PlannedJob(**{**job, "column": Column(**job["column"])}) for job in content["jobs"]]
        return Frame(**{**content, "jobs": jobs})
    except TypeError as error:  # a field that this version does not know
        raise not_a_run(directory / RUN_FILE, str(error)) from error


def _nonsense_in_run_file(content: Mapping[str, Any]) -> str:
    """Return what is wrong with a frame of the right shape, "" when nothing is."""
    if not content["jobs"]:
        return "results.jobs is empty"
    if any(len(digest) != 3 for digest in content["digests"]):
        return "results.digests holds no triples"
    for place, job in enumerate(content["jobs"]):
        if job["model"] not in content["models"]:
            return f"results.jobs[{place}].model is not among results.models"
        if not job["tests"] or not job["orders"]:
            return f"results.jobs[{place}] has no tests or no seeds"
        if job.get("seeds") and len(set(job["seeds"])) != len(job["orders"]):
            return f"results.jobs[{place}].seeds are not one for each of its orders"
        if not all(order and 0 <= min(order) <= max(order) < len(job["points"]) for order in job["orders"]):
            return f"results.jobs[{place}].orders has places that its points lack"
    return ""


def merge_runs(results: Sequence[ScoreTable]) -> ScoreTable:
    """Return several runs as one: models and tasks in order of appearance.

    What two runs hold both (the same model on the same task) must have the same scores. Raises
    EvaluationError when they differ, when a name means two models or two data sets, and for runs of
    different protocols or of sample tasks and real ones, whose scores cannot be compared.
    """
    first, *others = results
    for other in others:
        first = _pair_runs(first, other)
    return first


def _pair_runs(one: ScoreTable, two: ScoreTable) -> ScoreTable:
    if one.synthetic != two.synthetic:
        raise EvaluationError("synthetic sample tasks and real tasks cannot share a table: report them apart")
    if one.protocol != two.protocol:
        raise EvaluationError(
            f"runs of different protocols cannot share a table ({one.protocol}; {two.protocol}): "
            "report them one by one"
        )
    _check_same_runs(
        one.fingerprints, two.fingerprints, "model {} has other weights or source in another run"
    )
    _check_same_runs(one.digests, two.digests, "task {0[0]} has other content in another run")
    _check_same_runs(
        _metrics_of_runs(one), _metrics_of_runs(two), "task {} is scored differently in another run"
    )
    _check_same_runs(
        _cells_of_frame(one), _cells_of_frame(two), "{0[0]} has other scores on {0[1]} in another run"
    )
    scores = {
        model: {**one.scores.get(model, {}), **two.scores.get(model, {})}
        for model in {**one.scores, **two.scores}
    }
    known = {(fits.model, fits.task) for fits in one.fits}
    return ScoreTable(
        models=list(dict.fromkeys([*one.models, *two.models])),
        columns=list(dict.fromkeys([*one.columns, *two.columns])),
        scores=scores,
        marks={**one.marks, **two.marks},
        notes=list(dict.fromkeys([*one.notes, *two.notes])),
        fits=[*one.fits, *(fits for fits in two.fits if (fits.model, fits.task) not in known)],
        protocol=one.protocol,
        fingerprints={**one.fingerprints, **two.fingerprints},
        digests={**one.digests, **two.digests},
        synthetic=one.synthetic,
        specs={**one.specs, **two.specs},
    )


def _metrics_of_runs(results: ScoreTable) -> dict[str, tuple[str, str]]:
    return {column.task: (column.metric, column.published) for column in results.columns}


def _cells_of_frame(results: ScoreTable) -> dict[tuple[str, str], Sequence[float]]:
    return {(model, task): seeds for model, row in results.scores.items() for task, seeds in row.items()}


def _check_same_runs(one: Mapping, two: Mapping, sentence: str) -> None:
    for name in one:
        if name in two and one[name] != two[name]:
            raise EvaluationError(f"{printable(sentence.format(name))}; leave one of the runs out")
