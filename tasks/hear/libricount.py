"""LibriCount: how many people, 0 to 10, speak at once."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name
from tasks.work import Say

_NAME = re.compile(r"(?P<label>\d+)_[^_]+")

LIBRICOUNT = TaskInfo(
    short_name="LC",
    metadata=kfold_metadata("libricount", "v1.0.0-hear2021", sample_duration=5.0),
    clips=5720,
    hours=8.0,
    classes=11,
    description="Speaker count identification, simulated cocktail party",
    citation="stoter2018classification",
    licence="CC BY 4.0",
)


def list_libricount(raw: Path, note: Say) -> list[Recording]:
    """The number of speakers stands before the underscore of the file's name."""
    return labelled_by_name(raw, _NAME)
