"""CREMA-D: which of six emotions an actor's voice shows."""

from tasks.info import TaskInfo, five_fold_metadata

CREMA_D = TaskInfo(
    short_name="CD",
    metadata=five_fold_metadata("tfds_crema_d", "1.0.0", sample_duration=5.0),
    clips=7438,
    hours=10.0,
    classes=6,
    description="Emotion recognition",
    citation="cao2014crema",
    licence="ODbL 1.0",
)
