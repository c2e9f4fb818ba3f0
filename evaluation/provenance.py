"""What a run was made with: command, versions, git revision, hardware."""

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from evaluation.errors import EvaluationError
from evaluation.files import write_atomically
from evaluation.ledger import Origin, strict
from evaluation.shapes import misfit
from tasks import TaskError
from tasks.json_files import read_json
from tasks.names import printable

RUN_FILE = "run.json"
ROOMS = ("evaluation", "hear_mwmae", "tasks")
PACKAGES = ("hear-mwmae", "torch", "numpy", "scipy", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def git_revision() -> str | None:
    """Return the revision of the checkout that these packages are in, with "+changes" when they have any.

    It is that of the first call: later commits are not what this process runs.
    """
    here = Path(__file__).resolve().parent
    try:
        revision = _git(here, "rev-parse", "HEAD")
        changes = _git(here.parent, "status", "--porcelain", "--untracked-files=no", "--", *ROOMS)
        return revision + ("+changes" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    return done.stdout.strip()


def hardware(device: torch.device) -> dict[str, Any]:
    """Return processor, cores and threads, and the accelerator if one is used."""
    found = {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        found["accelerator"] = torch.cuda.get_device_name(device)
    return found


def origin(device: torch.device) -> Origin:
    """Return what this process trains with."""
    return Origin(versions(), git_revision(), hardware(device))


def write_run_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write `run.json`: `content` with command, versions, revision; replaced as a whole."""
    whole = {
        "command": [sys.executable, "-m", "evaluation.run", *sys.argv[1:]],
        "versions": versions(),
        "git_revision": git_revision(),
        **content,
    }
    write_atomically(path, json.dumps(strict(whole), indent=1))


RUN_SHAPE = {
    "command": [str],
    "versions": {str: str},
    "git_revision": (str, None),
    "hardware": {str: object},
    "preset": str,
    "head": str,
    "n_seeds": object,
    "failures": [str],
    "models": [
        {
            "label": str,
            "module": str,
            "weights": str,
            "options": {str: object},
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
        reason = misfit(run, RUN_SHAPE)
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
