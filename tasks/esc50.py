"""ESC-50: which of fifty environmental sounds, in the data set's own five folds."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

ESC50 = TaskInfo(
    short_name="ESC-50",
    metadata=TaskMetadata(
        task_name="esc50",
        version="v2.0.0",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="presplit_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=5.0,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=2000,
    hours=2.77,
    classes=50,
    description="Environmental sound classification",
    citation="piczak2015esc",
    licence="CC BY-NC 3.0",
)
