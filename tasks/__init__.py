"""What a HEAR task is: HEAR's nineteen tasks, the directory format, resampling, sample tasks, builders.

Command lines: `hear-tasks fetch` installs HEAR's prepared tasks, `hear-tasks build` makes one from
raw recordings, `hear-tasks sample` writes the sample tasks; `hear-tasks list` tells what there is,
`hear-tasks check` what is wrong with it.
"""

from tasks.errors import TaskError
from tasks.find import find_tasks, resolve, stands_for
from tasks.format.audio import decode, read_clip, write_clip
from tasks.format.digest import task_digest
from tasks.format.resample import is_resampled, resample_task, source_rate
from tasks.format.task import (
    Clip,
    Event,
    Task,
    TaskMetadata,
    read_labels,
    read_metadata,
    read_task,
    write_task,
)
from tasks.hear.info import TaskInfo
from tasks.hear.paper import HEAR19_TASKS, PAPER_TASKS

__all__ = [
    "HEAR19_TASKS",
    "PAPER_TASKS",
    "Clip",
    "Event",
    "Task",
    "TaskError",
    "TaskInfo",
    "TaskMetadata",
    "decode",
    "find_tasks",
    "is_resampled",
    "read_clip",
    "read_labels",
    "read_metadata",
    "read_task",
    "resample_task",
    "resolve",
    "source_rate",
    "stands_for",
    "task_digest",
    "write_clip",
    "write_task",
]
