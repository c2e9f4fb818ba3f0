"""NSynth, 5 hours: which of 88 pitches an instrument plays."""

from tasks.format import TaskMetadata
from tasks.info import TRAIN_VALID_TEST, TaskInfo

NSYNTH_PITCH = TaskInfo(
    short_name="NS-5h",
    metadata=TaskMetadata(
        task_name="nsynth_pitch",
        version="v2.2.3",
        mode="5h",
        default_mode="5h",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="trainvaltest",
        splits=TRAIN_VALID_TEST,
        sample_duration=4.0,
        evaluation=("pitch_acc", "chroma_acc"),
    ),
    clips=5000,
    hours=5.5,
    classes=88,
    description="88-way pitch classification, reduced training subset",
    citation="engel2017neural",
    licence="CC BY 4.0",
)
