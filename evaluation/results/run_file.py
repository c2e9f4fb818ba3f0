"""The files of a run directory: names, run.json written and read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.environment import git_revision, versions
from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.results.failure import FAILURE_SHAPE
from evaluation.results.ledger import strict_json
from evaluation.shapes import json_misfit
from tasks import TaskError
from tasks.json_files import read_json
from tasks.names import printable

RUN_FILE = "run.json"
LEDGER_FILE = "ledger.jsonl"


def run_directory(given: Path) -> Path:
    """Return the folder of the run that a command line names: `given`, or results/`given` for a bare name."""
    named = Path("results") / given
    bare = len(given.parts) == 1 and not (given / RUN_FILE).is_file()
    return named if bare and (named / RUN_FILE).is_file() else given


def write_run_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write `run.json`: `content` with versions and revision; replaced as a whole."""
    whole = {
        "versions": versions(),
        "git_revision": git_revision(),
        **content,
    }
    write_atomically(path, json.dumps(strict_json(whole), indent=1))


RUN_SHAPE = {
    "command": [str],
    "versions": {str: str},
    "git_revision": (str, None),
    "hardware": {str: object},
    "preset": str,
    "head": str,
    "n_seeds": object,
    "failures": [FAILURE_SHAPE],
    "models": [
        {
            "label": str,
            "module": str,
            "weights": str,
            "options": {str: object},
            "layer?": str,
            "fingerprint": (str, None),
            "pretrained": bool,
            "parameters": (int, None),
            "sample_rate": (int, None),
            "dim": int,
            "flops_per_second_of_sound?": (float, None),
        }
    ],
    "jobs": [
        {
            "model": str,
            "label": str,
            "directory": str,
            "task": str,
            "entry?": str,
            "source_rate?": (int, None),
            "task_digest?": (str, None),
            "model_fingerprint?": (str, None),
            "embedding_time?": ({"seconds": float, "hardware": [object], "flops?": (float, None)}, None),
        }
    ],
    "results": object,
}
"""What the readers of a run.json rely on."""


def read_run_file(directory: Path) -> dict[str, Any]:
    """Read the `run.json` of a run; raise EvaluationError when it is not there or not as a run writes it."""
    path = directory / RUN_FILE
    if not path.is_file():
        raise EvaluationError(
            f"{directory} is not the directory of a run: it has no {RUN_FILE}; "
            "give one that evaluation.run wrote, such as results/default"
        )
    try:
        run = read_json(path, surrogates=True)
        reason = json_misfit(run, RUN_SHAPE)
    except TaskError as error:
        reason = str(error).removeprefix(f"{path} ").rpartition(";")[0]
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    if reason:
        raise not_a_run(path, reason)
    return run


def not_a_run(path: Path, reason: str) -> EvaluationError:
    """Return the error for a run.json in which something is wrong."""
    return EvaluationError(
        f"{path} is not what this version writes ({printable(reason)}); "
        "run the command that made the run once more: it trains nothing again"
    )
