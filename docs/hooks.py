"""Puts every command's own help text into the pages: what the documentation says is what the parser takes.

A line `<!-- help: PACKAGE COMMAND -->` in a page becomes the output of `python -m PACKAGE COMMAND --help`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(r"^<!-- help: (\w+) (\w+) -->$", re.MULTILINE)
WIDTH = "80"
"""Columns of the help texts: about what a page shows without a bar to scroll."""


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in the help texts of one page; mkdocs calls this for each."""
    return MARKER.sub(lambda match: f"```text\n{help_text(*match.groups())}\n```", markdown)


def help_text(package: str, command: str) -> str:
    """Return what `python -m PACKAGE COMMAND --help` prints.

    Raises:
        PluginError: the command failed, which ends the build.
    """
    done = subprocess.run(
        [sys.executable, "-m", package, command, "--help"],
        cwd=ROOT,
        # What help says of defaults must not depend on who builds the pages.
        env={**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1", "HEAR_MWMAE_CACHE": "~/.cache/hear-mwmae"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PluginError(f"{package} {command} --help failed: {done.stderr.strip()}")
    return done.stdout.rstrip().replace(os.path.expanduser("~"), "~")
