"""What a run would need in data, disk, memory and time, as text."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from evaluation.cli.plan_text import plan_text
from evaluation.cli.run_options import options_of_arguments
from evaluation.environment import available_memory
from evaluation.results.failure import Failure
from evaluation.runs.estimate import MEASURED_SECONDS, Estimate, estimates, rows_of_parts
from evaluation.runs.missing import bytes_needed
from evaluation.runs.plan import Session, prepare


def disk_line(session: Session) -> tuple[bool, str]:
    """Return whether the disk suffices for what is to be embedded and resampled, and the sentence."""
    imported = bool(session.options.imported)
    needed = 0.0 if imported else bytes_needed(session.jobs, session.options.cache)
    there = next(path for path in (session.options.cache, *session.options.cache.parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = needed <= free
    verdict = "enough" if enough else "NOT ENOUGH: make room or choose another place with --cache"
    return enough, f"{needed / 1e9:.2f} GB to be written, {free / 1e9:.1f} GB free at {there}: {verdict}"


def memory_line(session: Session) -> tuple[bool, str]:
    """Return whether memory suffices for the largest task's embeddings and its networks, and the sentence.

    Asked after the encoders were measured: what they hold is no longer available.
    """
    largest = max(sum(rows_of_parts(job).values()) * 4 * job.entry.identity["dim"] for job in session.jobs)
    needed = 2 * largest + session.options.max_bytes
    free = available_memory()
    text = f"up to {needed / 1e9:.1f} GB for the classifiers of the largest task"
    enough = needed <= free
    verdict = "enough" if enough else "NOT ENOUGH: lower --max-memory or evaluate that task elsewhere"
    return enough, f"{text}, {free / 1e9:.1f} GB available: {verdict}"


def _data_lines(session: Session, broken: Sequence[Failure]) -> Iterator[str]:
    tasks = session.options.tasks
    clips = sum(len(part) for task in tasks for part in task.clips.values())
    of = "one task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    yield f"Data:   all {clips} clips that the lists of {of} name are there."
    for failure in broken:
        yield f"        left out: {failure.reason}"


def _time_lines(found: Sequence[Estimate], seconds: float) -> Iterator[str]:
    yield f"Time:   an estimate from {seconds:.0f} s of measuring on this machine as busy as it is now"
    for item in found:
        yield f"  {item.model}: embedding {_duration(item.embedding)}, training {_range_of_estimate(item)}"
    total = Estimate(
        "",
        sum(item.embedding for item in found),
        sum(item.shortest for item in found),
        sum(item.longest for item in found),
    )
    whole = replace(total, shortest=total.shortest + total.embedding, longest=total.longest + total.embedding)
    yield f"  in all: {_range_of_estimate(whole)}"
    if total.longest > total.shortest:
        yield "  The first time is if every classifier stops at its first chance, the last if none does."


def _range_of_estimate(item: Estimate) -> str:
    shortest, longest = _duration(item.shortest), _duration(item.longest)
    return shortest if shortest == longest else f"{shortest} to {longest}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def check_plan(arguments: argparse.Namespace) -> bool:
    """Print the plan, what is there and what it will take; return whether everything suffices."""
    options, broken = options_of_arguments(arguments)
    session = prepare(options)
    print(plan_text(session), flush=True)
    start = time.perf_counter()
    found = estimates(session, MEASURED_SECONDS)
    (disk, disk_text), (memory, memory_text) = disk_line(session), memory_line(session)
    lines = [*_data_lines(session, broken), f"Disk:   {disk_text}", f"Memory: {memory_text}"]
    print("\n".join([*lines, *_time_lines(found, time.perf_counter() - start)]))
    for failure in session.failures:
        print(f"failed: {failure.sentence}", file=sys.stderr)
    return disk and memory and not broken and not session.failures
