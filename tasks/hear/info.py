"""What is known of a task before its directory is seen."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.format.task import TaskMetadata
from tasks.hear.folds import fold_name

FIVE_FOLDS = tuple(fold_name(i) for i in range(5))
TRAIN_VALID_TEST = ("train", "valid", "test")
MULTICLASS_SCORES = ("top1_acc", "mAP", "d_prime", "aucroc")
MULTILABEL_SCORES = ("mAP", "d_prime", "aucroc", "top1_acc")
SCORES = {
    "scene": ("top1_acc", "pitch_acc", "chroma_acc", "mAP", "d_prime", "aucroc"),
    "event": (
        "event_onset_200ms_fms",
        "event_onset_50ms_fms",
        "event_onset_offset_50ms_20perc_fms",
        "segment_1s_er",
    ),
}
"""HEAR's names of scores, by the kind of embedding they are of."""
MAX_SECONDS = "max_task_duration_by_split"
"""HEAR's name, in a task's metadata, of the seconds that each split is limited to."""


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """One task of the benchmark: its directory's metadata and what a reader wants to know of it.

    `clips`, `hours` and `classes` are of the whole task; `citation` is a BibTeX-like key (author, year,
    title's first word) and `licence` that of the original recordings. `recordings` is how many clips the
    data set gives before the task's time limit, where that is known and more than `clips`.
    """

    short_name: str
    metadata: TaskMetadata
    clips: int
    hours: float
    classes: int
    description: str
    citation: str
    licence: str
    recordings: int | None = None

    @property
    def directory(self) -> str:
        """Name of the task's directory in HEAR's archives."""
        return f"{self.metadata.task_name}-{self.metadata.version}-{self.metadata.mode}"


def kfold_metadata(
    task_name: str,
    version: str,
    *,
    sample_duration: float,
    split_mode: str = "new_split_kfold",
    nfolds: int = 5,
    evaluation: tuple[str, ...] = MULTICLASS_SCORES,
) -> TaskMetadata:
    """Metadata of a multiclass scene task with folds and, unless told otherwise, HEAR's usual four scores."""
    return TaskMetadata(
        task_name=task_name,
        version=version,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode=split_mode,
        splits=tuple(fold_name(i) for i in range(nfolds)),
        nfolds=nfolds,
        sample_duration=sample_duration,
        evaluation=evaluation,
    )


def split_metadata(
    task_name: str,
    version: str,
    mode: str,
    *,
    sample_duration: float | None,
    evaluation: tuple[str, ...],
    embedding_type: str = "scene",
    prediction_type: str = "multiclass",
    max_seconds: Mapping[str, float] | None = None,
) -> TaskMetadata:
    """Metadata of a task with train, valid and test; `max_seconds` limits how much of a split is used."""
    return TaskMetadata(
        task_name=task_name,
        version=version,
        mode=mode,
        default_mode=mode,
        embedding_type=embedding_type,
        prediction_type=prediction_type,
        split_mode="trainvaltest",
        splits=TRAIN_VALID_TEST,
        sample_duration=sample_duration,
        evaluation=evaluation,
        extra={MAX_SECONDS: dict(max_seconds)} if max_seconds else {},
    )
