"""Mridangam: which of ten strokes of the drum."""

from tasks.info import TaskInfo, five_fold_metadata

MRIDANGAM_STROKE = TaskInfo(
    short_name="Mri-S",
    metadata=five_fold_metadata("mridangam_stroke", "v1.5", sample_duration=0.81),
    clips=6977,
    hours=1.57,
    classes=10,
    description="Stroke classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)
