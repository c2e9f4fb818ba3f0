"""`hear-eval crosscheck`: let the real heareval judge exported embeddings."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from evaluation.cli.command import run_command
from evaluation.errors import EvaluationError

GRIDS = ("default", "fast", "faster")
"""heareval's own grids, by its names."""

EPILOG = """\
examples:
  hear-eval run --tasks esc50 --tasks-dir D --preset hear2021 --export-heareval tree
  hear-eval crosscheck tree --create-env heareval-env
      makes the environment (a few minutes, from the package index) and runs the check
  hear-eval crosscheck tree --python heareval-env --grid faster
      a quick one; its counterpart here is --preset hear2021-faster
"""


def crosscheck_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="hear-eval crosscheck",
        description="Run heareval 2021.1.3 on an embeddings tree and print its scores beside ours.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("directory", type=Path, metavar="DIR", help="an exported run, or an embeddings tree")
    where = result.add_mutually_exclusive_group(required=True)
    where.add_argument("--python", type=Path, metavar="ENV", help="environment with heareval, or its python")
    where.add_argument("--create-env", type=Path, metavar="ENV", help="make that environment first")
    result.add_argument("--grid", choices=GRIDS, default="default", help="heareval's grid (default: default)")
    result.add_argument(
        "--grid-points", type=int, default=8, metavar="N", help="grid points that heareval tries (default: 8)"
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 for a mistake or a failure of heareval, 130 after Ctrl-C."""

    def work() -> None:
        arguments = crosscheck_parser().parse_args(argv)
        from evaluation.heareval.crosscheck import (
            comparison,
            create_environment,
            environment_python,
            run_heareval,
        )
        from evaluation.heareval.files import find_trees

        if arguments.grid_points < 1:
            raise EvaluationError(f"--grid-points {arguments.grid_points}: at least one is needed")
        folders = find_trees(arguments.directory)
        created = arguments.create_env
        python = create_environment(created) if created else environment_python(arguments.python)
        for folder in folders:
            theirs = run_heareval(folder, python, grid=arguments.grid, grid_points=arguments.grid_points)
            print(comparison(folder, theirs, f"grid {arguments.grid}, {arguments.grid_points} points"))

    return run_command(work, "stopped.")
