"""`hear-eval status`: what of a run is done, missing or failed."""

import argparse
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from evaluation.cli.command import run_command
from evaluation.results.run_file import run_directory
from evaluation.runs.status import RunStatus, run_status
from tasks.names import printable


def status_text(status: RunStatus) -> str:
    """Return the state for a terminal: tasks down, models across, then failures and the time."""
    models = list(dict.fromkeys(job.model for job in status.jobs))
    tasks = list(dict.fromkeys((job.task, job.short) for job in status.jobs))
    cells = {(job.model, job.task): job.cell for job in status.jobs}
    rows = [["", *(status.names[model] for model in models)]]
    rows += [[short, *(cells.get((model, task), "-") for model in models)] for task, short in tasks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    failures = [job.failure for job in status.jobs if job.cell == "failed" and job.failure]
    failures += status.failures
    lines += ["", *(f"failed: {failure.sentence}" for failure in failures), *_status_summary(status)]
    return printable("\n".join(lines), keep="\n")


def _status_summary(status: RunStatus) -> list[str]:
    done, fits = (sum(getattr(job, name) for job in status.jobs) for name in ("done", "fits"))
    last = f"; the last one finished {status.last_finished}" if status.last_finished else ""
    lines = [f"Fits: {done} of {fits} done{last}."]
    lines.append(
        f"Time: {_duration(sum(job.seconds for job in status.jobs))} of training classifiers so far."
    )
    left = [job.seconds_left for job in status.jobs]
    known = [seconds for seconds in left if seconds is not None]
    if done < fits and len(known) < len(left):
        lines.append("Time left: unknown, no fit is finished that would tell.")
    elif done < fits:
        lines.append(
            f"Time left: about {_duration(sum(known))} of training, an estimate from the finished fits; "
            "embedding what is not embedded yet comes on top."
        )
    return lines


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 when the run is complete, 1 when not, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="hear-eval status",
        description="Say what a run has done, what is missing and what failed, and estimate the time left. "
        "The exit status is 0 when the last command's work is complete, 1 when it is not.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run: its folder, or its name in results/")

    def work() -> int:
        status = run_status(run_directory(parser.parse_args(argv).run))
        print(status_text(status))
        return 0 if status.complete else 1

    return run_command(work)
