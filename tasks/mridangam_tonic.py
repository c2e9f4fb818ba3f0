"""Mridangam: which of six tonics the drum is tuned to."""

from tasks.info import TaskInfo, five_fold_metadata

MRIDANGAM_TONIC = TaskInfo(
    short_name="Mri-T",
    metadata=five_fold_metadata("mridangam_tonic", "v1.5", sample_duration=0.81),
    clips=6977,
    hours=1.57,
    classes=6,
    description="Tonic classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)
