"""What is known of a task before its directory is seen."""

from dataclasses import dataclass

from tasks.folds import fold_name
from tasks.format import TaskMetadata

FIVE_FOLDS = tuple(fold_name(i) for i in range(5))
TRAIN_VALID_TEST = ("train", "valid", "test")
MULTICLASS_SCORES = ("top1_acc", "mAP", "d_prime", "aucroc")


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """One task of the benchmark: its directory's metadata and what a reader wants to know of it.

    `clips`, `hours` and `classes` are of the whole task; `citation` is a BibTeX-like key (author, year,
    title's first word) and `licence` that of the original recordings.
    """

    short_name: str
    metadata: TaskMetadata
    clips: int
    hours: float
    classes: int
    description: str
    citation: str
    licence: str

    @property
    def directory(self) -> str:
        """Name of the task's directory in HEAR's archives."""
        return f"{self.metadata.task_name}-{self.metadata.version}-{self.metadata.mode}"


def five_fold_metadata(
    task_name: str, version: str, *, sample_duration: float, split_mode: str = "new_split_kfold"
) -> TaskMetadata:
    """Metadata of a multiclass scene task with five folds and HEAR's four scores, accuracy first."""
    return TaskMetadata(
        task_name=task_name,
        version=version,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode=split_mode,
        splits=FIVE_FOLDS,
        nfolds=len(FIVE_FOLDS),
        sample_duration=sample_duration,
        evaluation=MULTICLASS_SCORES,
    )
