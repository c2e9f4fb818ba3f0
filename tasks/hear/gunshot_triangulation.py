"""Gunshot triangulation: which of four microphones recorded a shot; a fold per firearm."""

from tasks.hear.info import TaskInfo, kfold_metadata

GUNSHOT_TRIANGULATION = TaskInfo(
    short_name="Gunshot",
    metadata=kfold_metadata("gunshot_triangulation", "v1.0", sample_duration=1.5, nfolds=7),
    clips=88,
    hours=0.04,
    classes=4,
    description="Location of a microphone from a gunshot",
    citation="cooper2020gunshots",
    licence="see zenodo.org/record/3997406",
)
