"""`hear-eval verify`: check a run's hashes and scores, and train some fits again."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from evaluation.cli.command import run_command
from evaluation.errors import EvaluationError
from evaluation.results.run_file import run_directory


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 when something differs or is gone, 2 for a mistake, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="hear-eval verify",
        description="Check a run: the hashes in run.json against models, tasks and store, and a random "
        "sample of finished fits by training them again. The exit status is 1 when anything differs or a "
        "fit of the sample could not be trained again. "
        "Every accuracy, mAP and aucroc is compared with the fit's details; what is altered in both, or "
        "another score, is found among M fits with a chance of N / M.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run: its folder, or its name in results/")
    parser.add_argument("--fits", type=int, default=5, metavar="N", help="how many to train (default: 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which ones (default: 0)")
    arguments = parser.parse_args(argv)

    def work() -> int:
        from evaluation.runs.verify import verify  # torch and all else; --help is there before them

        if arguments.fits < 0:
            raise EvaluationError(f"--fits {arguments.fits}: give a number of at least 0")
        return (
            0 if verify(run_directory(arguments.run), arguments.fits, arguments.seed, _print_finding) else 1
        )

    return run_command(work)


def _print_finding(line: str) -> None:
    print(line, flush=True)
