"""Free Spoken Digit Dataset: which digit is said; HEAR's task for development, not one of the ten."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name, labelled_by_tfds
from tasks.work import Say

_NAME = re.compile(r"(?P<label>\d)_[^_]+_\d+")

SPOKEN_DIGIT = TaskInfo(
    short_name="FSDD",
    metadata=kfold_metadata("spoken_digit", "fsdd", sample_duration=0.56),
    clips=3000,
    hours=0.365,
    classes=10,
    description="Spoken digit classification",
    citation="jackson2018fsdd",
    licence="CC BY-SA 4.0",
)


def list_spoken_digit(raw: Path, note: Say) -> list[Recording]:
    """The digit is in TFDS's table where there is one, else the first field of the file's name."""
    return labelled_by_tfds(raw) or labelled_by_name(raw, _NAME)
