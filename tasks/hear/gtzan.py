"""GTZAN: which of ten genres a piece of music is of."""

from tasks.hear.info import TaskInfo, kfold_metadata

GTZAN = TaskInfo(
    short_name="GTZAN",
    metadata=kfold_metadata("tfds_gtzan", "1.0.0", sample_duration=30.0, nfolds=10),
    clips=1000,
    hours=8.3,
    classes=10,
    description="Music genre classification",
    citation="tzanetakis2002musical",
    licence="none stated",
)
