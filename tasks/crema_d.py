"""CREMA-D: which of six emotions an actor's voice shows."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

CREMA_D = TaskInfo(
    short_name="CD",
    metadata=TaskMetadata(
        task_name="tfds_crema_d",
        version="1.0.0",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=5.0,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=7438,
    hours=10.0,
    classes=6,
    description="Emotion recognition",
    citation="cao2014crema",
    licence="ODbL 1.0",
)
