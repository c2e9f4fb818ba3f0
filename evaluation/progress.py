"""Progress bars: on a terminal and in a notebook, silent where nobody watches."""

import sys
from typing import Any

from tqdm.auto import tqdm


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules


def progress_bar(**settings: Any) -> tqdm:
    """Return tqdm's bar with these settings; it goes away when it is done."""
    return tqdm(**{"leave": False, "disable": False if in_notebook() else None, **settings})


def say(sentence: str) -> None:
    """Print a line on the error stream without breaking a progress bar."""
    tqdm.write(sentence, file=sys.stderr)
