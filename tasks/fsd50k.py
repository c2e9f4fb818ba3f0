"""FSD50K: which of 200 sound classes are heard; clips of 0.3 to 30 s."""

from tasks.format import TaskMetadata
from tasks.info import TRAIN_VALID_TEST, TaskInfo

FSD50K = TaskInfo(
    short_name="F50K",
    metadata=TaskMetadata(
        task_name="fsd50k",
        version="v1.0",
        mode="full",
        default_mode="full",
        embedding_type="scene",
        prediction_type="multilabel",
        split_mode="trainvaltest",
        splits=TRAIN_VALID_TEST,
        sample_duration=None,
        evaluation=("mAP", "d_prime", "aucroc", "top1_acc"),
    ),
    clips=51185,
    hours=100.0,
    classes=200,
    description="Multilabel, large scale audio tagging",
    citation="fonseca2022fsd50k",
    licence="per clip: CC0, CC BY, CC BY-NC, CC Sampling+",
)
