"""DCASE 2016 task 2: which of eleven office sounds happen when."""

from tasks.hear.info import TaskInfo, split_metadata

DCASE2016_TASK2 = TaskInfo(
    short_name="DCASE",
    metadata=split_metadata(
        *("dcase2016_task2", "hear2021", "full"),
        sample_duration=120.0,
        evaluation=("event_onset_200ms_fms", "segment_1s_er"),
        embedding_type="event",
        prediction_type="multilabel",
    ),
    clips=72,
    hours=2.4,
    classes=11,
    description="Detection of overlapping office sounds in synthetic mixtures",
    citation="mesaros2018detection",
    licence="see archive.org/details/dcase2016_task2_train_dev",
)
