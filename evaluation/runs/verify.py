"""Is a run what its files say? `hear-eval verify RUN` checks hashes and retrains a few fits.

A fit is a function of embeddings, labels, grid point and seed, so training it again must give the ledger's
numbers: to the last bit on the same CPU with the same versions and number of threads, which is set as it
was. Elsewhere, and on a GPU, sums are rounded in another order, which grows while a network trains; there
validation and primary score may differ by 1/sqrt(n), n being the clips of the smaller part (an earlier
engine, with other sums for one and two threads, differed by at most 0.69/sqrt(n) on 60 fits of the sample
tasks). The stored embeddings are those whose SHA-256 was taken when they were made. Scores that the details
of a fit give, accuracies among them, are compared with these for every fit.
"""

import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evaluation.embedding.embed import is_embedded
from evaluation.embedding.store import StoreEntry
from evaluation.environment import hardware, versions
from evaluation.errors import EvaluationError
from evaluation.models.hear_model import torch_device
from evaluation.probes.config import config_key, config_of
from evaluation.probes.presets import Preset
from evaluation.probes.splits import Combination
from evaluation.results.job import PlannedJob
from evaluation.results.ledger import FitKey, FitRecord, Ledger
from evaluation.results.reading import Frame, read_frame
from evaluation.results.run_file import LEDGER_FILE, read_run_file
from evaluation.runs.job import Job, SeededFit, embedding_digest
from evaluation.runs.present import Present, entry_of_job, load_present
from evaluation.runs.recheck import Recheck, check_entry, check_scores
from evaluation.runs.train_job import Resources, run_job
from tasks import TaskError, read_labels, read_task, task_digest

MAX_BYTES = 1.5e9
"""Memory of the networks that train together, as in a run; on a CPU no result depends on it."""

OTHERS = "they, or the labels, are others than those of the run's fits"

Say = Callable[[str], None]


def check_hashes(directory: Path, present: Present) -> Iterator[Recheck]:
    """Compare the hashes in run.json with what is there now: models, tasks, the store's keys and arrays."""
    run, frame = read_run_file(directory), read_frame(directory)
    models = {(model["module"], model["fingerprint"]): model for model in run["models"]}
    for model in models.values():
        if model["fingerprint"] is not None:
            yield _check_model(model, run, frame, present)
    tasks = {(job["directory"], job["source_rate"]): job for job in run["jobs"] if "task_digest" in job}
    for job in tasks.values():
        yield _check_task(job)
    checked = set()
    for job, planned in zip(run["jobs"], frame.jobs, strict=True):
        own, name = entry_of_job(run, job), f"{job['model']} on {job['task']}"
        if own.key != job.get("entry", planned.embedding):
            yield Recheck("differs", f"{name}: run.json's identity of the embeddings has another key")
        elif (own.key, planned.embedding) not in checked:
            checked.add((own.key, planned.embedding))
            yield _check_store(name, present.entry(run, job), job, planned)


def _check_model(model: Mapping[str, Any], run: Mapping[str, Any], frame: Frame, present: Present) -> Recheck:
    """Compare fingerprints; a model with another one is the same if all its embeddings are, made anew."""
    before, name = model["fingerprint"], f"model {model['module']}"
    if before in present.problems:
        return Recheck("not checked", f"{name}: {present.problems[before]}")
    found = _compare_hash(name, "fingerprint", before, present.fingerprints[before])
    if found.state == "equal":
        return found
    jobs = zip(run["jobs"], frame.jobs, strict=True)
    own = [(job, planned) for job, planned in jobs if job.get("model_fingerprint") == before]
    if not own:
        return found
    try:
        anew = [
            embedding_digest(present.entry_of_today(run, job), read_labels(job["directory"]))
            for job, _ in own
        ]
    except (TaskError, OSError):
        return found
    if not all(anew):
        return Recheck(
            "differs",
            f"{found.text}; whether it embeds the same is seen when the run's command has embedded again",
        )
    if anew == [planned.embedding for _, planned in own]:
        return Recheck("equal", f"{found.text}, and its embeddings are the same")
    return Recheck("differs", f"{found.text}, and so are its embeddings")


def _check_task(job: Mapping[str, Any]) -> Recheck:
    what = f"task {job['task']} at {job['source_rate']} Hz"
    try:
        digest = task_digest(read_task(job["directory"]), job["source_rate"])
    except (TaskError, OSError) as error:
        return Recheck("not checked", f"{what}: {error}")
    return _compare_hash(what, "content", job["task_digest"], digest)


def _check_store(name: str, entry: StoreEntry, job: Mapping[str, Any], planned: PlannedJob) -> Recheck:
    """Compare the arrays with what was stored, and all of them with what the run's fits are known by."""
    try:
        task = read_labels(job["directory"])
    except (TaskError, OSError) as error:
        return Recheck("not checked", f"embeddings of {name}: {error}")
    found = check_entry(name, entry, task.metadata.splits)
    if found.state == "equal" and embedding_digest(entry, task) != planned.embedding:
        return Recheck("differs", f"embeddings of {name}: {OTHERS}")
    return found


def _compare_hash(what: str, name: str, before: str, now: str) -> Recheck:
    if before == now:
        return Recheck("equal", f"{what}: {name} {now[:12]}")
    return Recheck("differs", f"{what}: {name} was {before[:12]} and is {now[:12]}")


def sample_fits(ledger: Ledger, frame: Frame, fits: int, seed: int) -> dict[int, list[FitKey]]:
    """Return, per job by its place, a random sample of the finished fits; all when there are fewer."""
    finished = [
        (place, key)
        for place, job in enumerate(frame.jobs)
        for key in sorted(job.done(ledger), key=lambda key: (key.test, key.config, key.seed))
    ]
    chosen: dict[int, list[FitKey]] = {}
    for number in sorted(random.Random(seed).sample(range(len(finished)), min(fits, len(finished)))):
        place, key = finished[number]
        chosen.setdefault(place, []).append(key)
    return chosen


def check_fits(
    directory: Path, chosen: Mapping[int, Sequence[FitKey]], present: Present
) -> Iterator[Recheck]:
    """Train these fits again, with as many threads as then, and compare them with the ledger.

    Of a fit of this machine every number must be equal, epochs included; of another, validation and primary
    score may differ as the module says.
    """
    run, frame = read_run_file(directory), read_frame(directory)
    ledger = Ledger(directory / LEDGER_FILE)
    for place, keys in chosen.items():
        fields = run["jobs"][place]
        name = f"{fields['model']} on {fields['label']}"
        kinds: dict[tuple[str, bool, int], list[FitKey]] = {}
        for key in keys:
            kinds.setdefault(_kind_of_fit(run, ledger[key]), []).append(key)
        for (part, elsewhere, threads), alike in sorted(kinds.items()):
            try:
                job = _job_of_sample(run, fields, part, alike, present.entry(run, fields))
                if job.embedding != frame.jobs[place].embedding:
                    raise EvaluationError(OTHERS)
                tolerance = _tolerance_of_retraining(job) if elsewhere else 0.0
                for record in _trained_again(job, torch_device(run["hardware"]["device"]), threads):
                    yield _compare_fit(name, ledger[record.key], record, tolerance)
            except (EvaluationError, TaskError) as error:
                yield Recheck("not checked", f"{name}: {error}")


def _kind_of_fit(run: Mapping[str, Any], record: FitRecord) -> tuple[str, bool, int]:
    """Return test part, whether it was trained elsewhere, and threads: what fits have in common."""
    threads = (record.hardware or run["hardware"])["torch_threads"]
    return record.key.test, bool(difference_of_machines(run, [record])), threads


@dataclass(frozen=True)
class _Sample(Job):
    """A job that is nothing but these fits on one test part."""

    part: str = ""
    fits: Sequence[SeededFit] = ()

    @property
    def splits(self) -> tuple[Combination, ...]:
        return tuple(split for split in super().splits if split.test == self.part)

    def grid_fits(self) -> list[SeededFit]:
        return list(self.fits)

    def key(self, split: Combination, fit: SeededFit) -> FitKey:
        """Return the ledger's name of one fit, whose grid point need not be one of a grid known here."""
        return FitKey(self.embedding, split.test, config_key(fit[1]), fit[0], self.budget)

    def chosen(self, ledger: Ledger) -> list[SeededFit]:
        """Nothing is chosen among these fits, and so none is trained on other parts."""
        return []


def _job_of_sample(
    run: Mapping[str, Any], fields: Mapping[str, Any], part: str, keys: Sequence[FitKey], entry: StoreEntry
) -> _Sample:
    """Return the fits as a job; grid points come from the keys, of the preset only the head matters."""
    task = read_labels(fields["directory"])
    if not is_embedded(entry, task):
        raise EvaluationError(f"its embeddings are not in {entry.path} any more; run the run's command again")
    preset = Preset(run["preset"], "", {}, head=run["head"])
    fits = [(key.seed, config_of(key.config)) for key in keys]
    return _Sample(fields["model"], task, entry, preset, (), fields["budget"], part, fits)


def _trained_again(job: _Sample, device: torch.device, threads: int) -> list[FitRecord]:
    """Train the fits into a ledger of their own, which is thrown away."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(Path(folder) / LEDGER_FILE)
            run_job(job, ledger, Resources(device, MAX_BYTES), lambda fits, what: None)
            return list(ledger.records.values())
    finally:
        torch.set_num_threads(before)


def _tolerance_of_retraining(job: _Sample) -> float:
    """Return how far scores may be apart where rounding differs."""
    (split,) = job.splits
    return 1 / math.sqrt(min(len(job.task.clips[part]) for part in (split.valid, split.test)))


def _compare_fit(name: str, before: FitRecord, now: FitRecord, tolerance: float) -> Recheck:
    numbers = {"validation": (before.validation_score, now.validation_score)}
    names = [now.primary] if tolerance else list(now.scores)
    numbers |= {name: (before.scores.get(name, math.nan), now.scores[name]) for name in names}
    if not tolerance:
        numbers |= {"epoch": (before.epoch, now.epoch), "epochs": (before.epochs, now.epochs)}
    where = f"{name}, test part {now.key.test}, seed {now.key.seed}"
    largest = 0.0
    for score, (old, new) in numbers.items():
        difference = 0.0 if str(old) == str(new) else abs(old - new)
        if not difference <= tolerance:
            text = f"{where}: {score} is {old} in the ledger and {new} when trained again"
            allowed = f", {tolerance:.2g} is allowed" if tolerance else ""
            return Recheck("differs", f"{text}{allowed} ({now.key.config})")
        largest = max(largest, difference)
    return Recheck("equal", where + (f": within {largest:.2g}" if largest else ""))


def difference_of_machines(run: Mapping[str, Any], records: Iterable[FitRecord]) -> str:
    """Return in words what is not as it was when these fits were made, "" when numbers must be equal.

    Threads are set as they were. On a GPU sums depend on how many networks train together, which are others
    here.
    """
    device = torch_device(run["hardware"]["device"])
    now = {**hardware(device), **versions()}
    changed: dict[str, object] = {}
    for record in records:
        before = {**(record.hardware or run["hardware"]), **record.versions}
        now["torch_threads"] = before["torch_threads"]
        changed |= {name: before.get(name) for name in {**before, **now} if before.get(name) != now.get(name)}
    words = [f"{name} {changed[name]} then, {now.get(name)} now" for name in sorted(changed)]
    if device.type != "cpu":
        words.append("the networks that train together on the GPU")
    return ", ".join(words)


def verify(directory: Path, fits: int, seed: int, say: Say) -> bool:
    """Check hashes and a sample of fits and say what is found.

    Returns whether nothing differs and every fit of the sample could be trained again.

    Raises EvaluationError when the folder is no run's or no fit is finished.
    """
    run, frame = read_run_file(directory), read_frame(directory)
    ledger = Ledger(directory / LEDGER_FILE)
    finished = sum(len(job.done(ledger)) for job in frame.jobs)
    if not finished:
        raise EvaluationError(f"{directory} has no finished fit to verify; run its command first")
    say("Hashes of run.json beside what is there now:")
    present = load_present(run)
    counts = _tell_findings(check_hashes(directory, present), say)
    say("\nThe ledger beside what stands behind its scores:")
    counts += _tell_findings(check_scores(ledger), say)
    chosen = sample_fits(ledger, frame, fits, seed)
    drawn = [ledger[key] for keys in chosen.values() for key in keys]
    elsewhere = [record for record in drawn if difference_of_machines(run, [record])]
    say(f"\nFits trained again: {len(drawn)} of {finished}, drawn with seed {seed}.")
    if len(elsewhere) < len(drawn):
        which = f" for {len(drawn) - len(elsewhere)} fits" if elsewhere else ""
        say(f"Mode: exact{which}. Machine, versions and threads are as then: every number must be equal.")
    if elsewhere:
        which = f" for {len(elsewhere)} fits" if len(elsewhere) < len(drawn) else ""
        changed = difference_of_machines(run, elsewhere)
        say(f"Mode: TOLERANT{which}. Not as it was: {changed}. Scores may differ by 1/sqrt(number of clips).")
    trained = _tell_findings(check_fits(directory, chosen, present), say)
    counts += trained
    mode = "Within the tolerance" if elsewhere else "To the last bit"
    say(
        f"\n{mode}: {counts['equal']} equal, {counts['differs']} differ, {counts['not checked']} not checked."
    )
    return not counts["differs"] and not trained["not checked"]


def _tell_findings(findings: Iterator[Recheck], say: Say) -> Counter[str]:
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.state] += 1
        say(f"  {finding.state:12} {finding.text}")
    return counts
