"""Beijing Opera percussion: which of four instruments."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

BEIJING_OPERA = TaskInfo(
    short_name="BO",
    metadata=TaskMetadata(
        task_name="beijing_opera",
        version="v1.0-hear2021",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=4.77,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=236,
    hours=0.3,
    classes=4,
    description="Classifying percussion instruments",
    citation="tian2014study",
    licence="CC BY 3.0",
)
