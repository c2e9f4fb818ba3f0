"""Speech Commands, 5 hours: which of ten words, another word, or silence."""

from tasks.format import TaskMetadata
from tasks.info import TRAIN_VALID_TEST, TaskInfo

SPEECH_COMMANDS = TaskInfo(
    short_name="SC-5h",
    metadata=TaskMetadata(
        task_name="speech_commands",
        version="v0.0.2",
        mode="5h",
        default_mode="5h",
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="trainvaltest",
        splits=TRAIN_VALID_TEST,
        sample_duration=1.0,
        evaluation=("top1_acc",),
    ),
    clips=22890,
    hours=6.5,
    classes=12,
    description="Keyword spotting, reduced training subset",
    citation="warden2018speech",
    licence="CC BY 4.0",
)
