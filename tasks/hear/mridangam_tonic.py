"""Mridangam: which of six tonics the drum is tuned to."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name
from tasks.work import Say

_NAME = re.compile(r"\d+__\w+?__[a-z]+-(?P<label>[a-z]+)-\d+")

MRIDANGAM_TONIC = TaskInfo(
    short_name="Mri-T",
    metadata=kfold_metadata("mridangam_tonic", "v1.5", sample_duration=0.81),
    clips=6977,
    hours=1.57,
    classes=6,
    description="Tonic classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)


def list_tonics(raw: Path, note: Say) -> list[Recording]:
    """The tonic is the second field from the end of the file's name."""
    return labelled_by_name(raw, _NAME)
