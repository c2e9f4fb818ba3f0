"""The statistics as a person reads them (`statistics.md`) and as a program does (`statistics.csv`)."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation.comparison import Comparison, PairedTest, Ranks
from evaluation.files import write_atomically
from evaluation.overall import Formula, Scores, formula_scores, leave_one_out
from evaluation.pools import Pool
from evaluation.sheet import Cell, Sheet
from evaluation.significance import ALPHA
from evaluation.tables import Results

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


def write_statistics(results: Results, comparison: Comparison, directory: Path) -> None:
    """Write `statistics.md` and `statistics.csv`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "statistics.md", statistics_markdown(results, comparison))
    write_atomically(directory / "statistics.csv", statistics_csv(comparison))


def statistics_markdown(results: Results, comparison: Comparison) -> str:
    """Return all statistics with the sentences that must stand beside them."""
    covers = "\n".join(f"- {sentence}" for sentence in COVERS)
    sheets = [sheet.markdown() for sheet in statistics_sheets(results, comparison)]
    parts = ["# Statistics", *results.notes, *comparison.notes, covers, *sheets]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def statistics_sheets(results: Results, comparison: Comparison) -> list[Sheet]:
    """Return the statistics as tables, those that could be computed."""
    name = results.name
    found = []
    if comparison.over_tasks:
        note = "Wilcoxon's signed-rank test over tasks, p corrected for all pairs of models (Holm)."
        found.append(_test_sheet("over_tasks", "Models over all tasks", comparison.over_tasks, note, name))
    if comparison.ranks is not None:
        found.append(_rank_sheet(comparison.ranks, name))
    if comparison.per_task:
        note = "Paired permutation test over seeds, p corrected for all rows (Holm)."
        found.append(_test_sheet("per_task", "Models on each task", comparison.per_task, note, name))
    if comparison.clips:
        found.append(_clip_sheet(comparison, name))
    if comparison.detectable:
        found.append(_detectable_sheet(comparison))
    return found


def _test_sheet(sheet: str, caption: str, tests: Sequence[PairedTest], note: str, name: Name) -> Sheet:
    rows = []
    for test in tests:
        found = ["", "", test.note] if test.p is None else [_p(test.p), _p(test.p_holm), _verdict(test)]
        what = [test.task, name(test.first), name(test.second), str(test.n)]
        rows.append([*what, f"{test.difference:+.2f}", *found])
    header = ["task", "first", "second", "pairs", "first - second", "p", "p (Holm)", ""]
    return Sheet(sheet, caption, header, rows, [note])


def _p(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _verdict(test: PairedTest) -> str:
    if test.p_holm >= ALPHA:
        return "not told apart"
    return "first is higher" if test.difference > 0 else "second is higher"


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
        yield "Friedman's test needs three models and two tasks; it is left out."
    else:
        chi2 = f"chi-square {ranks.friedman_chi2:.2f}, p {_p(ranks.friedman_p)}"
        yield f"Friedman's test that all models are alike: {chi2}."
    yield (
        f"Mean ranks less than {ranks.critical_difference:.2f} apart are not told apart (Nemenyi's critical "
        "difference at 0.05)."
    )
    for clique in ranks.cliques:
        yield f"Not told apart: {', '.join(map(name, clique))}."


def _clip_sheet(comparison: Comparison, name: Name) -> Sheet:
    rows = []
    for clip in comparison.clips:
        what = f"{name(clip.model)} - {name(clip.other)}" if clip.other else name(clip.model)
        numbers = [f"{number:.1f}" for number in (clip.value, clip.low, clip.high)]
        rows.append([clip.task, what, str(clip.n_clips), *numbers])
    notes = [
        "95 % percentile interval; every part is resampled by itself, the same clips for all models.",
        "mAP of a resample tends to be higher, most where a class has few clips: its intervals lie high.",
    ]
    header = ["task", "model or difference", "test clips", "score", "low", "high"]
    return Sheet("clips", "Bootstrap over test clips", header, rows, notes)


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


def statistics_csv(comparison: Comparison) -> str:
    """Return one line per statistic: which part it is of, and its numbers; empty where there is none."""
    lines: list[dict] = []
    for part in ("over_tasks", "per_task", "clips", "detectable"):
        lines += [{"part": part, **asdict(item)} for item in getattr(comparison, part)]
    if (ranks := comparison.ranks) is not None:
        for model, rank in ranks.mean.items():
            low, high = ranks.intervals[model]
            lines.append({"part": "rank", "model": model, "value": rank, "low": low, "high": high})
        lines.append({"part": "critical_difference", "value": ranks.critical_difference})
        lines.append({"part": "friedman", "value": ranks.friedman_chi2, "p": ranks.friedman_p})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)))
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def overall_sheet(scores: Scores, pool: Pool, name: Name, *, formula: Formula) -> Sheet:
    """Return the overall scores with the pool beside them and how much they depend on its single members.

    `scores` are in the pool's units; `name` gives models as tables show them. Raises EvaluationError when the
    formula needs HEAR-Naive and the pool has none.
    """
    left = leave_one_out(scores, pool, formula=formula)
    rows = []
    for model, cell in formula_scores(scores, pool, formula=formula).items():
        others = {member: row[model] for member, row in left.items() if model in row}
        bounds = [_bound(others, choose) for choose in (min, max)]
        rows.append([name(model), Cell(cell.mean, cell.half_width), pool.title, *bounds])
    title = "s(m)" if formula == "minmax" else "score relative to HEAR-Naive and the best, clipped at 0"
    notes = [_FORMULAS[formula], "Lowest and highest: with one member left out of the pool."]
    header = ["model", "score", "pool", "lowest", "highest"]
    return Sheet("overall", f"Overall {title}, {pool.title}", header, rows, notes)


_FORMULAS: Mapping[str, str] = {
    "minmax": "100 is the best and 0 the worst single run of the pool on every task; a model outside "
    "the pool may fall outside 0 to 100. ± over seeds.",
    "superb": "100 is the best mean of the pool on every task, 0 is HEAR-Naive or worse. No interval.",
}


def _bound(others: Mapping[str, float], choose: Callable) -> str:
    if not others:
        return ""
    member = choose(others, key=others.__getitem__)
    return f"{others[member]:.1f} (without {member})"
