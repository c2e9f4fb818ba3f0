"""report.html: everything that a run came to on one page that needs no network and no other file.

The page is the template `report.html` with its style and script; all text from outside is
escaped, and a content security policy lets no script run but the page's own.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.files import write_atomically
from evaluation.report.figures.saved import SavedFigure
from evaluation.report.html.classes import TaskClasses, class_views
from evaluation.report.html.clips import AUDIO_BYTES, TaskClips, hardest_clips
from evaluation.report.tables import notes_below_table, scores_grid
from evaluation.results.failure import read_failures
from evaluation.results.ledger import FitRecord, Ledger
from evaluation.results.run_file import LEDGER_FILE, read_run_file
from evaluation.results.score_table import ScoreTable
from tasks.names import printable

SVG_BYTES = 1_500_000
"""A larger drawing is shown as the PNG of the same name, if there is one."""

_MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Section:
    """A further table of the page: its cells as they are printed, sortable by the first number in each.

    Without rows it is its notes.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence["str | Digest"]]
    notes: Sequence[str] = ()

    @property
    def wordy(self) -> list[bool]:
        """Whether each column holds words, which stand left and may be broken, and not numbers."""
        return [any(_is_words(row[i]) for row in self.rows) for i in range(len(self.header))]


@dataclass(frozen=True)
class Digest:
    """A hash of which the page shows the start, and all of it where one points."""

    whole: str

    @property
    def start(self) -> str:
        """As much as a reader compares."""
        return self.whole[:12]


def _is_words(cell: "str | Digest") -> bool:
    return isinstance(cell, Digest) or bool(re.search(r"[^\W\d_]{3}", cell)) or len(cell) > 24


@dataclass(frozen=True)
class Figure:
    """A picture as a data URI, its name in words, and what must be known to read it."""

    name: str
    caption: str
    uri: str


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of one run come from, as (what, value) pairs and two tables of hashes."""

    name: str
    facts: Sequence[tuple[str, str]]
    models: Section
    tasks: Section


def write_html(
    results: ScoreTable,
    run_directories: Sequence[Path],
    directory: Path,
    *,
    figures: Sequence[SavedFigure] = (),
    statistics: Sequence[Section] = (),
    audio_bytes: int = AUDIO_BYTES,
) -> Path:
    """Write `directory`/report.html and return its path.

    Args:
        results: What the tables show, of one run or several merged.
        run_directories: The runs' folders, for run.json, details.jsonl and saved predictions; what is absent
            there is said on the page.
        figures: What was drawn of them; the SVG is shown unless it is very large.
        statistics: Further tables, in order.
        audio_bytes: How much sound may be embedded in all.

    Raises EvaluationError for a folder that holds no run.
    """
    runs = {path: read_run_file(path) for path in run_directories}
    jobs = [job for run in runs.values() for job in run["jobs"]]
    clips = hardest_clips(results, run_directories, jobs, audio_bytes=audio_bytes)
    page = render(
        title=", ".join(path.resolve().name for path in run_directories),
        results=results,
        table=_main_table(results),
        best=_best_cells(results),
        statistics=statistics,
        figures=[_figure_on_page(saved) for saved in figures],
        classes=class_views(results, run_directories),
        clips=clips,
        provenance=[_page_provenance(path, run, results) for path, run in runs.items()],
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "report.html", page)
    return directory / "report.html"


def render(
    *,
    title: str,
    results: ScoreTable,
    table: Section,
    best: set[tuple[str, int]],
    statistics: Sequence[Section],
    figures: Sequence[Figure],
    classes: Sequence[TaskClasses],
    clips: Sequence[TaskClips],
    provenance: Sequence[Provenance],
) -> str:
    """Return the page. Every string is escaped by the template, whoever wrote it."""
    loader = PackageLoader("evaluation.report", "html")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown_on_page,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = loader.get_source(environment, "report.js")[0]
    style = loader.get_source(environment, "report.css")[0]
    return environment.get_template("report.html").render(
        title=title,
        results=results,
        columns=results.columns,
        table=table,
        best=best,
        statistics=statistics,
        figures=figures,
        classes=classes,
        clips=clips,
        provenance=provenance,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _shown_on_page(value: Any) -> Any:
    """Return text from outside with control characters as escapes; the page's own parts stay."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _main_table(results: ScoreTable) -> Section:
    """Return the table as everywhere else, with models by their plain names: the page marks them itself."""
    header, *rows = scores_grid(results)
    plain = [[model, *cells[1:]] for model, cells in zip(results.models, rows, strict=True)]
    return Section("Scores", header, plain, notes_below_table(results))


def _best_cells(results: ScoreTable) -> set[tuple[str, int]]:
    """Return (model, place of the column) of the best mean of every task that several models have done."""
    best = set()
    for place, column in enumerate(results.columns, 1):
        cells = {model: results.interval(model, column) for model in results.models}
        means = {model: cell.mean for model, cell in cells.items() if cell is not None}
        if len(means) > 1:
            choose = min if column.sign < 0 else max
            best.add((choose(means, key=means.__getitem__), place))
    return best


def _figure_on_page(saved: SavedFigure) -> Figure:
    """Return a figure as the page shows it: its SVG, or where that is very large its PNG."""
    path = saved.png if saved.svg.stat().st_size > SVG_BYTES else saved.svg
    content = base64.b64encode(path.read_bytes()).decode()
    name = saved.name.replace("_", " ").capitalize()
    return Figure(name, saved.caption, f"data:{_MEDIA[path.suffix]};base64,{content}")


def _page_provenance(path: Path, run: Mapping[str, Any], results: ScoreTable) -> Provenance:
    records = list(Ledger(path / LEDGER_FILE).records.values())
    hardware = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["hardware"].items())
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    facts = [
        ("Command", " ".join(run["command"])),
        ("Versions", versions),
        ("Git revision", run["git_revision"] or "not a checkout"),
        ("Hardware", hardware),
        *_other_origins(run, records),
        ("Protocol", f"preset {run['preset']}, head {run['head']}, seeds {run['n_seeds']}"),
        *_costs_of_fits(records),
        ("Embedding", _embedding_cost(run)),
    ]
    facts += [("Failed", failure.sentence) for failure in read_failures(run)]
    return Provenance(path.resolve().name, facts, _model_hashes(run, results), _task_hashes(run, results))


def _other_origins(run: Mapping[str, Any], records: Sequence[FitRecord]) -> list[tuple[str, str]]:
    """Return how many fits were trained elsewhere than the last command, or with another revision."""
    known = [record for record in records if record.hardware]
    last = run["versions"], run["hardware"]
    counts = {
        "other versions or hardware": sum((r.versions, r.hardware) != last for r in known),
        "another revision of the code": sum(r.git_revision != run["git_revision"] for r in known),
    }
    words = [f"{count} fits with {what}" for what, count in counts.items() if count]
    return [("Other origins", f"{', '.join(words)}, as their lines in the ledger say")] if words else []


def _costs_of_fits(records: Sequence[FitRecord]) -> list[tuple[str, str]]:
    """Return how many fits the ledger holds, since when, and what training them took."""
    if not records:
        return [("Fits", "none is finished")]
    stacks = {(record.stack, record.finished): record.stack_seconds for record in records}
    finished = sorted(record.finished for record in records)
    seconds = timedelta(seconds=round(sum(stacks.values())))
    return [
        ("Fits", f"{len(records)} in the ledger, finished from {finished[0]} to {finished[-1]}"),
        ("Training", f"{seconds} of wall time (h:mm:ss) for the classifiers"),
        (
            "FLOPs",
            f"{sum(record.flops for record in records):.3g} in the classifiers' matrix products, by "
            "arithmetic",
        ),
    ]


def _embedding_cost(run: Mapping[str, Any]) -> str:
    """Return what embedding took, as the store keeps it: that may have been in an earlier run."""
    models: dict[str, dict[str, Any]] = {}
    for job in run["jobs"]:  # layers share a pass of their model, budgets its embeddings
        models.setdefault(f"{job.get('model_fingerprint')}", {})[job["task"]] = job.get("embedding_time")
    known = [time for tasks in models.values() for time in tasks.values() if time]
    unknown = sum(len(tasks) for tasks in models.values()) - len(known)
    if not known:
        return "not timed"
    flops = [time["flops"] for time in known if time.get("flops")]
    seconds = timedelta(seconds=round(sum(time["seconds"] for time in known)))
    text = f"{seconds} of wall time (h:mm:ss), as measured when the embeddings in the store were made"
    if any(machine != run["hardware"] for time in known for machine in time["hardware"]):
        text += ", in part on other hardware or threads"
    if flops:
        text += f"; {sum(flops):.3g} FLOPs in matrix products, convolutions and attention"
    if flops and len(flops) < len(known):
        text += f" of the {len(flops)} of {len(known)} where they could be counted"
    return text + (f"; of {unknown} tasks and models it is not known" if unknown else "")


def _model_hashes(run: Mapping[str, Any], results: ScoreTable) -> Section:
    rows = [
        [
            results.name(model["label"]),
            model["label"],
            "" if model["parameters"] is None else f"{model['parameters']:,}",
            "" if model["sample_rate"] is None else f"{model['sample_rate']}",
            str(model["dim"]),
            f"{flops / 1e9:.3g}" if (flops := model.get("flops_per_second_of_sound")) else "",
            Digest(model["fingerprint"]) if model["fingerprint"] else "imported embeddings",
        ]
        for model in run["models"]
    ]
    header = ["model", "as given", "parameters", "rate (Hz)", "dimensions"]
    header += ["GFLOPs per second of sound", "fingerprint (SHA-256)"]
    return Section("Models", header, rows)


def _task_hashes(run: Mapping[str, Any], results: ScoreTable) -> Section:
    tasks = {(job["task"], job.get("source_rate")): job.get("task_digest") for job in run["jobs"]}
    rows = [
        [
            results.titles.get(task, task),
            task,
            "" if rate is None else str(rate),
            Digest(digest) if digest else "no sound: imported embeddings",
        ]
        for (task, rate), digest in tasks.items()
    ]
    return Section("Tasks", ["task", "directory", "rate (Hz)", "content (SHA-256)"], rows)
