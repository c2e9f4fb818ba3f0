"""`run.json`: which program on which machine made a run, one entry per start."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import jax

from hear_mwmae.errors import UserError
from hear_mwmae.files import set_aside, write_text
from hear_mwmae.json_files import read_json

RUN_FILE = "run.json"
# Of a start, what belongs into a file that is given away: not the command and the host, which name folders.
PUBLIC = (
    "step", "time", "packages", "git_revision",
    "platform", "device", "devices", "processes", "processor", "cores",
)  # fmt: skip
PACKAGES = ("hear-mwmae", "jax", "jaxlib", "optax", "orbax-checkpoint", "grain", "numpy")


def add_start(workdir: Path, step: int) -> None:
    """Append this start of a run, from `step` updates on, to the list in its `run.json`."""
    path = workdir / RUN_FILE
    write_text(path, json.dumps({"starts": [*_starts(path), describe_start(step)]}, indent=1))


def public_starts(workdir: Path) -> list[dict[str, object]]:
    """Return what `run.json` says of every start, without command and host; nothing if it is damaged."""
    return [{name: start[name] for name in PUBLIC if name in start} for start in _starts(workdir / RUN_FILE)]


def _starts(path: Path) -> list[dict[str, object]]:
    """What the file says; a damaged one, on which no result depends, is set aside with a warning."""
    if not path.exists():
        return []
    try:
        starts = read_json(path, finite=False)["starts"]
        if all(isinstance(start, dict) for start in starts):
            return starts
    except (UserError, KeyError, TypeError):
        pass
    set_aside(path, "is not the list of a run's starts, and a new one is begun")
    return []


def describe_start(step: int) -> dict[str, object]:
    """Return the command, versions, revision and devices of this process."""
    device = jax.devices()[0]
    return {
        "step": step,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "host": platform.node(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git_revision": git_revision(),
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _processor() -> str:
    """Name of the host's processor, as well as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """Return the revision of the checkout this package runs from, "-dirty" if changed; None outside one."""
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None  # The package is installed, and lies in a checkout of something else at most.
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
