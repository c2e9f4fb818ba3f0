"""MAESTRO, 5 hours: which of 88 piano notes begin and end when."""

import dataclasses

from tasks.hear.info import TaskInfo, kfold_metadata

MAESTRO = TaskInfo(
    short_name="Maestro",
    metadata=dataclasses.replace(
        kfold_metadata(
            *("maestro", "v3.0.0"),
            sample_duration=120.0,
            evaluation=("event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms"),
        ),
        embedding_type="event",
        prediction_type="multilabel",
        mode="5h",
        default_mode="5h",
        use_scoring_for_early_stopping=False,
        evaluation_params={
            "event_postprocessing_grid": {"median_filter_ms": [150], "min_duration": [50]},
            "task_specific_param_grid": {"max_epochs": [50], "check_val_every_n_epoch": [1]},
        },
    ),
    clips=185,
    hours=6.2,
    classes=88,
    description="Transcription of piano music",
    citation="hawthorne2019enabling",
    licence="CC BY-NC-SA 4.0",
)
