"""Free Spoken Digit Dataset: which digit is said; HEAR's task for development, not one of the ten."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

SPOKEN_DIGIT = TaskInfo(
    short_name="FSDD",
    metadata=TaskMetadata(
        task_name="spoken_digit",
        version="fsdd",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=0.56,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=3000,
    hours=0.365,
    classes=10,
    description="Spoken digit classification",
    citation="jackson2018fsdd",
    licence="CC BY-SA 4.0",
)
