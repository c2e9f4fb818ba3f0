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
from evaluation.ledger import Origin

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
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


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
    write_atomically(path, json.dumps(whole, indent=1))


def read_run_file(directory: Path) -> dict[str, Any]:
    """Read the `run.json` of a run; raise EvaluationError when there is none or it cannot be read."""
    path = directory / "run.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise EvaluationError(
            f"{directory} is not the folder of a run: {path} cannot be read ({error.strerror}); "
            "give a folder that evaluation.run wrote, such as results/sample"
        ) from error
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path} is damaged ({error}); the run's own command writes it anew") from error
