"""ESC-50: which of fifty environmental sounds, in the data set's own five folds."""

from tasks.info import TaskInfo, five_fold_metadata

ESC50 = TaskInfo(
    short_name="ESC-50",
    metadata=five_fold_metadata("esc50", "v2.0.0", sample_duration=5.0, split_mode="presplit_kfold"),
    clips=2000,
    hours=2.77,
    classes=50,
    description="Environmental sound classification",
    citation="piczak2015esc",
    licence="CC BY-NC 3.0",
)
