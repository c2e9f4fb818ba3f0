"""The statistics as a person reads them (`statistics.md`) and as a program does (`statistics.csv`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation.escape import csv_text, markdown
from evaluation.files import write_atomically
from evaluation.metrics.table import shown_metric
from evaluation.report.sheet import Cell, Entry, Sheet, markdown_item
from evaluation.report.tables import who_is_who
from evaluation.results.comparison import ClipInterval, Comparison, Detectable, PairedTest, Ranks
from evaluation.results.frames import Rows
from evaluation.results.score_table import ScoreTable
from evaluation.statistics.overall import Formula, Scores, formula_scores, leave_one_out
from evaluation.statistics.pools import Pool
from evaluation.statistics.significance import ALPHA

COVERS = (
    "± in the tables, the t-interval over seeds, covers the classifier's initial weights and dropout, on the "
    "test clips as they are.",
    "The interval over test clips covers which clips happen to be in the test part, with the classifiers as "
    "they are.",
    "Tests on one task pair seeds and cover what the t-interval covers: a small p says that other seeds "
    "would give the same order on these clips, not that other clips would.",
    "Tests over tasks pair tasks, each with its mean over seeds, and cover the choice of tasks.",
    "Nothing here covers the training of the representation itself: a model is one checkpoint.",
)
"""Which variance each part covers."""

Name = Callable[[str], str]

MOST_ROWS = 60
"""A table of more rows is not read; its numbers are in `statistics.csv` alone."""


def write_statistics(results: ScoreTable, comparison: Comparison, directory: Path) -> None:
    """Write `statistics.md` and `statistics.csv`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "statistics.md", statistics_markdown(results, comparison))
    write_atomically(directory / "statistics.csv", csv_text(statistics_rows(comparison)))


def statistics_markdown(results: ScoreTable, comparison: Comparison) -> str:
    """Return the statistics with the sentences that must stand beside them."""
    covers = "\n".join(map(markdown_item, COVERS))
    sheets = [sheet.markdown() for sheet in statistics_sheets(results, comparison)]
    csv_only = f"Every pair on every task: {len(comparison.per_task)} rows, in statistics.csv only."
    long = [csv_only] if len(comparison.per_task) > MOST_ROWS else []
    notes = [markdown(note, code=True, block=True) for note in (*results.notes, *comparison.notes, *long)]
    parts = ["# Statistics", *notes, covers, *sheets, who_is_who(results).lstrip("\n")]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def statistics_sheets(results: ScoreTable, comparison: Comparison) -> list[Sheet]:
    """Return the statistics as tables a person reads, those that could be computed."""
    name, found = results.name, []
    if comparison.over_tasks:
        found.append(_pair_sheet(comparison, name))
    if comparison.ranks is not None:
        found.append(_rank_sheet(comparison.ranks, name))
    if comparison.per_task and (sheet := task_sheet(comparison, name)) is not None:
        found.append(sheet)
    if any(not clip.other for clip in comparison.clips):
        found.append(_clip_sheet(comparison, name))
    if comparison.detectable:
        found.append(_detectable_sheet(comparison))
    return found


def _pair_sheet(comparison: Comparison, name: Name) -> Sheet:
    """Return one row per pair of models: over all tasks, and on how many tasks each is better."""
    seeds = any(test.p is not None for test in comparison.per_task)
    clips = [clip for clip in comparison.clips if clip.other]
    header = ["first", "second", "first - second", "p", "p (Holm)", "better"]
    header += ["tasks won, seeds"] * seeds + ["tasks won, clips"] * bool(clips)
    rows = []
    for test in comparison.over_tasks:
        pair = (test.first, test.second)
        row = [name(test.first), name(test.second), _signed_difference(test.difference), *_p_values(test)]
        row.append(_verdict_of_test(test, name))
        if seeds:
            row.append(_wins_of_pairs(pair, [t for t in comparison.per_task if (t.first, t.second) == pair]))
        if clips:
            row.append(_wins_of_pairs(pair, [c for c in clips if (c.model, c.other) == pair]))
        rows.append(row)
    notes = [
        f"Mean difference over {comparison.over_tasks[0].n} tasks; Wilcoxon's signed-rank test over tasks, p "
        "corrected for all pairs of models (Holm)."
    ]
    if seeds or clips:
        notes.append(
            "Tasks won, a : b of c: of c tasks, the first model is better on a and the second on b "
            + ("by the test over seeds" if seeds else "")
            + (" and " if seeds and clips else "")
            + ("by the 95 % interval over test clips (not corrected)" if clips else "")
            + "; on the others they are not told apart."
        )
    return Sheet("over_tasks", "Pairs of models over all tasks", header, rows, notes)


def _wins_of_pairs(pair: tuple[str, str], found: Sequence[PairedTest | ClipInterval]) -> str:
    first, second = (sum(item.better == model for item in found) for model in pair)
    return f"{first} : {second} of {len(found)}" if found else ""


def task_sheet(comparison: Comparison, name: Name) -> Sheet | None:
    """Return one row per pair and task, None where they are too many or nothing is known but the means."""
    clips = {(c.task, c.model, c.other): c for c in comparison.clips if c.other}
    seeds = any(test.p is not None for test in comparison.per_task)
    if len(comparison.per_task) > MOST_ROWS or not (seeds or clips):
        return None
    header = ["task", "first", "second", "first - second"]
    header += ["p", "p (Holm)", "better, seeds"] * seeds
    header += ["low", "high", "better, clips"] * bool(clips)
    rows = []
    for test in comparison.per_task:
        row = [test.task, name(test.first), name(test.second), _signed_difference(test.difference)]
        if seeds:
            row += [*_p_values(test), _verdict_of_test(test, name)]
        if clips:
            clip = clips.get((test.task, test.first, test.second))
            row += (
                [_signed_difference(clip.low), _signed_difference(clip.high), _verdict_of_test(clip, name)]
                if clip
                else [""] * 3
            )
        rows.append(row)
    notes = ["p: paired permutation test over seeds, corrected for all pairs on the task (Holm)."] * seeds
    if clips:
        notes.append("low, high: 95 % bootstrap interval of the difference over test clips, not corrected.")
    return Sheet("per_task", "Pairs of models on each task", header, rows, notes)


def _signed_difference(difference: float) -> str:
    return f"{round(difference, 2) + 0.0:+.2f}"  # no "-0.00"


def _p_values(test: PairedTest) -> list[str]:
    return ["" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}" for p in (test.p, test.p_holm)]


def _verdict_of_test(found: PairedTest | ClipInterval, name: Name) -> str:
    """Return which model is better; nothing where there was no test."""
    if isinstance(found, PairedTest) and found.p is None:
        return ""
    return name(found.better) if found.better else "not told apart"


def _rank_sheet(ranks: Ranks, name: Name) -> Sheet:
    rows = []
    for model, rank in ranks.mean.items():
        low, high = ranks.intervals[model]
        rows.append([name(model), f"{rank:.2f}", f"{low:.2f} to {high:.2f}"])
    caption = f"Mean ranks over {ranks.n_tasks} tasks (1 is best)"
    header = ["model", "mean rank", "95 % interval over tasks and seeds"]
    return Sheet("ranks", caption, header, rows, list(_rank_notes(ranks, name)))


def _rank_notes(ranks: Ranks, name: Name) -> Iterator[str]:
    if ranks.friedman_p is None:
        yield "Friedman's test needs three models; it is left out."
    else:
        chi2 = f"chi-square {ranks.friedman_chi2:.2f}, p = {ranks.friedman_p:.2g}"
        verdict = "rejected" if ranks.friedman_p < ALPHA else "NOT rejected, so that no two are told apart"
        yield f"That all models are alike is {verdict} by Friedman's test ({chi2})."
    yield (
        f"Mean ranks less than {ranks.critical_difference:.2f} apart are not told apart (Nemenyi's critical "
        "difference at 0.05)."
    )
    for clique in ranks.cliques:
        if len(clique) > 1:
            yield f"Not told apart: {', '.join(map(name, clique))}."


def _clip_sheet(comparison: Comparison, name: Name) -> Sheet:
    """Return models down and tasks across, as in the table of scores."""
    own = {(clip.model, clip.task): clip for clip in comparison.clips if not clip.other}
    models, tasks = (list(dict.fromkeys(key[place] for key in own)) for place in (0, 1))
    rows = []
    for model in models:
        cells = [own.get((model, task)) for task in tasks]
        rows.append(
            [name(model), *(f"{c.value:.1f} ({c.low:.1f} to {c.high:.1f})" if c else "" for c in cells)]
        )
    sizes = {clip.task: clip.n_clips for clip in own.values()}
    notes = [
        "Score and 95 % percentile interval of a bootstrap over test clips; every part is resampled by "
        f"itself. Test clips: {', '.join(f'{task} {n}' for task, n in sizes.items())}.",
    ]
    resampled = {clip.metric: shown_metric(clip.metric).resampled_note for clip in own.values()}
    notes += [note for note in resampled.values() if note]
    return Sheet("clips", "Scores with intervals over test clips", ["model", *tasks], rows, notes)


def _detectable_sheet(comparison: Comparison) -> Sheet:
    rows = [
        [d.task, str(d.n), f"{d.deviation:.2f}", "" if d.difference is None else f"{d.difference:.2f}"]
        for d in comparison.detectable
    ]
    note = (
        "Between two models with so many seeds each, found with power 0.8 at 0.05 (two-sided t-test, "
        "standard deviation over seeds pooled over the models); for one comparison, not corrected for many."
    )
    header = ["task", "seeds", "deviation over seeds", "smallest difference"]
    return Sheet("detectable", "Smallest difference that these seeds show", header, rows, [note])


def statistics_rows(comparison: Comparison) -> Rows:
    """Return one row per statistic: which part it is of, and its numbers; "" where there is none."""
    lines: list[dict] = []
    for part in ("over_tasks", "per_task", "clips", "detectable"):
        for item in getattr(comparison, part):
            better = {} if isinstance(item, Detectable) else {"better": item.better}
            lines.append({"part": part, **asdict(item), **better})
    if (ranks := comparison.ranks) is not None:
        for model, rank in ranks.mean.items():
            low, high = ranks.intervals[model]
            lines.append({"part": "rank", "model": model, "value": rank, "low": low, "high": high})
        lines.append({"part": "critical_difference", "value": ranks.critical_difference})
        lines.append({"part": "friedman", "value": ranks.friedman_chi2, "p": ranks.friedman_p})
    header = list(dict.fromkeys(name for line in lines for name in line))
    return [header, *([line.get(name, "") for name in header] for line in lines)]


def overall_sheet(scores: Scores, pool: Pool, name: Name, *, formula: Formula) -> Sheet:
    """Return the overall scores with the pool beside them and how much they depend on its single members.

    `scores` are in the pool's units; `name` gives models as tables show them. Raises EvaluationError when the
    formula needs HEAR-Naive and the pool has none.
    """
    left = leave_one_out(scores, pool, formula=formula)
    moves = any(left.values())
    rows: list[list[Entry]] = []
    for model, cell in formula_scores(scores, pool, formula=formula).items():
        others = {member: row[model] for member, row in left.items() if model in row}
        bounds = [_bound_of_interval(others, name, choose) for choose in (min, max)] if moves else []
        rows.append([name(model), Cell(cell.mean, cell.half_width), pool.title, *bounds])
    title = "s(m)" if formula == "minmax" else "score relative to HEAR-Naive and the best, clipped at 0"
    sensitivity = "Lowest and highest: with one member left out of the pool."
    if not moves:
        sensitivity = "How much it depends on single members cannot be said of a pool so small."
    notes = [_FORMULAS[formula], sensitivity]
    header = ["model", "score", "pool", *(["lowest", "highest"] if moves else [])]
    return Sheet("overall", f"Overall {title}, {pool.title}", header, rows, notes)


_FORMULAS: Mapping[str, str] = {
    "minmax": "100 is the best and 0 the worst single run of the pool on every task; a model outside "
    "the pool may fall outside 0 to 100. ± over seeds.",
    "superb": "100 is the best mean of the pool on every task, 0 is HEAR-Naive or worse. No interval.",
}


def _bound_of_interval(others: Mapping[str, float], name: Name, choose: Callable) -> str:
    if not others:
        return ""
    member = choose(others, key=others.__getitem__)
    return f"{others[member]:.1f} (without {name(member)})"
