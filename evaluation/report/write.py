"""The report of one run or several, and the paper's tables: `hear-eval report`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.report.figures import write_figures, write_paper_figures
from evaluation.report.figures.pareto import ModelCost, model_costs
from evaluation.report.figures.saved import SavedFigure
from evaluation.report.html.page import Section, write_html
from evaluation.report.own_rows import own_tables, pool_and_scores
from evaluation.report.paper import paper_summary, paper_tables
from evaluation.report.sheet import Sheet, write_sheet
from evaluation.report.statistics import COVERS, overall_sheet, statistics_sheets, write_statistics
from evaluation.report.tables import notes_below_table, scores_grid, write_tables
from evaluation.results.comparison import Comparison, compare
from evaluation.results.reading import merge_runs, read_run
from evaluation.results.run_file import read_run_file
from evaluation.results.score_table import ScoreTable
from evaluation.statistics.overall import Formula
from evaluation.statistics.published import published_directory

OPTIONAL_TABLES = ("overall", "table1", "differences")
"""Tables that not every report has; those of an earlier report with other options do not stay."""

_NO_SCORE = {
    "minmax": "all models have the same scores on every task",
    "superb": "no model is better than HEAR-Naive on any task, so that nothing sets the 100 %",
}
"""Why no model has an overall score although the pool has models and tasks enough."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report compares with: the pool and formula of s(m), and published rows for models by name."""

    pool: str = "run"
    formula: Formula = "minmax"
    published: Path | None = None
    rows: Mapping[str, str] = field(default_factory=dict)


def write_report(
    directories: Sequence[Path], out: Path, options: ReportOptions = ReportOptions()
) -> tuple[ScoreTable, list[str]]:
    """Write tables/, figures/ and report.html of the runs to `out`.

    Returns the results and a sentence for everything that had to be left out. Raises EvaluationError for a
    folder that is no run, runs that cannot share a table, and a pool that cannot be had.
    """
    results = merge_runs([read_run(directory) for directory in directories])
    if not results.scores:
        raise EvaluationError(f"no task is finished in {', '.join(map(str, directories))}")
    sheets, left_out = _overall_and_own(results, options)
    comparison = compare(results, directories)
    tables = out / "tables"
    write_tables(results, tables)
    write_atomically(tables / "table.tex", _results_sheet(results).latex())
    for name in OPTIONAL_TABLES:
        for kind in ("md", "csv", "tex"):
            (tables / f"{name}.{kind}").unlink(missing_ok=True)
    for sheet in sheets:
        write_sheet(sheet, tables)
    write_statistics(results, comparison, tables)
    figures = _write_report_figures(results, directories, comparison, out / "figures", left_out)
    sections = [
        *([Section("What could not be said", [], [], comparison.notes)] if comparison.notes else []),
        *map(_page_section, [*sheets, *statistics_sheets(results, comparison)]),
        Section("What the intervals and tests cover", [], [], COVERS),
    ]
    write_html(results, directories, out, figures=figures, statistics=sections)
    return results, left_out


def _overall_and_own(results: ScoreTable, options: ReportOptions) -> tuple[list[Sheet], list[str]]:
    sheets, left_out = [], []
    real = any(column.published for column in results.columns)
    published = None
    if real or options.pool != "run":
        try:
            published = published_directory(options.published)
        except EvaluationError as error:
            if options.pool != "run":
                raise
            left_out.append(f"own rows in the published Table 1: {error}")
    pool, scores = pool_and_scores(results, options.pool, published)
    if len(pool.rows) > 1 and len(pool.tasks) > 1:
        overall = overall_sheet(scores, pool, results.name, formula=options.formula)
        if overall.rows:
            sheets.append(overall)
        else:
            left_out.append(f"overall score: {_NO_SCORE[options.formula]}")
    elif options.formula != "minmax":
        left_out.append(f"--score {options.formula}: it needs two models with every task, and two tasks")
    if published and real:
        beside = "paper+run" if options.pool == "paper+run" else "paper"
        sheets += own_tables(results, published, pool=beside, rows=options.rows)
    return sheets, left_out


def _results_sheet(results: ScoreTable) -> Sheet:
    header, *rows = scores_grid(results)
    return Sheet("table", "Mean and 95 % interval over seeds", header, rows, notes_below_table(results))


def _write_report_figures(
    results: ScoreTable,
    directories: Sequence[Path],
    comparison: Comparison,
    directory: Path,
    left_out: list[str],
) -> list[SavedFigure]:
    costs: dict[str, ModelCost] = {}
    for run in directories:
        costs |= model_costs(read_run_file(run))
    try:
        return write_figures(results, directory, costs=costs, ranks=comparison.ranks)
    except EvaluationError as error:
        left_out.append(str(error))
        return []


def _page_section(sheet: Sheet) -> Section:
    return Section(sheet.caption, sheet.header, sheet.text_rows(), sheet.notes)


def write_paper(published: Path, directory: Path) -> str:
    """Write the paper's tables and Figure 2 to `directory` and return a text on what was found."""
    sheets = paper_tables(published)
    for sheet in sheets:
        write_sheet(sheet, directory)
    write_paper_figures(published, directory)
    return f"{paper_summary(sheets)}\nTables and figures: {directory}"
