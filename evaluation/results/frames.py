"""What a run came to as rows for files and as pandas DataFrames for programs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evaluation.results.score_table import ScoreTable
from evaluation.statistics.intervals import Interval, over_folds
from evaluation.statistics.overall import overall_score

if TYPE_CHECKING:
    import pandas as pd

Rows = list[list[Any]]
"""A header and the cells below it, "" where there is nothing."""


def overall_frame(results: ScoreTable) -> dict[str, dict[str, Interval]]:
    """Return s(m) over runs and over means by their names in tables; {} where they would say nothing."""
    if not results.ranked:
        return {}
    pool, scores = results.run_pool(), results.complete_scores()
    return {f"s(m) {kind}": overall_score(scores, pool, extremes=kind) for kind in ("runs", "means")}


def score_rows(results: ScoreTable) -> Rows:
    """Return one row per model, task and seed."""
    rows: Rows = [["model", "mark", "task", "metric", "unit", "seed", "score"]]
    for model in results.models:
        for column in results.columns:
            scores = results.scores.get(model, {}).get(column.task, [])
            for seed, score in zip(results.seeds(model, column.task), scores, strict=True):
                what = [model, results.marks.get(model, ""), column.task, column.metric, column.unit]
                rows.append([*what, seed, column.scale(score)])
    return rows


def summary_rows(results: ScoreTable) -> Rows:
    """Return one row per model and task, and the averages and overall scores of each model."""
    rows: Rows = [["model", "mark", "task", "metric", "unit", "n_seeds", "mean", "half_width_95"]]
    for model in results.models:
        mark = results.marks.get(model, "")
        for column in results.columns:
            if (cell := results.interval(model, column)) is not None:
                what = [model, mark, column.task, column.metric, column.unit]
                rows.append([*what, cell.n, cell.mean, _number_in_frame(cell.half_width)])
        if (average := results.average(model)) is not None:
            rows.append([model, mark, "average", "", "", "", average, ""])
        for name, scores in overall_frame(results).items():
            if model in scores:
                cell = scores[model]
                rows.append(
                    [model, mark, name, "", "%", cell.n, cell.mean, _number_in_frame(cell.half_width)]
                )
    return rows


def fold_rows(results: ScoreTable) -> Rows:
    """Return every score of every fit that counts and, over folds, their mean and standard deviation."""
    rows: Rows = [["model", "mark", "task", "seed", "test", "score", "value"]]
    for fits in results.fits:
        what = [fits.model, results.marks.get(fits.model, ""), fits.task, fits.seed]
        for fold in fits.folds:
            rows += [[*what, fold.key.test, name, value] for name, value in fold.scores.items()]
        if len(fits.folds) > 1:
            for name, (mean, deviation) in over_folds([fold.scores for fold in fits.folds]).items():
                rows += [[*what, "mean", name, mean], [*what, "std", name, deviation]]
    return rows


def overall_rows(results: ScoreTable) -> Rows:
    """Return one row per model: its average, and s(m) over runs with its interval and over means."""
    header = ["model", "mark", "average", "s_runs", "s_runs_half_width_95", "s_means", "pool"]
    rows: Rows = [header]
    found = overall_frame(results)
    pool = results.run_pool().title if found else ""
    for model in results.models:
        average = results.average(model)
        runs, means = (found.get(f"s(m) {kind}", {}).get(model) for kind in ("runs", "means"))
        cells = [runs.mean, _number_in_frame(runs.half_width)] if runs else ["", ""]
        rows.append(
            [
                model,
                results.marks.get(model, ""),
                "" if average is None else average,
                *cells,
                means.mean if means else "",
                pool if runs else "",
            ]
        )
    return rows


def data_frame(rows: Rows, numbers: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a DataFrame; the columns called `numbers` are numeric, NaN where there is nothing."""
    import pandas as pd

    header, *cells = rows
    found = pd.DataFrame(cells, columns=header)
    for name in numbers:
        if name in found:
            found[name] = pd.to_numeric(found[name].replace("", math.nan))
    return found


def _number_in_frame(value: float) -> float | str:
    return "" if math.isnan(value) else value
