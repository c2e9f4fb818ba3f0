"""The report of one run or several, and the paper's tables: `python -m evaluation.report`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.figures import write_paper_figures
from evaluation.paper_tables import paper_summary, paper_tables
from evaluation.published import published_directory
from evaluation.sheet import write_sheet

EPILOG = """\
examples:
  python -m evaluation.report --paper --out paper
      the published Tables 1, 2 and 5 to 10 and Figure 2, averages, intervals and s(m) recomputed
"""


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m evaluation.report",
        description="Tables, statistics and figures from finished or unfinished runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--paper", action="store_true", help="make the published tables instead of a report")
    result.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: results/paper)")
    result.add_argument(
        "--published",
        type=Path,
        metavar="DIR",
        help="folder of the published tables as CSV (default: results/published of this checkout)",
    )
    return result


def write_paper(published: Path, directory: Path) -> str:
    """Write the paper's tables and Figure 2 to `directory` and return a text on what was found."""
    sheets = paper_tables(published)
    for sheet in sheets:
        write_sheet(sheet, directory)
    write_paper_figures(published, directory)
    return f"{paper_summary(sheets)}\nTables and figures: {directory}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a mistake, 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        published = published_directory(arguments.published)
        print(write_paper(published, arguments.out or Path("results/paper")))
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: cannot write the report: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
