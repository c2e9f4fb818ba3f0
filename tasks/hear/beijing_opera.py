"""Beijing Opera percussion: which of four instruments."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name
from tasks.work import Say

_NAME = re.compile(r"\d+__[^_]+__(?P<label>[a-z]+)-\d+")

BEIJING_OPERA = TaskInfo(
    short_name="BO",
    metadata=kfold_metadata("beijing_opera", "v1.0-hear2021", sample_duration=4.77),
    clips=236,
    hours=0.3,
    classes=4,
    description="Classifying percussion instruments",
    citation="tian2014study",
    licence="CC BY 3.0",
)


def list_beijing_opera(raw: Path, note: Say) -> list[Recording]:
    """The instrument is the last field but one of the file's name."""
    return labelled_by_name(raw, _NAME)
