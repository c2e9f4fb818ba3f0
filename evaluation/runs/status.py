"""What a run has done, what is missing and what failed: `hear-eval status RUN`.

It reads the run's folder only, so it may be asked while the run is going on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.models.spec import ModelSpec
from evaluation.results.failure import Failure, read_failures, task_label
from evaluation.results.job import PlannedJob
from evaluation.results.ledger import FitKey, Ledger
from evaluation.results.names import model_names, task_titles
from evaluation.results.reading import model_specs, read_frame
from evaluation.results.run_file import LEDGER_FILE, read_run_file


@dataclass(frozen=True)
class JobStatus:
    """One model on one task: how many fits of how many are done, and what they took (s) in all.

    `failure` is what failed here in the last command, None for nothing. `seconds_left` is an
    estimate, None where no fit of the run says how long one takes.
    """

    model: str
    task: str
    short: str
    done: int
    fits: int
    seconds: float
    seconds_left: float | None
    failure: Failure | None

    @property
    def cell(self) -> str:
        """The job in one word."""
        if self.done == self.fits:
            return "done"
        return "failed" if self.failure else f"{self.done} of {self.fits}" if self.done else "missing"


@dataclass(frozen=True)
class RunStatus:
    """All jobs of the last command; `failures` are those that belong to no job of it, `names` the
    models' short ones by their labels."""

    jobs: Sequence[JobStatus]
    failures: Sequence[Failure]
    last_finished: str
    names: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing and nothing failed."""
        return not self.failures and all(job.cell == "done" for job in self.jobs)


def run_status(directory: Path) -> RunStatus:
    """Read the state of a run; raise EvaluationError when the folder holds none."""
    frame, run = read_frame(directory), read_run_file(directory)
    ledger = Ledger(directory / LEDGER_FILE)
    planned = {place: job.done(ledger) for place, job in enumerate(frame.jobs)}
    dims = {job.model: 1 for job in frame.jobs} | {m["label"]: max(1, m["dim"]) for m in run["models"]}
    titles = task_titles({job.column.task: job.column.short for job in frame.jobs})
    rates = _Rates(ledger, frame.jobs, planned, dims)
    failures, jobs = read_failures(run), []
    of_job = {(f.model, task_label(f.task, f.budget)): f for f in reversed(failures)}
    for place, job in enumerate(frame.jobs):
        rate = rates.seconds_per_fit(place)
        missing = job.n_fits - len(planned[place])
        jobs.append(
            JobStatus(
                model=job.model,
                task=job.column.task,
                short=titles[job.column.task],
                done=len(planned[place]),
                fits=job.n_fits,
                seconds=sum(ledger[key].seconds for key in planned[place]),
                seconds_left=0.0 if not missing else None if rate is None else missing * rate,
                failure=of_job.get((job.model, job.column.task)),
            )
        )
    specs = model_specs(run)
    names = model_names({job.model: specs.get(job.model) or ModelSpec(job.model) for job in frame.jobs})
    known = {job.failure for job in jobs}
    last = max((record.finished for record in ledger.records.values()), default="")
    return RunStatus(jobs, [failure for failure in failures if failure not in known], last, names)


class _Rates:
    """Seconds of one fit, from the ledger: of the same job, else of the same task, else of all tasks."""

    def __init__(
        self,
        ledger: Ledger,
        jobs: Sequence[PlannedJob],
        planned: Mapping[int, set[FitKey]],
        dims: Mapping[str, int],
    ):
        self._jobs, self._dims = jobs, dims
        self._means = {
            place: sum(ledger[key].seconds for key in keys) / len(keys)
            for place, keys in planned.items()
            if keys
        }

    def seconds_per_fit(self, place: int) -> float | None:
        """Return the estimate for one job; other models' times are scaled by the embeddings' size."""
        if place in self._means:
            return self._means[place]
        job = self._jobs[place]
        scaled = {
            other: mean * self._dims[job.model] / self._dims[self._jobs[other].model]
            for other, mean in self._means.items()
        }
        same_task = [value for other, value in scaled.items() if self._jobs[other].column == job.column]
        values = same_task or list(scaled.values())
        return sum(values) / len(values) if values else None
