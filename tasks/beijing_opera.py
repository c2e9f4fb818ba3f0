"""Beijing Opera percussion: which of four instruments."""

from tasks.info import TaskInfo, five_fold_metadata

BEIJING_OPERA = TaskInfo(
    short_name="BO",
    metadata=five_fold_metadata("beijing_opera", "v1.0-hear2021", sample_duration=4.77),
    clips=236,
    hours=0.3,
    classes=4,
    description="Classifying percussion instruments",
    citation="tian2014study",
    licence="CC BY 3.0",
)
