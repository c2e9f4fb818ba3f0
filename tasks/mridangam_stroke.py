"""Mridangam: which of ten strokes of the drum."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

MRIDANGAM_STROKE = TaskInfo(
    short_name="Mri-S",
    metadata=TaskMetadata(
        task_name="mridangam_stroke",
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
    classes=10,
    description="Stroke classification in pitched percussion instruments",
    citation="anantapadmanabhan2013modal",
    licence="CC BY-NC 3.0",
)
