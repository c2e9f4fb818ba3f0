"""A figure as it was written."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SavedFigure:
    """A figure's two files, and what must be known to read it."""

    name: str
    caption: str
    png: Path
    svg: Path
