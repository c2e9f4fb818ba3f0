"""Mridangam: which of six tonics the drum is tuned to."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

MRIDANGAM_TONIC = TaskInfo(
    short_name="Mri-T",
    metadata=TaskMetadata(
        task_name="mridangam_tonic",
        version="v1.5",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=0.81,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=6977,
    hours=1.57,
    classes=6,
    description="Tonic classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)
