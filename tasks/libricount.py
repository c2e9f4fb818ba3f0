"""LibriCount: how many people, 0 to 10, speak at once."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

LIBRICOUNT = TaskInfo(
    short_name="LC",
    metadata=TaskMetadata(
        task_name="libricount",
        version="v1.0.0-hear2021",
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
    clips=5720,
    hours=8.0,
    classes=11,
    description="Speaker count identification, simulated cocktail party",
    citation="stoter2018classification",
    licence="CC BY 4.0",
)
