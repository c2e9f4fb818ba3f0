"""Mridangam: which of ten strokes of the drum."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name
from tasks.work import Say

_NAME = re.compile(r"\d+__\w+?__(?P<label>[a-z]+)-[a-z]+-\d+")

MRIDANGAM_STROKE = TaskInfo(
    short_name="Mri-S",
    metadata=kfold_metadata("mridangam_stroke", "v1.5", sample_duration=0.81),
    clips=6977,
    hours=1.57,
    classes=10,
    description="Stroke classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)


def list_strokes(raw: Path, note: Say) -> list[Recording]:
    """The stroke is the third field from the end of the file's name."""
    return labelled_by_name(raw, _NAME)
