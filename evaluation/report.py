"""The report of one run or several, and the paper's tables: `hear-eval report`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.command import run_command
from evaluation.comparison import Comparison, compare
from evaluation.errors import EvaluationError
from evaluation.figures import write_figures, write_paper_figures
from evaluation.figures.pareto import ModelCost, model_costs
from evaluation.files import write_atomically
from evaluation.html_report import Section, write_html
from evaluation.overall import FORMULAS, Formula
from evaluation.paper_tables import paper_summary, paper_tables
from evaluation.pools import POOLS
from evaluation.provenance import read_run_file
from evaluation.published import published_directory
from evaluation.results import merge, read_run, run_directory
from evaluation.run_tables import own_tables, pool_and_scores
from evaluation.sheet import Sheet, write_sheet
from evaluation.statistics_text import COVERS, overall_sheet, statistics_sheets, write_statistics
from evaluation.tables import Results, all_notes, grid, screen, write_tables

EPILOG = """\
examples:
  hear-eval report results/default
      tables/, figures/ and report.html of a run, finished or not
  hear-eval report results/a results/b --out results/both
      two runs of one protocol as one
  hear-eval report results/default --pool paper
      s(m) against the 39 published rows with all ten tasks; --score superb for the other formula
  hear-eval report results/default --row my_model@weights.pt=MW-MAE-B-4x16-4l
      that model's difference from a published row
  hear-eval report --paper --out paper
      the published Tables 1, 2 and 5 to 10 and Figure 2; averages, intervals and s(m) recomputed
"""

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
) -> tuple[Results, list[str]]:
    """Write tables/, figures/ and report.html of the runs to `out`.

    Returns the results and a sentence for everything that had to be left out. Raises EvaluationError for a
    folder that is no run, runs that cannot share a table, and a pool that cannot be had.
    """
    results = merge([read_run(directory) for directory in directories])
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
    figures = _figures(results, directories, comparison, out / "figures", left_out)
    sections = [
        *([Section("What could not be said", [], [], comparison.notes)] if comparison.notes else []),
        *map(_section, [*sheets, *statistics_sheets(results, comparison)]),
        Section("What the intervals and tests cover", [], [], COVERS),
    ]
    write_html(results, directories, out, figures=figures, statistics=sections)
    return results, left_out


def _overall_and_own(results: Results, options: ReportOptions) -> tuple[list[Sheet], list[str]]:
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


def _results_sheet(results: Results) -> Sheet:
    header, *rows = grid(results)
    return Sheet("table", "Mean and 95 % interval over seeds", header, rows, all_notes(results))


def _figures(
    results: Results,
    directories: Sequence[Path],
    comparison: Comparison,
    directory: Path,
    left_out: list[str],
) -> list[Path]:
    costs: dict[str, ModelCost] = {}
    for run in directories:
        costs |= model_costs(read_run_file(run))
    try:
        return write_figures(results, directory, costs=costs, ranks=comparison.ranks)
    except EvaluationError as error:
        left_out.append(str(error))
        return []


def _section(sheet: Sheet) -> Section:
    return Section(sheet.caption, sheet.header, sheet.text_rows(), sheet.notes)


def write_paper(published: Path, directory: Path) -> str:
    """Write the paper's tables and Figure 2 to `directory` and return a text on what was found."""
    sheets = paper_tables(published)
    for sheet in sheets:
        write_sheet(sheet, directory)
    write_paper_figures(published, directory)
    return f"{paper_summary(sheets)}\nTables and figures: {directory}"


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="hear-eval report",
        description="Tables, statistics, figures and report.html from runs, finished or not.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="runs: their folders, or their names in results/")
    add("--paper", action="store_true", help="make the published tables instead of a report")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: the run's folder; results/report for several, results/paper)",
    )
    add(
        "--pool",
        choices=POOLS,
        default="run",
        help="which models set the worst and best of every task: those at hand (run, default), the published "
        "ones (paper), or both",
    )
    add("--paper-pool", action="store_const", const="paper", dest="pool", help="the same as --pool paper")
    add(
        "--score",
        choices=FORMULAS,
        default="minmax",
        help="overall score: s(m) of the paper's equation 3 (default) or relative to HEAR-Naive and the best",
    )
    add(
        "--row",
        action="append",
        default=[],
        metavar="MODEL=ROW",
        help="the row of the published Table 1 that a model is compared with; known for the modules that "
        "evaluation.models lists",
    )
    add(
        "--published",
        type=Path,
        metavar="DIR",
        help="folder of the published tables as CSV (default: this package's)",
    )
    return result


def _rows(texts: Sequence[str]) -> dict[str, str]:
    """Read MODEL=ROW; a model's name may have "=" in it, a row's may not."""
    found = {}
    for text in texts:
        model, equals, row = text.rpartition("=")
        if not equals:
            raise EvaluationError(f"--row {text}: give MODEL=ROW, such as my_model=MW-MAE-B-4x16-4l")
        found[model] = row
    return found


def _run(arguments: argparse.Namespace) -> str:
    if arguments.paper:
        if arguments.runs:
            raise EvaluationError("--paper makes the published tables and takes no RUN; leave one out")
        published = published_directory(arguments.published)
        return write_paper(published, arguments.out or Path("results/paper"))
    if not arguments.runs:
        raise EvaluationError("name a run, such as results/default, or give --paper")
    runs = [run_directory(given) for given in arguments.runs]
    out = arguments.out or (runs[0] if len(runs) == 1 else Path("results/report"))
    options = ReportOptions(arguments.pool, arguments.score, arguments.published, _rows(arguments.row))
    results, left_out = write_report(runs, out, options)
    asked = (options.pool, options.formula) != ("run", "minmax")
    overall = out / "tables" / "overall.md"
    chosen = [overall.read_text(encoding="utf-8")] if asked and overall.exists() else []
    lines = [f"left out: {sentence}" for sentence in left_out]
    return "\n".join([screen(results), *chosen, *lines, f"Report: {out / 'report.html'}, {out / 'tables'}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake, 130 after Ctrl-C."""
    return run_command(
        lambda: print(_run(parser().parse_args(argv))), "stopped; the same command writes the report whole."
    )


if __name__ == "__main__":
    sys.exit(main())
