"""Tasks as the columns of tables: their short names, and which of the paper's they are."""

from evaluation.probes.splits import primary_score
from evaluation.results.failure import task_label
from evaluation.results.score_table import Column
from tasks import HEAR19_TASKS, PAPER_TASKS, Task, TaskMetadata, stands_for


def short_name(task: Task) -> str:
    """Return the short name of one of HEAR's tasks ("ESC-50-part", "NS-50h"), else the directory's name."""
    return short_name_of(task.metadata) or task.name


def short_name_of(metadata: TaskMetadata) -> str:
    """Return the short name of one of HEAR's tasks from its metadata, "" for any other."""
    for info in HEAR19_TASKS:
        if stands_for(metadata, info):
            return info.short_name + metadata.task_name.removeprefix(metadata.base_name)
    return ""


def column(task: Task, budget: float) -> Column:
    """Return the table's column of a task: "ESC-50", or "ESC-50 @10%" where the budget is not all."""
    short, primary = short_name(task), primary_score(task.metadata)
    title = short if budget == 100 else f"{short} @{budget:g}%"
    published = published_name(task.metadata, primary, budget)
    return Column(task_label(task.name, budget), primary, title, budget, published)


def published_name(metadata: TaskMetadata, primary: str, budget: float) -> str:
    """Return the short name of the paper's task that this is in whole, scored as there; "" for all others.

    A synthetic sample, a part of a data set, another mode of it, a share of the training clips, or a task
    whose build says that it departs from the published one (in its folds, say) is none.
    """
    if not metadata.is_published or budget != 100:
        return ""
    for info in PAPER_TASKS:
        theirs = info.metadata
        same = metadata.task_name == theirs.task_name and metadata.mode == theirs.mode
        if same and primary == theirs.evaluation[0]:
            return info.short_name
    return ""
