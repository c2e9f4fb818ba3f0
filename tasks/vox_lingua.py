"""VoxLingua107, top ten: which language is spoken."""

from tasks.format import TaskMetadata
from tasks.info import FIVE_FOLDS, MULTICLASS_SCORES, TaskInfo

VOX_LINGUA = TaskInfo(
    short_name="VL",
    metadata=TaskMetadata(
        task_name="vox_lingua_top10",
        version="hear2021",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        splits=FIVE_FOLDS,
        nfolds=5,
        sample_duration=18.64,
        evaluation=MULTICLASS_SCORES,
    ),
    clips=972,
    hours=5.0,
    classes=10,
    description="Spoken language identification",
    citation="valk2021voxlingua107",
    licence="CC BY 4.0 (cut from videos whose rights stay with their owners)",
)
