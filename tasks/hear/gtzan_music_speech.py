"""GTZAN music/speech: whether music or speech is heard."""

from tasks.hear.info import TaskInfo, kfold_metadata

GTZAN_MUSIC_SPEECH = TaskInfo(
    short_name="GTZAN-MS",
    metadata=kfold_metadata("tfds_gtzan_music_speech", "1.0.0", sample_duration=30.0, nfolds=10),
    clips=128,
    hours=1.1,
    classes=2,
    description="Music or speech",
    citation="tzanetakis1999gtzan",
    licence="none stated",
)
