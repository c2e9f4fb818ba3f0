"""`hear-eval report`: tables, statistics, figures and the page of one or several runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from evaluation.cli.command import run_command
from evaluation.errors import EvaluationError
from evaluation.results.run_file import run_directory
from evaluation.statistics.overall import FORMULAS
from evaluation.statistics.pools import POOLS
from evaluation.statistics.published import published_directory

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
  hear-eval report --supervised runs
      fine-tuning and linear probes: every scores.json in runs/, beside the published rows
"""


def report_parser() -> argparse.ArgumentParser:
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
        "--supervised",
        type=Path,
        metavar="DIR",
        help="instead of a report, tables of the fine-tunings and linear probes in a folder, at any depth",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: the run's folder or that of the supervised runs; results/report for "
        "several, results/paper)",
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
        "`hear-eval models` lists",
    )
    add(
        "--published",
        type=Path,
        metavar="DIR",
        help="folder of the published tables as CSV (default: this package's)",
    )
    return result


def _printed_rows(texts: Sequence[str]) -> dict[str, str]:
    """Read MODEL=ROW; a model's name may have "=" in it, a row's may not."""
    found = {}
    for text in texts:
        model, equals, row = text.rpartition("=")
        if not equals:
            raise EvaluationError(f"--row {text}: give MODEL=ROW, such as my_model=MW-MAE-B-4x16-4l")
        found[model] = row
    return found


def _report_runs(arguments: argparse.Namespace) -> str:
    from evaluation.report.supervised import write_supervised  # figures and pages; --help is there before
    from evaluation.report.tables import scores_on_screen
    from evaluation.report.write import ReportOptions, write_paper, write_report

    if arguments.supervised:
        if arguments.runs or arguments.paper:
            raise EvaluationError(
                "--supervised takes neither RUN nor --paper; make the two reports one by one"
            )
        out = arguments.out or arguments.supervised
        return write_supervised(arguments.supervised, out, arguments.published)
    if arguments.paper:
        if arguments.runs:
            raise EvaluationError("--paper makes the published tables and takes no RUN; leave one out")
        published = published_directory(arguments.published)
        return write_paper(published, arguments.out or Path("results/paper"))
    if not arguments.runs:
        raise EvaluationError("name a run, such as results/default, or give --paper or --supervised DIR")
    runs = [run_directory(given) for given in arguments.runs]
    out = arguments.out or (runs[0] if len(runs) == 1 else Path("results/report"))
    options = ReportOptions(
        arguments.pool, arguments.score, arguments.published, _printed_rows(arguments.row)
    )
    results, left_out = write_report(runs, out, options)
    asked = (options.pool, options.formula) != ("run", "minmax")
    overall = out / "tables" / "overall.md"
    chosen = [overall.read_text(encoding="utf-8")] if asked and overall.exists() else []
    lines = [f"left out: {sentence}" for sentence in left_out]
    return "\n".join(
        [scores_on_screen(results), *chosen, *lines, f"Report: {out / 'report.html'}, {out / 'tables'}"]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake, 130 after Ctrl-C."""
    return run_command(
        lambda: print(_report_runs(report_parser().parse_args(argv))),
        "stopped; the same command writes the report whole.",
    )
