"""Progress bars: on a terminal and in a notebook, silent where nobody watches."""

import sys
from importlib.util import find_spec
from typing import Any

from tqdm import tqdm


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules


def progress_bar(**settings: Any) -> tqdm:
    """Return tqdm's bar with these settings; it goes away when it is done.

    A notebook has a bar of its own kind where ipywidgets is installed, else one of text.
    """
    kind = tqdm
    if in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm as of_notebooks

        kind = of_notebooks
    return kind(**{"leave": False, "disable": False if in_notebook() else None, **settings})


def say(sentence: str) -> None:
    """Print a line on the error stream without breaking a progress bar."""
    tqdm.write(sentence, file=sys.stderr)
