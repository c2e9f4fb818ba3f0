"""The machine and the software that a result was made with."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch

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


def hardware(device: "torch.device") -> dict[str, Any]:
    """Return processor, cores and threads, and the accelerator if one is used; it loads torch."""
    import torch

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


def available_memory() -> int:
    """Return the bytes of memory that new work may take."""
    return psutil.virtual_memory().available
