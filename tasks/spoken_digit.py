"""Free Spoken Digit Dataset: which digit is said; HEAR's task for development, not one of the ten."""

from tasks.info import TaskInfo, five_fold_metadata

SPOKEN_DIGIT = TaskInfo(
    short_name="FSDD",
    metadata=five_fold_metadata("spoken_digit", "fsdd", sample_duration=0.56),
    clips=3000,
    hours=0.365,
    classes=10,
    description="Spoken digit classification",
    citation="jackson2018fsdd",
    licence="CC BY-SA 4.0",
)
