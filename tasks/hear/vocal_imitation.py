"""Vocal Imitation Set: which of 302 sounds a voice imitates."""

from tasks.hear.info import TaskInfo, kfold_metadata

VOCAL_IMITATION = TaskInfo(
    short_name="VocalIm",
    metadata=kfold_metadata(
        *("vocal_imitation", "v1.1.3"),
        sample_duration=11.26,
        nfolds=3,
        evaluation=("mAP", "d_prime", "aucroc", "top1_acc"),
    ),
    clips=5601,
    hours=17.5,
    classes=302,
    description="Retrieval of a sound from its vocal imitation",
    citation="kim2018vocal",
    licence="CC BY 4.0",
)
