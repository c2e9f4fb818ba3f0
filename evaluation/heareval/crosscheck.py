"""The original program on the same embeddings: `hear-eval crosscheck DIR --python ENV`.

DIR is what `evaluation.run --export-heareval DIR` wrote, or any embeddings tree. heareval 2021.1.3 trains its
own classifiers on it, in an environment of its own (its requirements of 2021 do not go with anything of
today), and its scores are printed beside ours. The tree itself is not touched.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.heareval.exporting import PREDICTED, SCORES, seed_score_files
from evaluation.heareval.files import labels_in_tree, read_label_lists, read_tree_json, tree_files
from evaluation.shapes import json_misfit
from evaluation.statistics.intervals import Interval, t_interval
from tasks import read_labels

HEAREVAL = "heareval==2021.1.3"
REQUIREMENTS = (
    "setuptools<81",  # dcase_util needs the pkg_resources that later ones lack
    "pytorch-lightning==1.8.6",  # later ones have no `gpus`, or lose the epoch of event tasks
    "torch==2.13.0",
    "numpy==2.4.*",
    "pandas==3.*",
    "scikit-learn==1.9.*",
    "click==8.*",
    "dcase_util==0.2.20",
    "intervaltree==3.2.1",
    "more-itertools",
    "nvidia-ml-py",
    "python-slugify",
    "sed_eval==0.2.1",
    "soundfile",
    "torchinfo==1.8.0",
    "tqdm",
)
"""With these heareval runs on Python 3.11; those it asks for itself cannot be built there."""

ENVIRONMENT = {
    # heareval's checkpoints hold classes, which torch >= 2.6 does not load unless it is told to.
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    # On a GPU its device query fails with today's nvidia-ml-py.
    "CUDA_VISIBLE_DEVICES": "",
}


def environment_python(path: Path) -> Path:
    """Return the interpreter of an environment; `path` may be the interpreter itself.

    Raises EvaluationError when there is none.
    """
    for candidate in (path, path / "bin" / "python", path / "Scripts" / "python.exe"):
        if candidate.is_file():
            return candidate.absolute()  # not resolved: an environment's python is often a link
    raise EvaluationError(f"{path} is no environment with a Python in it; make one with --create-env {path}")


def create_environment(path: Path) -> Path:
    """Make an environment in which heareval runs, and return its interpreter.

    Raises EvaluationError when the folder exists already or a package cannot be had; nothing is left then.
    """
    if path.exists():
        raise EvaluationError(f"{path} exists already; use it with --python {path}, or name another folder")
    print(f"making {path} ...", file=sys.stderr, flush=True)
    try:
        venv.create(path, with_pip=True)
        python = environment_python(path)
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _check_output([*install, *REQUIREMENTS], "pip")
        _check_output([*install, "--no-deps", HEAREVAL], "pip")
        _check_output([python, "-c", "import heareval.predictions.runner"], "heareval")
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return python


def _check_output(command: Sequence[str | Path], what: str) -> None:
    done = _run_program(command)
    if done.returncode:
        raise EvaluationError(
            f"the environment could not be made: {what} says: {_last_line_of_output(done.stderr)}"
        )


def _run_program(
    command: Sequence[str | Path], folder: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run another program, and keep what it says; what is no UTF-8 there is replaced."""
    return subprocess.run(
        command,
        cwd=folder,
        env=_environment_of_heareval(),
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )


def _environment_of_heareval() -> dict[str, str]:
    """Return the environment variables for heareval: ours, without our module path."""
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **ENVIRONMENT}


def run_heareval(folder: Path, python: Path, *, grid: str, grid_points: int) -> dict[str, Any]:
    """Run heareval's classifiers on one task folder, and return its `test.predicted-scores.json`.

    It works on links to the files in a temporary folder. Raises EvaluationError when it fails; what it said
    is kept then, and named.
    """
    metadata = read_labels(folder).metadata
    for split in metadata.splits:
        read_label_lists(folder / labels_in_tree(split))  # heareval would run whatever a pickle says
    name = f"{folder.parent.name}/{folder.name}"
    command: list[str | Path] = [python, "-m", "heareval.predictions.runner", name]
    options = ["--grid", grid, "--grid-points", str(grid_points)]
    with tempfile.TemporaryDirectory(prefix="crosscheck-") as work:
        copy = Path(work) / name
        copy.mkdir(parents=True)
        for file in tree_files(metadata):
            _link_or_copy(folder / file, copy / file)
        print(f"heareval trains on {name} ...", file=sys.stderr, flush=True)
        done = _run_program([*command, *options], work)
        if done.returncode == 0 and (copy / SCORES).is_file():
            return read_scores(copy / SCORES)
    with tempfile.NamedTemporaryFile(
        "w", prefix="heareval-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write(done.stdout + done.stderr)
    raise EvaluationError(
        f"heareval failed on {folder}: {_last_line_of_output(done.stderr)} (all it said: {log.name})"
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """Link to a file where the system lets us, else copy it."""
    try:
        target.symlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _last_line_of_output(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "nothing"


def comparison(folder: Path, theirs: Mapping[str, Any], how: str) -> str:
    """Return the table of one task: every score of ours (mean and interval over seeds) beside heareval's.

    `how` says what heareval was asked for. Ours are those that an export wrote beside the tree.
    """
    ours = [read_scores(file) for file in seed_score_files(folder)]
    preset = _preset_beside_tree(folder)
    rows = [("", f"here ({len(ours)} seeds, {preset})" if ours else "here", f"{HEAREVAL} ({how})", "")]
    for score in read_labels(folder).metadata.evaluation:
        with np.errstate(invalid="ignore"):  # d' may be infinite
            interval = t_interval([_mean_of_heareval(scores, score) for scores in ours]) if ours else None
        their = _mean_of_heareval(theirs, score)
        difference = interval.mean - their if interval else math.nan
        shown = f"{difference:+.4f}" if math.isfinite(difference) else ""
        rows.append((score, _crosscheck_cell(interval) if interval else "-", f"{their:.4f}", shown))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    missing = (
        [] if ours else ["(no scores of ours beside this tree: evaluation.run --export-heareval makes them)"]
    )
    return "\n".join(
        [f"{folder.parent.name}/{folder.name}", *(f"  {x}".rstrip() for x in lines), *missing, ""]
    )


def _preset_beside_tree(folder: Path) -> str:
    """Return the preset of our scores beside a tree."""
    files = [file.with_name(PREDICTED) for file in seed_score_files(folder)]
    return " and ".join(sorted({_json_of_heareval(file, {"preset": str})["preset"] for file in files}))


def read_scores(file: Path) -> dict[str, Any]:
    """Read a `test.predicted-scores.json`; raise EvaluationError when it has no scores of a test part."""
    scores = {str: object}
    return _json_of_heareval(file, ({"aggregated_scores": scores}, {"test": scores}))


def _json_of_heareval(file: Path, shape: Any) -> dict[str, Any]:
    found = read_tree_json(file, finite=False)  # as the original writes it
    if reason := json_misfit(found, shape):
        raise EvaluationError(f"{file} is not what heareval or an export writes ({reason}); make it again")
    return found


def _mean_of_heareval(scores: Mapping[str, Any], name: str) -> float:
    """Return a score of one run: of the test part, or the mean over folds; NaN where it has none."""
    folds = "aggregated_scores" in scores
    score = (
        scores["aggregated_scores"].get(f"test_{name}_mean") if folds else scores["test"].get(f"test_{name}")
    )
    return float(score) if isinstance(score, int | float) else math.nan


def _crosscheck_cell(interval: Interval) -> str:
    if math.isnan(interval.half_width):
        return f"{interval.mean:.4f}"
    return f"{interval.mean:.4f} ± {interval.half_width:.4f}"
